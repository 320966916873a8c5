package module

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// runner is an engine whose container does what the test says.
type runner func(job engine.Job) error

func (r runner) Run(_ context.Context, job engine.Job) error { return r(job) }

const testKernel = "5.14.0-570.96.1.el9_6.x86_64+rt"

func compile(t *testing.T) Compile {
	t.Helper()
	d, err := version.ParseDriver("2.24.7.0")
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Parse(testKernel)
	if err != nil {
		t.Fatal(err)
	}
	return Compile{
		Driver: d, Kernel: k, Toolkit: "quay.io/dtk@sha256:0", Script: "make", Source: "/source",
		Output: t.TempDir(), Jobs: 4, Timeout: time.Minute,
	}
}

// leave writes a file into a job's output, as root in a container can.
func leave(t *testing.T, job engine.Job, name, content string) {
	t.Helper()
	path := filepath.Join(job.Output, name)
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, job engine.Job, target, name string) {
	t.Helper()
	path := filepath.Join(job.Output, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
}

const (
	dir = "opt/lib/modules/" + testKernel + "/"
	ko  = dir + "neuron.ko"
)

// R4.2: one job, with the source as its only input, and a module that was looked at.
func TestBuild(t *testing.T) {
	c := compile(t)
	var log bytes.Buffer
	c.Log = &log
	var got engine.Job
	built, err := Build(t.Context(), runner(func(job engine.Job) error {
		got = job
		fmt.Fprintln(job.Log, "compiled")
		leave(t, job, ko, string(newObject(good).bytes(t)))
		leave(t, job, dir+"modules.dep", "neuron.ko:\n")
		link(t, job, "/lib/modules/"+testKernel, dir+"host")
		return nil
	}), c)
	if err != nil {
		t.Fatal(err)
	}
	got.Log = nil
	want := engine.Job{
		Name: "compile-2.24.7.0-5.14.0-570.96.1.el9_6.x86_64_rt", Image: c.Toolkit, Script: "make",
		Args: []string{"2.24.7.0", testKernel, "4"}, Inputs: map[string]string{"source": "/source"},
		Output: c.Output, Limits: engine.Limits{Time: time.Minute},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
	if built.Dir != c.Output || built.Module != filepath.Join(c.Output, ko) || built.Info.Version != "2.24.7.0" {
		t.Errorf("got %+v", built)
	}
	if log.String() != "compiled\n" {
		t.Errorf("log %q", log.String())
	}
}

// R4.2, R8.1: why a compile failed is in the error, and what to do where that is known.
func TestBuildFails(t *testing.T) {
	exit := func(code int) error { return fmt.Errorf("job x: %w", &engine.ExitError{Code: code, Tail: "the tail"}) }
	tests := []struct {
		name, log string
		err       error
		want      string
		compile   bool  // a *CompileError
		is        error // nil for none
		hint      string
	}{
		{
			"a compile error", "a.c:1:2: error: no\nmake: *** Error 2\n", exit(2),
			"compile driver 2.24.7.0 for kernel " + testKernel + ": a.c:1:2: error: no", true, nil, "",
		},
		{"nothing said", "", exit(137), "status 137", true, nil, ""},
		{
			"no headers", "build-module.sh: error: the Driver Toolkit image has no headers for kernel X\n", exit(3),
			"no headers for kernel X", true, ErrNoHeaders, "wrong kernel",
		},
		{"time limit", "CC\n", fmt.Errorf("job x: stopped: %w", engine.ErrTimeout), "time limit", false, engine.ErrTimeout, "more time"},
		{"interrupted", "a.c:1:2: error: no\n", context.Canceled, "context canceled", false, context.Canceled, ""},
		{"the engine fails", "", io.ErrUnexpectedEOF, "unexpected EOF", false, io.ErrUnexpectedEOF, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			built, err := Build(t.Context(), runner(func(job engine.Job) error {
				_, _ = io.WriteString(job.Log, tt.log)
				return tt.err
			}), compile(t))
			if built != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, %v, want %q", built, err, tt.want)
			}
			failed, ok := errors.AsType[*CompileError](err)
			if ok != tt.compile || ok && failed.Tail != "the tail" {
				t.Errorf("a compile error: %v, want %v", ok, tt.compile)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			if got := fault.Of(err); (got == "") != (tt.hint == "") || !strings.Contains(got, tt.hint) {
				t.Errorf("hint %q, want %q", got, tt.hint)
			}
		})
	}
}

// R4.2: a container that ends well is not believed; what it left is looked at, and nothing is followed
// out of its directory.
func TestBuildRefusesOutput(t *testing.T) {
	object := string(newObject(good).bytes(t))
	secret := filepath.Join(t.TempDir(), "secret.ko")
	if err := os.WriteFile(secret, []byte(object), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		do   func(job engine.Job)
		want string
	}{
		{"nothing", func(engine.Job) {}, "has left no " + ko},
		{"a module of another version", func(j engine.Job) {
			leave(t, j, ko, string(newObject(strings.Replace(good, "2.24.7.0", "2.22.2.0", 1)).bytes(t)))
		}, `version "2.22.2.0", want "2.24.7.0"`},
		{"a module of another kernel", func(j engine.Job) {
			leave(t, j, ko, string(newObject(strings.Replace(good, "+rt", "", 1)).bytes(t)))
		}, "has vermagic"},
		{"no module", func(j engine.Job) { leave(t, j, ko, "hello") }, "not an ELF file"},
		{"the module is a link", func(j engine.Job) { link(t, j, secret, ko) }, "not a regular file"},
		{"the directory is a link", func(j engine.Job) { link(t, j, filepath.Dir(secret), "opt") }, `"opt" is outside`},
		{"a file elsewhere", func(j engine.Job) { leave(t, j, ko, object); leave(t, j, "etc/passwd", "") }, `"etc" is outside`},
		{"a file beside", func(j engine.Job) { leave(t, j, ko, object); leave(t, j, "opt/x", "") }, `"opt/x" is outside`},
		{"a directory below", func(j engine.Job) { leave(t, j, ko, object); leave(t, j, dir+"x/y", "") }, "is outside"},
		{"the host link leads elsewhere", func(j engine.Job) { leave(t, j, ko, object); link(t, j, "/etc", dir+"host") }, `leads to "/etc"`},
		{"too many files", func(j engine.Job) {
			for i := range maxFiles {
				leave(t, j, fmt.Sprint(dir, i), "")
			}
		}, "more than 1000 files"},
		{"too much", func(j engine.Job) {
			leave(t, j, ko, object)
			if err := os.Truncate(filepath.Join(j.Output, ko), MaxOutput+1); err != nil {
				t.Fatal(err)
			}
		}, "more than 64 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			built, err := Build(t.Context(), runner(func(j engine.Job) error { tt.do(j); return nil }), compile(t))
			if built != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v, want %q", built, err, tt.want)
			}
		})
	}
}

func TestBuildNeedsAll(t *testing.T) {
	for name, change := range map[string]func(*Compile){
		"script": func(c *Compile) { c.Script = "" },
		"jobs":   func(c *Compile) { c.Jobs = 0 },
		"driver": func(c *Compile) { c.Driver = version.Driver{} },
		"kernel": func(c *Compile) { c.Kernel = kernel.Version{} },
	} {
		t.Run(name, func(t *testing.T) {
			c := compile(t)
			change(&c)
			_, err := Build(t.Context(), runner(func(engine.Job) error {
				t.Error("it ran")
				return nil
			}), c)
			if err == nil {
				t.Error("no error")
			}
		})
	}
}
