package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"neuron-kmod/internal/platform/filelock"
	"neuron-kmod/internal/platform/limit"
)

// validID is the form of the IDs that Open makes.
var validID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// maxPath bounds what is read of a lock file.
const maxPath = 4 << 10

// Leftover is a run that was killed. It is locked, so that no two runs clean up after the same one.
type Leftover struct {
	ID  string // of the run
	Dir string // its directory, "" if the lock file names none of the form that a run makes

	lock *filelock.Lock
}

// Stale finds the runs under stateDir whose process is gone. The caller calls Remove or Close on each. Runs that are
// alive, or that another process is cleaning up after, are not among them. A stateDir that is not there has none.
func Stale(stateDir string) ([]*Leftover, error) {
	runs := filepath.Join(stateDir, "runs")
	entries, err := os.ReadDir(runs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for killed runs: %w", err)
	}
	var found []*Leftover
	var errs []error
	for _, e := range entries {
		if !validID.MatchString(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		lock, err := filelock.TryExclusive(filepath.Join(runs, e.Name()))
		if err != nil {
			errs = append(errs, fmt.Errorf("look for killed runs: %w", err))
		}
		if lock != nil {
			found = append(found, &Leftover{ID: e.Name(), Dir: runDir(e.Name(), lock.Path()), lock: lock})
		}
	}
	return found, errors.Join(errs...)
}

// runDir reads the directory's name from a run's lock file: "" unless it is one that Open makes for that run.
// Whatever else the file says must not be removed.
func runDir(id, lockPath string) string {
	data, err := limit.ReadFile(lockPath, maxPath)
	if err != nil {
		return ""
	}
	dir := string(data)
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || filepath.Base(dir) != prefix+id ||
		strings.ContainsRune(dir, 0) {
		return ""
	}
	return dir
}

// Remove removes the killed run's directory and then its lock file. If that fails, a later run tries again.
func (l *Leftover) Remove() error {
	if l.Dir != "" {
		if err := removeOwn(l.Dir); err != nil {
			return errors.Join(fmt.Errorf("remove the directory of a killed run: %w", err), l.lock.Close())
		}
	}
	return l.lock.Remove()
}

// Close leaves everything as it is, for a later run.
func (l *Leftover) Close() error { return l.lock.Close() }

// removeOwn removes dir if it is a directory, not a link to one, and its owner is this process's user: anybody may make
// a name in a shared temporary directory once it is free.
func removeOwn(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user", dir)
	}
	return removeTree(dir)
}
