// Package filelock is lock files that can be removed while others wait for them. A lock belongs to an open file
// (flock), so the kernel frees it when its process ends in any way, SIGKILL included.
//
// Removing a lock file races with whoever has just opened it and will get a lock on a file that no path leads to. Every
// function here therefore looks, once it has the lock, whether the path still leads to the locked file, and starts
// again if not. The package knows nothing of what a lock stands for.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// poll is how often one who waits looks again: flock(2) itself cannot be given up.
const poll = 50 * time.Millisecond

// mode lets only the owner see a lock file.
const mode fs.FileMode = 0o600

// Lock is a held lock. It is for one goroutine.
type Lock struct{ file *flock.Flock }

// Shared takes the lock at path together with other shared holders, creating the file if it is absent. It waits for an
// exclusive holder until ctx is done.
func Shared(ctx context.Context, path string) (*Lock, error) {
	return wait(ctx, path, (*flock.Flock).TryRLockContext)
}

// Exclusive takes the lock at path for itself alone, creating the file if it is absent. It waits for all other holders
// until ctx is done.
func Exclusive(ctx context.Context, path string) (*Lock, error) {
	return wait(ctx, path, (*flock.Flock).TryLockContext)
}

func wait(
	ctx context.Context, path string, take func(*flock.Flock, context.Context, time.Duration) (bool, error),
) (*Lock, error) {
	for {
		f := flock.New(path, flock.SetPermissions(mode))
		if _, err := take(f, ctx, poll); err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, errors.Join(err, f.Close()))
		}
		if l, err := held(f); l != nil || err != nil {
			return l, err
		}
	}
}

// TryExclusive takes the lock at path for itself alone, creating the file if it is absent. It does not wait: the result
// is nil if anybody else, in this process or another, holds the lock.
func TryExclusive(path string) (*Lock, error) {
	for {
		f := flock.New(path, flock.SetPermissions(mode))
		ok, err := f.TryLock()
		if err != nil || !ok {
			err = errors.Join(err, f.Close())
			if err != nil {
				return nil, fmt.Errorf("lock %s: %w", path, err)
			}
			return nil, nil
		}
		if l, err := held(f); l != nil || err != nil {
			return l, err
		}
	}
}

// held makes a Lock of the locked f, or closes f and returns nil if its path leads elsewhere by now.
func held(f *flock.Flock) (*Lock, error) {
	locked, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at lock %s: %w", f.Path(), errors.Join(err, f.Close()))
	}
	now, err := os.Lstat(f.Path())
	if err == nil && os.SameFile(locked, now) {
		return &Lock{file: f}, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look at lock %s: %w", f.Path(), errors.Join(err, f.Close()))
	}
	return nil, f.Close()
}

// Path is the lock file's path.
func (l *Lock) Path() string { return l.file.Path() }

// TryUpgrade makes a shared lock exclusive, without waiting. If others hold the lock the result is false and the lock
// is lost; of several holders that all try, the last one succeeds.
func (l *Lock) TryUpgrade() (bool, error) {
	ok, err := l.file.TryLock()
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	return ok, nil
}

// Remove deletes the lock file and gives up the lock. Only an exclusive holder may call it.
func (l *Lock) Remove() error {
	err := os.Remove(l.Path())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.Close())
}

// Close gives up the lock and leaves the file. Closing twice does no harm.
func (l *Lock) Close() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("unlock %s: %w", l.Path(), err)
	}
	return nil
}
