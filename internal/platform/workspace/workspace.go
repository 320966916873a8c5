// Package workspace is a run's own directory: everything temporary lies in it, and it can be told from a
// killed run's when its owner is gone. A lock file in the state directory, held for the process's life, names
// the directory; the kernel frees the lock of a process that ends in any way.
//
// The package knows nothing of what a run does, and removes only directories of the one form it makes.
package workspace

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"neuron-kmod/internal/platform/filelock"
)

// prefix begins the name of every run's directory; the run's ID ends it.
const prefix = "neuron-kmod-"

// Workspace is the directory of this run. It is safe for concurrent use.
type Workspace struct {
	id   string
	dir  string
	lock *filelock.Lock
	log  *slog.Logger

	mu     sync.Mutex
	closed bool
}

// Open makes a directory for a new run in tempDir, and its lock file in stateDir/runs. Both are made if they
// are absent. An empty tempDir is the system's. The caller closes the workspace.
func Open(ctx context.Context, stateDir, tempDir string, log *slog.Logger) (*Workspace, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	if tempDir == "" {
		tempDir = os.TempDir()
	}
	tempDir, err := filepath.Abs(tempDir)
	if err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	runs := filepath.Join(stateDir, "runs")
	if err := errors.Join(os.MkdirAll(runs, 0o700), os.MkdirAll(tempDir, 0o700)); err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails: https://pkg.go.dev/crypto/rand#Read
	id := hex.EncodeToString(random[:])
	w := &Workspace{id: id, dir: filepath.Join(tempDir, prefix+id), log: log}
	w.lock, err = filelock.TryExclusive(filepath.Join(runs, id))
	if err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	if w.lock == nil {
		return nil, fmt.Errorf("make the run's directory: run %s is there already", id)
	}
	// The name is on record before the directory is there, so that no directory is without one.
	err = os.WriteFile(w.lock.Path(), []byte(w.dir), 0o600)
	if err == nil {
		err = os.Mkdir(w.dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", errors.Join(err, w.lock.Remove()))
	}
	return w, nil
}

// ID is the run's ID: 16 lower case hexadecimal digits.
func (w *Workspace) ID() string { return w.id }

// Path is the path of elem in the run's directory, absolute; of the directory itself without elem.
func (w *Workspace) Path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

// Mkdir makes the directory name in the run's directory and returns its path. It must not be there.
func (w *Workspace) Mkdir(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("make directory %q: not a path within the run's directory", name)
	}
	path := w.Path(name)
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", fmt.Errorf("make a directory for the run: %w", err)
	}
	return path, nil
}

// Close removes the directory with all that is in it, then the lock file. If the directory cannot be removed
// the lock file stays, so that a later run tries again. Closing twice does no harm.
func (w *Workspace) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	if err := removeTree(w.dir); err != nil {
		return errors.Join(fmt.Errorf("remove the run's directory: %w", err), w.lock.Close())
	}
	w.log.Debug("removed the run's folder", "folder", w.dir)
	return w.lock.Remove()
}

// removeTree removes dir, also where something in it was made read-only.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	walkErr := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // what cannot be read is RemoveAll's to complain of
		}
		return os.Chmod(path, 0o700)
	})
	return errors.Join(walkErr, os.RemoveAll(dir))
}
