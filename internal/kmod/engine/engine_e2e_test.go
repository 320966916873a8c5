//go:build e2e

package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/workspace"
)

// These tests run the real engines: podman, with whatever containers.conf the machine needs, and docker, which
// makes no images for us. `lab with` gives them both. Their image is one static busybox, of Debian's package
// busybox-static.

const testImage = "localhost/neuron-kmod-engine-test:1"

// eachEngine runs a test on each of the real engines.
func eachEngine(t *testing.T, test func(t *testing.T, program string)) {
	t.Helper()
	for _, program := range programs {
		t.Run(program, func(t *testing.T) { test(t, program) })
	}
}

// newCLI returns an engine with a workspace of its own in root, which runs may share.
func newCLI(t *testing.T, program, root string) (*CLI, *workspace.Workspace) {
	t.Helper()
	c, w, err := realEngine(t.Context(), program, root)
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	return c, w
}

func realEngine(ctx context.Context, program, root string) (*CLI, *workspace.Workspace, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	state := filepath.Join(root, "state")
	w, err := workspace.Open(ctx, state, filepath.Join(root, "temp"), log)
	if err != nil {
		return nil, nil, err
	}
	c, err := New(Options{
		Program: program, StateDir: state, TempDir: w.Path(), RunID: w.ID(), RetryWait: time.Millisecond, Log: log,
	})
	return c, w, err
}

// busyboxTar is a root file system with sh and what it needs.
func busyboxTar(t *testing.T) []byte {
	t.Helper()
	binary, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v; this test needs Debian's package busybox-static", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(binary))}))
	_, err = w.Write(binary)
	must(t, err)
	for _, name := range []string{"sh", "cat", "id", "ls", "sleep", "touch", "echo", "grep"} {
		must(t, w.WriteHeader(&tar.Header{Name: "bin/" + name, Linkname: "busybox", Typeflag: tar.TypeSymlink, Mode: 0o777}))
	}
	must(t, w.WriteHeader(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}))
	must(t, w.Close())
	return b.Bytes()
}

// importImage puts the test's image into the engine's store.
func importImage(t *testing.T, program string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root.tar")
	must(t, os.WriteFile(file, busyboxTar(t), 0o600))
	must(t, command.Run(t.Context(), command.Cmd{Name: program, Args: []string{"import", file, testImage}}))
	t.Cleanup(func() {
		remove := command.Cmd{Name: program, Args: []string{"image", "rm", testImage}}
		must(t, command.Run(context.WithoutCancel(t.Context()), remove))
	})
}

func realJob(t *testing.T, script string) Job {
	t.Helper()
	j := job(t)
	j.Image, j.Script = testImage, script
	return j
}

// wantNoneOf fails if the engine has a container or an image of the run.
func wantNoneOf(t *testing.T, program, run string) {
	t.Helper()
	lists := [][]string{
		{"ps", "--all", "--format", "{{.ID}} {{.Image}} {{.Names}} {{.Labels}}"},
		{"image", "ls", "--all", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"},
	}
	if program == "podman" { // a build's working containers
		lists = append(lists, []string{"ps", "--all", "--external", "--format", "{{.ID}} {{.Image}} {{.Names}}"})
	}
	for _, args := range lists {
		out, err := command.Output(t.Context(), command.Cmd{Name: program, Args: args})
		must(t, err)
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, run) {
				t.Errorf("%s %s: left: %s", program, args[0], line)
			}
		}
	}
}

func TestE2ECheck(t *testing.T) { eachEngine(t, testCheck) }

func testCheck(t *testing.T, program string) {
	c, _ := newCLI(t, program, t.TempDir())
	info, err := c.Check(t.Context())
	must(t, err)
	if info.Name != program || info.Version == "" || !filepath.IsAbs(info.Storage) || !filepath.IsAbs(info.Path) {
		t.Errorf("got %+v", info)
	}
}

// R4.2, R10.1: what a script can do, and what not.
func TestE2ERun(t *testing.T) { eachEngine(t, testRun) }

func testRun(t *testing.T, program string) {
	importImage(t, program)
	c, _ := newCLI(t, program, t.TempDir())
	j := realJob(t, `set -eu
echo "$0 $# $1/$2"
cat /input/source/file
id -u
grep -E '^(CapEff|NoNewPrivs)' /proc/self/status
ls /sys/class/net
touch /input/source/new 2>/dev/null && echo "the input is writable"
echo result > /output/file
echo to stderr >&2
`)
	var log bytes.Buffer
	j.Log = &log
	must(t, os.WriteFile(filepath.Join(j.Inputs["source"], "file"), []byte("content\n"), 0o600))
	must(t, c.Run(t.Context(), j))
	want := "/input/script/job.sh 2 --not-a-flag/two words\ncontent\n0\n" +
		"CapEff:\t0000000000000000\nNoNewPrivs:\t1\nlo\nto stderr\n"
	if diff := cmp.Diff(want, log.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	info, err := os.Stat(filepath.Join(j.Output, "file"))
	must(t, err)
	if f, err := os.OpenFile(filepath.Join(j.Output, "file"), os.O_WRONLY, 0); err != nil {
		t.Errorf("the output is not the caller's: %v, %v", info.Mode(), err)
	} else {
		must(t, f.Close())
	}
	wantNoneOf(t, program, c.opts.RunID)
}

// R4.2: the script's exit status decides.
func TestE2ERunFails(t *testing.T) { eachEngine(t, testRunFails) }

func testRunFails(t *testing.T, program string) {
	importImage(t, program)
	c, _ := newCLI(t, program, t.TempDir())
	for script, want := range map[string]int{"echo no; exit 7": 7, "no-such-program": 127} {
		err := c.Run(t.Context(), realJob(t, script))
		if exit, ok := errors.AsType[*ExitError](err); !ok || exit.Code != want || exit.Tail == "" {
			t.Errorf("%s: got %v (%+v), want status %d", script, err, exit, want)
		}
	}
	j := realJob(t, "exit 0")
	j.Image = "localhost/neuron-kmod-no-such-image:1"
	err := c.Run(t.Context(), j)
	if _, ok := errors.AsType[*ExitError](err); ok || err == nil {
		t.Errorf("an image that is not there: got %v", err)
	}
	wantNoneOf(t, program, c.opts.RunID)
}

// R8.2: a script that ignores signals is gone when Run returns, and soon.
func TestE2ERunStopped(t *testing.T) { eachEngine(t, testRunStopped) }

func testRunStopped(t *testing.T, program string) {
	importImage(t, program)
	c, _ := newCLI(t, program, t.TempDir())
	const script = "trap '' TERM INT; echo ready; sleep 1000"
	t.Run("time limit", func(t *testing.T) {
		j := realJob(t, script)
		j.Limits.Time = 2 * time.Second
		start := time.Now()
		if err := c.Run(t.Context(), j); !errors.Is(err, ErrTimeout) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %s", took)
		}
		wantNoneOf(t, program, c.opts.RunID)
	})
	t.Run("interrupt", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		j := realJob(t, script)
		j.Log = writerFunc(func([]byte) { cancel() })
		if err := c.Run(ctx, j); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		wantNoneOf(t, program, c.opts.RunID)
	})
	t.Run("interrupt while the container is made", func(t *testing.T) {
		for delay := range 6 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(delay)*40*time.Millisecond)
			if err := c.Run(ctx, realJob(t, script)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			cancel()
		}
		wantNoneOf(t, program, c.opts.RunID)
	})
}

// killChild starts this test's binary as a run of its own that does what is registered as name, kills it with
// SIGKILL once it says that it is ready, and returns its run ID.
func killChild(t *testing.T, program, name, root string) string {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+name, "ENGINE_TEST_ROOT="+root, "ENGINE_TEST_PROGRAM="+program)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	said := make([]byte, len("0123456789abcdef"))
	_, err = io.ReadFull(out, said)
	must(t, err)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed
	return string(said)
}

func init() {
	children["run"] = func() error {
		c, w, err := realEngine(context.Background(), os.Getenv("ENGINE_TEST_PROGRAM"), os.Getenv("ENGINE_TEST_ROOT"))
		if err != nil {
			return err
		}
		output, err := w.Mkdir("output")
		if err != nil {
			return err
		}
		ready := writerFunc(func([]byte) { os.Stdout.WriteString(w.ID()) })
		return c.Run(context.Background(), Job{
			Name: "killed", Image: testImage, Script: "echo ready; sleep 1000", Output: output, Log: ready,
		})
	}
}

// R8.2: the next run removes the container, the directory and the lock of one that was killed, not of one
// that lives.
func TestE2ESweepAfterSIGKILL(t *testing.T) { eachEngine(t, testSweepAfterSIGKILL) }

func testSweepAfterSIGKILL(t *testing.T, program string) {
	importImage(t, program)
	root := t.TempDir()
	c, w := newCLI(t, program, root)
	live := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ready := make(chan struct{})
	j := realJob(t, "echo ready; sleep 1000")
	j.Log = writerFunc(func([]byte) { close(ready) })
	go func() { live <- c.Run(ctx, j) }()
	select {
	case <-ready:
	case err := <-live:
		t.Fatalf("the live run ended before its script began: %v", err)
	}

	killed := killChild(t, program, "run", root)
	dead := filepath.Join(root, "temp", "neuron-kmod-"+killed)
	if _, err := os.Stat(dead); err != nil {
		t.Fatal(err)
	}
	must(t, c.Sweep(t.Context()))
	wantNoneOf(t, program, killed)
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the killed run's directory: %v", err)
	}
	if _, err := os.Stat(w.Path()); err != nil {
		t.Errorf("the live run's directory: %v", err)
	}
	select {
	case err := <-live:
		t.Fatalf("the live run's container ended: %v", err)
	default:
	}
	stop()
	if err := <-live; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
