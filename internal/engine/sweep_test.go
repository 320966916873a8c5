package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// killedRun leaves what a run that was killed leaves of its workspace, and returns its folder.
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

// R8.2, R6.3: containers, half-built images and the folder of a killed run go; nobody else's.
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
		t.Errorf("the folder is still there: %v", err)
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
		t.Errorf("the first folder: %v", err)
	}
	if _, err := os.Stat(second); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the second folder is still there: %v", err)
	}
	must(t, c.Sweep(t.Context()))
	if _, err := os.Stat(first); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the first folder is still there: %v", err)
	}
}
