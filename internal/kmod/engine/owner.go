package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// A run that has something in an engine's store says in a file of the state directory which engine's it is, under the
// run's ID and for as long as that is so. If the run is killed, another engine's Sweep leaves it to this one's.

// owner writes down which engine's store a run has something in.
type owner struct {
	dir    string // of the files of all runs
	run    string // the ID of this run
	engine string // "podman" or "docker"

	mu sync.Mutex
	n  int // how much the run has in the store at the moment
}

// markInUse says that the run is about to put something into the store. The function that it returns says that it is
// gone; the last one removes the file.
func (o *owner) markInUse() (unmark func() error, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n == 0 {
		err := os.MkdirAll(o.dir, 0o700)
		if err == nil {
			err = os.WriteFile(o.file(o.run), []byte(o.engine), 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("write down the run's engine: %w", err)
		}
	}
	o.n++
	return o.unmark, nil
}

func (o *owner) unmark() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n--; o.n > 0 {
		return nil
	}
	return removeIfThere(o.file(o.run))
}

func (o *owner) file(run string) string { return filepath.Join(o.dir, run) }

// engineOf returns the engine in whose store a killed run has left something; "" if that is not known.
func (o *owner) engineOf(run string) (string, error) {
	name, err := os.ReadFile(o.file(run))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the run's engine: %w", err)
	}
	if !slices.Contains(programs, string(name)) { // it was cut off by a crash
		return "", nil
	}
	return string(name), nil
}
