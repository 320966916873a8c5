package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// killedRun leaves what a run that was killed leaves of its workspace, and returns its directory.
func (f fake) killedRun(t *testing.T, id string) string {
	t.Helper()
	runs, dir := filepath.Join(f.dir, "state", "runs"), filepath.Join(f.dir, "neuron-kmod-"+id)
	must(t, errors.Join(os.MkdirAll(runs, 0o700), os.Mkdir(dir, 0o700)))
	must(t, os.WriteFile(filepath.Join(runs, id), []byte(dir), 0o600))
	return dir
}

// A run with nothing to do must not wait for the engine.
func TestSweepNothing(t *testing.T) {
	f, c := newFake(t, "podman")
	must(t, c.Sweep(t.Context()))
	f.wantCalls(t)
}

// R8.2, R6.3: containers, half-built images and the directory of a killed run go; nobody else's.
func TestSweepRun(t *testing.T) {
	f, c := newFake(t, "podman")
	const id, other = "0000000000000dea", "0000000000000bee"
	dir := f.killedRun(t, id)
	base := "localhost/neuron-kmod-" + id + "-2-base:latest"
	f.put(t, "containers", "job", runLabel+"="+id+" quay.io/dtk:1")
	f.put(t, "containers", "working", "- "+base)
	f.put(t, "containers", "live", runLabel+"="+other+" quay.io/dtk:1")
	f.put(t, "containers", "live-working", "- localhost/neuron-kmod-"+other+"-2-base:latest")
	f.put(t, "containers", "stranger", "- quay.io/x:1")
	f.put(t, "images", base, "")
	f.put(t, "images", "localhost/neuron-kmod-"+other+"-2-base:latest", "")
	f.put(t, "images", "quay.io/x:1", "")

	must(t, c.Sweep(t.Context()))
	f.wantCalls(t,
		"ps --all --external --format {{.ID}} {{.Image}}",
		"ps --all --quiet --no-trunc --filter=label=neuron-kmod.run="+id,
		"rm --force --time=0 --ignore --volumes working job",
		"image ls --format {{.Repository}}:{{.Tag}} --filter=reference=localhost/neuron-kmod-"+id+"-*",
		"image rm "+base,
	)
	if diff := cmp.Diff([]string{"live", "live-working", "stranger"}, f.names(t, "containers")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"localhost/neuron-kmod-" + other + "-2-base:latest", "quay.io/x:1"}, f.names(t, "images")); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	must(t, c.Sweep(t.Context()))
	f.wantCalls(t)
}

// R8.2: what could not be removed is tried again, and does not stop the rest.
func TestSweepTriesAgain(t *testing.T) {
	f, c := newFake(t, "podman")
	first := f.killedRun(t, "0000000000000001")
	second := f.killedRun(t, "0000000000000002")
	f.next(t, "ps", outcome{Code: 125, Stderr: "Error: storage is busy\n"})
	err := c.Sweep(t.Context())
	if err == nil || !strings.Contains(err.Error(), "run 0000000000000001: list containers") {
		t.Errorf("got %v, want the first run's failure", err)
	}
	if _, err := os.Stat(first); err != nil {
		t.Errorf("the first directory: %v", err)
	}
	if _, err := os.Stat(second); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the second directory is still there: %v", err)
	}
	must(t, c.Sweep(t.Context()))
	if _, err := os.Stat(first); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the first directory is still there: %v", err)
	}
}

// R8.2: a run that was killed with a container of docker's is not forgotten by one with podman.
func TestSweepLeavesOtherEngines(t *testing.T) {
	f, podman := newFake(t, "podman")
	exe, err := os.Executable()
	must(t, err)
	must(t, os.Symlink(exe, filepath.Join(f.dir, "bin", "docker")))
	const id = "0000000000000dea"
	killed := f.cli(t, "docker", id, func(*Options) {})
	dir := f.killedRun(t, id)
	_, err = killed.owner.markInUse()
	must(t, err)
	f.put(t, "containers", "job", runLabel+"="+id+" quay.io/dtk:1")

	must(t, podman.Sweep(t.Context()))
	f.wantCalls(t)
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the directory that docker's container sees: %v", err)
	}
	docker := f.cli(t, "docker", "00000000000000bb", func(*Options) {})
	must(t, docker.Sweep(t.Context()))
	if left := f.names(t, "containers"); len(left) != 0 {
		t.Errorf("containers %q", left)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	if left := f.owners(t); len(left) != 0 {
		t.Errorf("left in the state directory: %q", left)
	}
}

// owners lists the runs that say they have something in an engine's store, with the engine.
func (f fake) owners(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(f.dir, "state", "engines", "*"))
	must(t, err)
	var out []string
	for _, file := range files {
		name, err := os.ReadFile(file)
		must(t, err)
		out = append(out, filepath.Base(file)+" "+string(name))
	}
	return out
}

// onWrite is a log that does something when it is written to.
type onWrite func()

func (f onWrite) Write(p []byte) (int, error) { f(); return len(p), nil }

// R8.2: while a job or a build is on, and no longer, the run's engine is on record.
func TestOwnerOnRecord(t *testing.T) {
	f, c := newFake(t, "podman")
	during := 0
	look := onWrite(func() {
		during++
		if diff := cmp.Diff([]string{"00000000000000aa podman"}, f.owners(t)); diff != "" {
			t.Error(diff)
		}
	})
	after := func() {
		t.Helper()
		if left := f.owners(t); len(left) != 0 {
			t.Errorf("afterwards: %q", left)
		}
	}
	f.next(t, "run", outcome{Stdout: "hello\n"}, outcome{Stdout: "hello\n", Code: 1})
	for _, fails := range []bool{false, true} {
		j := job(t)
		j.Log = look
		if err := c.Run(t.Context(), j); (err != nil) != fails {
			t.Error(err)
		}
		after()
	}
	s := buildSpec(t, f)
	s.Log = look
	f.next(t, "build", outcome{Stdout: "STEP 1\n", Code: 1})
	if err := c.Build(t.Context(), s); err == nil {
		t.Error("no error")
	}
	after()
	if during != 3 {
		t.Errorf("looked %d times, want 3", during)
	}

	first, err := c.owner.markInUse()
	must(t, err)
	second, err := c.owner.markInUse()
	must(t, err)
	must(t, first())
	look()
	must(t, second())
	after()
}
