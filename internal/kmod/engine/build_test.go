package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"neuron-kmod/internal/platform/fault"
)

func buildSpec(t *testing.T, f fake) BuildSpec {
	t.Helper()
	img, err := random.Image(100, 1)
	must(t, err)
	created := time.Unix(1700000000, 0)
	spec := BuildSpec{
		Context: filepath.Join(f.dir, "context"), Containerfile: filepath.Join(f.dir, "Containerfile"),
		Args:     map[string]string{"KERNEL_VERSION": "6.1.0+rt", "DRIVER_VERSION": "2.24.7.0"},
		Labels:   map[string]string{"b": "two words", "a": "1"},
		Platform: "linux/amd64", Timestamp: &created, Out: filepath.Join(f.dir, "out.tar"),
		Bases: map[string]v1.Image{"public.ecr.aws/busybox:1": img, "quay.io/golang:1": nil},
	}
	must(t, os.Mkdir(spec.Context, 0o700))
	return spec
}

// R5.3: the engine's build has the arguments, labels, platform and time of the native one; R6.3: nothing
// of it is left in the engine's store.
func TestBuildCommandLine(t *testing.T) {
	f, c := newFake(t, "podman")
	spec := buildSpec(t, f)
	must(t, c.Build(t.Context(), spec))
	const own = "localhost/neuron-kmod-00000000000000aa-"
	base, golang, image := own+"2-base:latest", own+"3-base:latest", own+"1-image:latest"
	f.wantCalls(t,
		"load --input=FAKE/temp/build-RANDOM/base.tar",
		"image exists quay.io/golang:1",
		"pull quay.io/golang:1",
		"tag quay.io/golang:1 "+golang,
		"build --file=FAKE/Containerfile --tag="+image+
			" --format=oci --layers=false --force-rm --pull=never --identity-label=false --omit-history --timestamp=1700000000"+
			" --build-context=public.ecr.aws/busybox:1=container-image://"+base+
			" --build-context=quay.io/golang:1=container-image://"+golang+
			" --platform=linux/amd64 --build-arg=DRIVER_VERSION=2.24.7.0 --build-arg=KERNEL_VERSION=6.1.0+rt"+
			" --label=a=1 --label=b=two words FAKE/context",
		"save --format=oci-archive --output=FAKE/out.tar "+image,
		"ps --all --external --format {{.ID}} {{.Image}}",
		"image rm "+base, "image rm "+golang, "image rm "+image, "image rm quay.io/golang:1",
	)
	if left := f.names(t, "images"); len(left) != 0 {
		t.Errorf("images left: %v", left)
	}
	if _, err := os.Stat(spec.Out); err != nil {
		t.Error(err)
	}
}

// What docker is not shown to do it is not asked to do.
func TestBuildNeedsPodman(t *testing.T) {
	f, c := newFake(t, "docker")
	spec := buildSpec(t, f)
	err := c.Build(t.Context(), spec)
	if err == nil || !strings.Contains(err.Error(), "docker is used to compile") || !strings.Contains(fault.Of(err), "--engine podman") {
		t.Errorf("got %v, hint %q", err, fault.Of(err))
	}
	f.wantCalls(t)
	f.wantNothing(t, spec)
}

// R8.2: a build that fails or is stopped leaves nothing in the store and no half-written archive.
func TestBuildLeavesNothing(t *testing.T) {
	tests := []struct {
		name, verb string
		outcome    outcome
		want       string
	}{
		{"the base cannot be loaded", "load", outcome{Code: 125, Stderr: "Error: bad archive\n"}, "base image public.ecr.aws/busybox:1"},
		{"the base cannot be pulled", "pull", outcome{Code: 125, Stderr: "Error: manifest unknown\n"}, "does not have it"},
		{"the build fails", "build", outcome{Code: 1, Stderr: "Error: building at STEP \"RUN false\": exit status 1\n"}, "RUN false"},
		{"the image cannot be saved", "save", outcome{Code: 125, Stderr: "Error: no space left\n"}, "no space left"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, c := newFake(t, "podman")
			spec := buildSpec(t, f)
			f.next(t, tt.verb, tt.outcome)
			if err := c.Build(t.Context(), spec); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to contain %q", err, tt.want)
			}
			f.wantNothing(t, spec)
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		f, c := newFake(t, "podman")
		spec := buildSpec(t, f)
		f.next(t, "build", outcome{Hang: true, Stdout: "STEP 1\n"})
		cause := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		spec.Log = writerFunc(func([]byte) { cancel(cause) })
		if err := c.Build(ctx, spec); !errors.Is(err, cause) {
			t.Errorf("got %v, want %v", err, cause)
		}
		f.wantNothing(t, spec)
	})
}

func (f fake) wantNothing(t *testing.T, spec BuildSpec) {
	t.Helper()
	for _, kind := range []string{"images", "containers", "temp"} {
		if left := f.names(t, kind); len(left) != 0 {
			t.Errorf("%s left: %v", kind, left)
		}
	}
	if _, err := os.Stat(spec.Out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the archive: %v", err)
	}
}

func TestBuildRefuses(t *testing.T) {
	f, c := newFake(t, "podman")
	good := buildSpec(t, f)
	there := filepath.Join(f.dir, "there")
	must(t, os.WriteFile(there, []byte("precious"), 0o600))
	tests := []struct {
		name   string
		change func(*BuildSpec)
	}{
		{"context is a flag", func(s *BuildSpec) { s.Context = "--privileged" }},
		{"Containerfile relative", func(s *BuildSpec) { s.Containerfile = "Containerfile" }},
		{"archive is there", func(s *BuildSpec) { s.Out = there }},
		{"base is a flag", func(s *BuildSpec) { s.Bases = map[string]v1.Image{"--all": nil} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := good
			tt.change(&spec)
			if err := c.Build(t.Context(), spec); err == nil {
				t.Error("no error")
			}
			f.wantCalls(t)
		})
	}
	if data, err := os.ReadFile(there); err != nil || string(data) != "precious" {
		t.Errorf("the archive that was there: %q, %v", data, err)
	}
}
