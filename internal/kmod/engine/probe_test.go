package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"neuron-kmod/internal/platform/fault"
)

// run is a container whose script writes the probe's file, unless there is a file "elsewhere": then the directories
// are another machine's.
func (f fake) run(args []string) int {
	if f.has("", "elsewhere") {
		return 0
	}
	for _, arg := range args {
		if dir, ok := strings.CutSuffix(arg, ":/output:Z"); ok {
			if err := os.WriteFile(filepath.Join(strings.TrimPrefix(dir, "--volume="), probeFile), nil, 0o600); err != nil {
				return 1
			}
		}
	}
	return 0
}

// onHang calls then when a call of the fake hangs, from another goroutine.
func (f fake) onHang(t *testing.T, then func()) {
	t.Helper()
	path := f.file("", "hangs")
	must(t, syscall.Mkfifo(path, 0o600))
	pipe, err := os.OpenFile(path, os.O_RDWR, 0) // for reading alone it would wait here for the writer
	must(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := pipe.Read(make([]byte, 1)); err == nil {
			then()
		}
	}()
	t.Cleanup(func() {
		must(t, pipe.Close())
		<-ended
	})
}

// tell is the fake's side of onHang.
func (f fake) tell() {
	if !f.has("", "hangs") {
		return
	}
	if err := os.WriteFile(f.file("", "hangs"), []byte{1}, 0); err != nil {
		panic(err)
	}
}

func probeBase(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(100, 1)
	must(t, err)
	return img
}

// R1.2: the probe's container is as every job's: no network, no privileges, and what it writes arrives.
func TestProbe(t *testing.T) {
	f, c := newFake(t, "podman")
	must(t, c.Probe(t.Context(), probeBase(t)))
	const image, name = "localhost/neuron-kmod-00000000000000aa-1-probe:latest", "neuron-kmod-00000000000000aa-2-probe"
	f.wantCalls(t,
		"load --input=FAKE/temp/probe-RANDOM/base.tar",
		"run --rm --name="+name+" --label=neuron-kmod.run=00000000000000aa"+
			" --pull=never --network=none --cap-drop=all --security-opt=no-new-privileges"+
			" --log-driver=none --sig-proxy=false --user=0:0 --http-proxy=false"+
			" --volume=FAKE/temp/script-RANDOM:/input/script:ro,Z"+
			" --volume=FAKE/temp/probe-RANDOM/output:/output:Z"+
			" --workdir=/ --entrypoint=/bin/sh "+image+` -c exec /bin/sh "$@" 2>&1 sh /input/script/job.sh`,
		"rm --force --time=0 --ignore --volumes "+name,
		"image rm "+image,
	)
	f.wantEmpty(t)
}

// wantEmpty fails if the store or the run's directory holds anything, or the run is said to have something there.
func (f fake) wantEmpty(t *testing.T) {
	t.Helper()
	for _, kind := range []string{"images", "containers", "temp", "state/engines"} {
		if left := f.names(t, kind); len(left) != 0 {
			t.Errorf("%s left: %v", kind, left)
		}
	}
}

// R1.2, R8.1: why containers do not run, in the engine's words, and what to do. The words are real ones.
func TestProbeFailures(t *testing.T) {
	tests := []struct {
		name, program, verb string
		outcome             outcome
		hint                string
	}{
		{"no subuids", "podman", "load", outcome{Code: 125, Stderr: "Error: copying system image from manifest list: writing blob: adding layer with blob \"sha256:0\": potentially insufficient UIDs or GIDs available in user namespace (requested 0:42 for /etc/gshadow): Check /etc/subuid and /etc/subgid if configured locally and run podman-system-migrate: lchown /etc/gshadow: invalid argument\n"}, "--add-subuids"},
		{"no newuidmap", "podman", "load", outcome{Code: 125, Stderr: "Error: command required for rootless mode with multiple IDs: exec: \"newuidmap\": executable file not found in $PATH\n"}, "package uidmap"},
		{"no user namespaces", "podman", "load", outcome{Code: 125, Stderr: "cannot clone: No space left on device\nError: cannot re-exec process\n"}, "user.max_user_namespaces"},
		{"storage read-only", "podman", "load", outcome{Code: 125, Stderr: "Error: mkdir /var/lib/containers/storage/libpod: read-only file system\n"}, "storage.conf (graphroot"},
		{"storage of another user", "podman", "load", outcome{Code: 125, Stderr: "Error: creating runtime static files directory: mkdir /storage: permission denied\n"}, "owner and modes"},
		{"storage full", "podman", "load", outcome{Code: 125, Stderr: "Error: writing blob: write /var/lib/containers/storage/x: no space left on device\n"}, "make room"},
		{"overlay on overlay", "podman", "load", outcome{Code: 125, Stderr: "Error: 'overlay' is not supported over overlayfs, a mount_program is required: backing file system is unsupported for this graph driver\n"}, "vfs"},
		{"cgroups", "podman", "run", outcome{Code: 126, Stderr: "Error: OCI runtime error: crun: cgroups in hybrid mode not supported, drop all controllers from cgroupv2\n"}, "install runc"},
		{"limits", "podman", "run", outcome{Code: 126, Stderr: "Error: crun: setrlimit `RLIMIT_NPROC`: Operation not permitted: OCI permission denied\n"}, "default_ulimits"},
		{"limits, runc", "podman", "run", outcome{Code: 126, Stderr: "Error: runc: runc create failed: unable to start container process: error during container init: error setting rlimits for ready process: error setting rlimit type 7: operation not permitted: OCI permission denied\n"}, "default_ulimits"},
		{"no shell", "podman", "run", outcome{Code: 127, Stderr: "Error: runc: runc create failed: unable to start container process: exec: \"/bin/sh\": stat /bin/sh: no such file or directory: OCI runtime attempted to invoke a command that was not found\n"}, "no shell"},
		{"no shell, docker", "docker", "run", outcome{Code: 127, Stderr: "docker: Error response from daemon: failed to create task for container: exec: \"/bin/sh\": stat /bin/sh: no such file or directory: unknown.\ntime=\"2026-11-27T15:41:24Z\" level=error msg=\"error waiting for container: context canceled\"\n"}, "no shell"},
		{"a mount", "podman", "run", outcome{Code: 126, Stderr: "time=\"2026\" level=warning msg=\"cgroups\"\nError: crun: mount `proc` to `proc`: Operation not permitted: OCI permission denied\n"}, "SELinux"},
		{"no runtime", "podman", "run", outcome{Code: 125, Stderr: "Error: default OCI runtime \"crun\" not found: invalid argument\n"}, "crun or runc"},
		{"another architecture", "podman", "run", outcome{Code: 1, Stdout: "{\"msg\":\"exec container process `/bin/sh`: Exec format error\",\"level\":\"error\"}\n"}, "x86_64"},
		{"a virtual machine", "podman", "run", outcome{Code: 125, Stderr: "Error: statfs /var/folders/x: no such file or directory\n"}, "have podman machine or docker share it"},
		{"another machine", "docker", "run", outcome{Code: 2, Stderr: "/bin/sh: can't open '/input/script/job.sh': No such file or directory\n"}, "have podman machine or docker share it"},
		{"no daemon", "docker", "load", outcome{Code: 1, Stderr: "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n"}, "start the docker daemon"},
		{"not of the group", "docker", "run", outcome{Code: 126, Stderr: "docker: permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock.\nSee 'docker run --help'.\n"}, "group docker"},
		{"who knows", "podman", "run", outcome{Code: 125, Stderr: "Error: the input was truncated\n"}, "/bin/podman run --rm IMAGE true` work first"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, c := newFake(t, tt.program)
			if d, ok := c.store.dialect.(*docker); ok {
				d.uid = 0
			}
			f.next(t, tt.verb, tt.outcome)
			err := c.Probe(t.Context(), probeBase(t))
			said := strings.TrimSpace(withoutUsage(tt.outcome.Stdout + tt.outcome.Stderr))
			said, _, _ = strings.Cut(said, "\ntime=") // docker's own log
			last := said[strings.LastIndexByte(said, '\n')+1:]
			if err == nil || !strings.HasSuffix(err.Error(), last) {
				t.Errorf("got %v, want it to end with %q", err, last)
			}
			if !strings.Contains(fault.Of(err), tt.hint) {
				t.Errorf("the hint is %q, want it to contain %q", fault.Of(err), tt.hint)
			}
			f.wantEmpty(t)
		})
	}
}

// R1.2: a container whose output is another machine's is of no use.
func TestProbeOutputDoesNotArrive(t *testing.T) {
	f, c := newFake(t, "podman")
	f.put(t, "", "elsewhere", "")
	err := c.Probe(t.Context(), probeBase(t))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(fault.Of(err), "TMPDIR") {
		t.Errorf("got %v, hint %q", err, fault.Of(err))
	}
	f.wantEmpty(t)
}

// R8.2: a probe that is stopped leaves nothing and blames nobody. A load that has begun ends by itself.
func TestProbeInterrupted(t *testing.T) {
	for _, verb := range []string{"load", "run"} {
		t.Run(verb, func(t *testing.T) {
			f, c := newFake(t, "podman")
			f.next(t, verb, outcome{Hang: true, Code: 1})
			cause := errors.New("interrupted")
			ctx, cancel := context.WithCancelCause(t.Context())
			must(t, syscall.Mkfifo(f.file("", "proceed"), 0o600))
			f.onHang(t, func() {
				cancel(cause)
				if verb == "load" { // the open waits for the reader
					if err := os.WriteFile(f.file("", "proceed"), nil, 0); err != nil {
						t.Error(err)
					}
				}
			})
			if err := c.Probe(ctx, probeBase(t)); !errors.Is(err, cause) || fault.Of(err) != "" {
				t.Errorf("got %v, hint %q; want %v without a hint", err, fault.Of(err), cause)
			}
			f.wantEmpty(t)
		})
	}
}

// An image that cannot be removed is no success: the promise is that none is left.
func TestProbeCannotRemove(t *testing.T) {
	f, c := newFake(t, "podman")
	f.next(t, "rm", outcome{}, outcome{Code: 125, Stderr: "Error: storage is busy\n"})
	if err := c.Probe(t.Context(), probeBase(t)); err == nil || !strings.Contains(err.Error(), "storage is busy") {
		t.Errorf("got %v", err)
	}
}

func TestProbeWithoutEngine(t *testing.T) {
	_, c := newFake(t, "podman")
	c.store.program = "podman-is-not-here"
	err := c.Probe(t.Context(), probeBase(t))
	if err == nil || !strings.Contains(fault.Of(err), "apt-get install podman") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, hint %q; want one error", err, fault.Of(err))
	}
}
