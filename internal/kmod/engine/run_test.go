package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// job is a job with an input and an output directory.
func job(t *testing.T) Job {
	t.Helper()
	root := t.TempDir()
	j := Job{
		Name: "compile-2.24.7.0", Image: "quay.io/dtk@sha256:" + strings.Repeat("0", 64), Script: "make\n",
		Args:   []string{"--not-a-flag", "two words"},
		Inputs: map[string]string{"source": filepath.Join(root, "source")}, Output: filepath.Join(root, "output"),
	}
	must(t, errors.Join(os.Mkdir(j.Inputs["source"], 0o700), os.Mkdir(j.Output, 0o700)))
	return j
}

// R4.2: the container has no network, no privileges, and no mounts but the job's. A flag more or less
// changes what a hostile toolkit may do, so the whole command line is compared.
func TestRunCommandLine(t *testing.T) {
	f, c := newFake(t, "podman")
	j := job(t)
	must(t, c.Run(t.Context(), j))
	const name = "neuron-kmod-00000000000000aa-1-compile-2.24.7.0"
	want := [][]string{
		{
			"run", "--rm", "--name=" + name, "--label=neuron-kmod.run=00000000000000aa",
			"--pull=never", "--network=none", "--cap-drop=all", "--security-opt=no-new-privileges",
			"--log-driver=none", "--sig-proxy=false", "--user=0:0", "--http-proxy=false",
			"--volume=FAKE/temp/script-RANDOM:/input/script:ro,Z",
			"--volume=" + j.Inputs["source"] + ":/input/source:ro,Z",
			"--volume=" + j.Output + ":/output:Z",
			"--workdir=/", "--entrypoint=/bin/sh", j.Image,
			"-c", `exec /bin/sh "$@" 2>&1`, "sh", "/input/script/job.sh", "--not-a-flag", "two words",
		},
		{"rm", "--force", "--time=0", "--ignore", "--volumes", name},
	}
	if diff := cmp.Diff(want, f.argv(t)); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if left, err := os.ReadDir(c.opts.TempDir); len(left) != 0 || err != nil {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}

// R4.2: docker's daemon is root's, and the output is the caller's all the same.
func TestDockerUser(t *testing.T) {
	for uid, want := range map[int]string{0: "--user=0:100", 1000: "--user=1000:100"} {
		f, c := newFake(t, "docker")
		d := c.store.dialect.(*docker)
		d.uid, d.gid = uid, 100
		must(t, c.Run(t.Context(), job(t)))
		var users []string
		for _, args := range f.argv(t) {
			switch args[0] {
			case "run":
				users = append(users, "--user="+flag(args, "--user"))
			case "rm":
				if diff := cmp.Diff([]string{"rm", "--force", "--volumes"}, args[:3]); diff != "" {
					t.Error(diff)
				}
			}
		}
		if diff := cmp.Diff([]string{want}, users); diff != "" {
			t.Error(diff)
		}
	}
}

// R4.2: the exit status decides, and the end of the output is at hand.
func TestRunOutcome(t *testing.T) {
	tests := []struct {
		name     string
		outcome  outcome
		exit     int    // of an ExitError, 0 for none
		contains string // in the error
	}{
		{"fine", outcome{Stdout: "out\n", Stderr: "err\n"}, 0, ""},
		{"the script fails", outcome{Code: 2, Stdout: "out\n", Stderr: "err\n"}, 2, "job compile-2.24.7.0: the script ended with status 2"},
		{"a command is not found", outcome{Code: 127}, 127, "status 127"},
		{"killed by the kernel", outcome{Code: 137}, 137, "status 137"},
		{"the engine fails", outcome{Code: 125, Stderr: "Error: no space left on device\n"}, 0, "no space left on device"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, c := newFake(t, "podman")
			f.next(t, "run", tt.outcome)
			var log bytes.Buffer
			j := job(t)
			j.Log = &log
			err := c.Run(t.Context(), j)
			exit, ok := errors.AsType[*ExitError](err)
			if ok != (tt.exit != 0) || ok && (exit.Code != tt.exit || exit.Tail != log.String()) {
				t.Errorf("got %v (%+v), want status %d", err, exit, tt.exit)
			}
			if (err == nil) != (tt.contains == "") || err != nil && !strings.Contains(err.Error(), tt.contains) {
				t.Errorf("got %v, want it to contain %q", err, tt.contains)
			}
			if got, want := log.String(), tt.outcome.Stdout+tt.outcome.Stderr; got != want {
				t.Errorf("log %q, want %q", got, want)
			}
		})
	}
}

// R8.2: whatever ends a job, its container goes.
func TestRunStopped(t *testing.T) {
	for _, code := range []int{0, 137} { // podman 4 ends with 0 when a signal stops it
		t.Run("time limit", func(t *testing.T) {
			f, c := newFake(t, "podman")
			f.next(t, "run", outcome{Hang: true, Code: code})
			j := job(t)
			j.Limits.Time = 50 * time.Millisecond
			err := c.Run(t.Context(), j)
			if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "50ms") {
				t.Errorf("got %v, want ErrTimeout and the limit", err)
			}
			if left := f.names(t, "containers"); len(left) != 0 {
				t.Errorf("containers left: %v", left)
			}
		})
		t.Run("interrupt", func(t *testing.T) {
			f, c := newFake(t, "podman")
			f.next(t, "run", outcome{Hang: true, Code: code, Stdout: "ready\n"})
			cause := errors.New("interrupted")
			ctx, cancel := context.WithCancelCause(t.Context())
			j := job(t)
			j.Log = writerFunc(func([]byte) { cancel(cause) })
			j.Limits.Time = time.Hour
			if err := c.Run(ctx, j); !errors.Is(err, cause) || errors.Is(err, ErrTimeout) {
				t.Errorf("got %v, want %v", err, cause)
			}
			if left := f.names(t, "containers"); len(left) != 0 {
				t.Errorf("containers left: %v", left)
			}
		})
	}
}

// R8.2: docker's daemon goes on to make a container when nobody waits for it any more. It goes all the same, also when its
// removal, for --rm, has begun already.
func TestRunStoppedWithDaemon(t *testing.T) {
	f, c := newFake(t, "docker")
	f.next(t, "run", outcome{Slow: true})
	f.next(t, "rm",
		outcome{Code: 1, Stderr: "Error: No such container: x\n"},
		outcome{Code: 1, Stderr: "Error response from daemon: removal of container x is already in progress\n"},
	)
	ctx, cancel := context.WithCancel(t.Context())
	f.onHang(t, cancel)
	if err := c.Run(ctx, job(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left := f.names(t, "containers"); len(left) != 0 {
		t.Errorf("containers left: %v", left)
	}
}

type writerFunc func(p []byte)

func (w writerFunc) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// A container that cannot be removed is no success: the promise is that none is left.
func TestRunCannotRemove(t *testing.T) {
	f, c := newFake(t, "podman")
	f.next(t, "rm", outcome{Code: 125, Stderr: "Error: storage is busy\n"})
	if err := c.Run(t.Context(), job(t)); err == nil || !strings.Contains(err.Error(), "storage is busy") {
		t.Errorf("got %v", err)
	}
}

func TestOldDockerCannotFindContainer(t *testing.T) {
	f, c := newFake(t, "docker")
	c.store.dialect.(*docker).uid = 0
	f.next(t, "rm", outcome{Code: 1, Stderr: "Error: No such container: x\n"})
	must(t, c.Run(t.Context(), job(t)))
}

// What docker says about its usage is not why it failed.
func TestRunDockerFails(t *testing.T) {
	const why = "docker: Error response from daemon: no space left on device."
	for _, advice := range []string{"", "\nSee 'docker run --help'.\n", "\n\nRun 'docker run --help' for more information\n"} {
		f, c := newFake(t, "docker")
		c.store.dialect.(*docker).uid = 0
		f.next(t, "run", outcome{Code: 125, Stderr: why + advice})
		if err := c.Run(t.Context(), job(t)); err == nil || !strings.HasSuffix(err.Error(), ": "+why) {
			t.Errorf("got %v, want it to end with %q", err, why)
		}
	}
}

func TestRunWithoutEngine(t *testing.T) {
	f, c := newFake(t, "podman")
	must(t, os.Remove(filepath.Join(f.dir, "bin", "podman")))
	c.store.program = "podman-is-not-here"
	err := c.Run(t.Context(), job(t))
	if !errors.Is(err, exec.ErrNotFound) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want exec.ErrNotFound, once", err)
	}
}

// What a flag or a mount would be read as something else is refused before anything runs.
func TestRunRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Job)
		want   string
	}{
		{"name", func(j *Job) { j.Name = "a b" }, "its name"},
		{"no name", func(j *Job) { j.Name = "" }, "its name"},
		{"image is a flag", func(j *Job) { j.Image = "--privileged" }, `image "--privileged"`},
		{"no image", func(j *Job) { j.Image = "" }, "image"},
		{"input name leaves /input", func(j *Job) { j.Inputs["../etc"] = j.Output }, `input "../etc"`},
		{"input hides the script", func(j *Job) { j.Inputs["script"] = j.Output }, `input "script"`},
		{"input is a volume", func(j *Job) { j.Inputs["source"] = "volume" }, "not an absolute path"},
		{"input with a colon", func(j *Job) { j.Inputs["source"] = "/etc:/etc" }, "with a colon"},
		{"input is not there", func(j *Job) { j.Inputs["source"] = "/no/such/folder" }, "no such file"},
		{"output is a file", func(j *Job) { j.Output = "/etc/passwd" }, "not a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, c := newFake(t, "podman")
			j := job(t)
			tt.change(&j)
			if err := c.Run(t.Context(), j); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to contain %q", err, tt.want)
			}
			f.wantCalls(t)
		})
	}
}
