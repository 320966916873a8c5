package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// A run that has something in an engine's store says in a file of the state directory which engine's it is,
// under the run's ID and for as long as that is so. If the run is killed, another engine's Sweep leaves it
// to this one's.

// occupancy counts what a run has in its engine's store at the moment.
type occupancy struct {
	mu sync.Mutex
	n  int
}

// occupy says that the run is about to put something into the store. The function that it returns says
// that it is gone; the last one removes the file.
func (c *CLI) occupy() (leave func() error, err error) {
	c.occupied.mu.Lock()
	defer c.occupied.mu.Unlock()
	if c.occupied.n == 0 {
		path := c.ownerFile(c.RunID)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil {
			err = os.WriteFile(path, []byte(c.engineName()), 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("write down the run's engine: %w", err)
		}
	}
	c.occupied.n++
	return c.leave, nil
}

func (c *CLI) leave() error {
	c.occupied.mu.Lock()
	defer c.occupied.mu.Unlock()
	if c.occupied.n--; c.occupied.n > 0 {
		return nil
	}
	return removeIfThere(c.ownerFile(c.RunID))
}

func (c *CLI) ownerFile(run string) string { return filepath.Join(c.StateDir, "engines", run) }

// ownerOf is the engine in whose store a killed run has left something; "" if that is not known.
func (c *CLI) ownerOf(run string) (string, error) {
	name, err := os.ReadFile(c.ownerFile(run))
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
