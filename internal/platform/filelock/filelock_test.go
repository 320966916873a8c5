package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func lockPath(t *testing.T) string { return filepath.Join(t.TempDir(), "lock") }

func shared(t *testing.T, path string) *Lock {
	t.Helper()
	l, err := Shared(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSharedHoldersAndUpgrade(t *testing.T) {
	path := lockPath(t)
	first, second := shared(t, path), shared(t, path)
	if l, err := TryExclusive(path); l != nil || err != nil {
		t.Fatalf("exclusive beside two shared: %v, %v", l, err)
	}
	if ok, err := first.TryUpgrade(); ok || err != nil {
		t.Fatalf("upgrade beside another holder: %v, %v", ok, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if ok, err := second.TryUpgrade(); !ok || err != nil {
		t.Fatalf("upgrade of the last holder: %v, %v", ok, err)
	}
	if err := second.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// Of holders that leave at the same time exactly one is the last.
func TestOneLastHolder(t *testing.T) {
	for range 50 {
		path := lockPath(t)
		var last atomic.Int64
		var ready, left sync.WaitGroup
		ready.Add(8)
		for range 8 {
			l := shared(t, path)
			left.Go(func() {
				ready.Done()
				ready.Wait()
				ok, err := l.TryUpgrade()
				if err != nil {
					t.Error(err)
				}
				if ok {
					last.Add(1)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		left.Wait()
		if n := last.Load(); n > 1 {
			t.Fatalf("%d were the last", n)
		}
	}
}

func TestSharedGivesUp(t *testing.T) {
	path := lockPath(t)
	l, err := TryExclusive(path)
	if err != nil || l == nil {
		t.Fatal(l, err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Shared(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

// Whoever waits while the file is removed must not end up with a lock on a file that is not there: two
// holders would then each believe to be alone.
func TestRemovalRace(t *testing.T) {
	path := lockPath(t)
	var holders, rounds atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				l, err := TryExclusive(path)
				if err != nil {
					t.Error(err)
					return
				}
				if l == nil {
					continue
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d exclusive holders", n)
				}
				rounds.Add(1)
				holders.Add(-1)
				if err := l.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if rounds.Load() == 0 {
		t.Error("nobody ever had the lock")
	}
}

func TestNoFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "lock")
	if l, err := TryExclusive(path); l != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("TryExclusive: %v, %v", l, err)
	}
	if l, err := Shared(t.Context(), path); l != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Shared: %v, %v", l, err)
	}
}

// Of many that want the lock for themselves each gets it in turn, although each removes the file.
func TestExclusive(t *testing.T) {
	path := lockPath(t)
	var holders, turns atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				l, err := Exclusive(t.Context(), path)
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				turns.Add(1)
				holders.Add(-1)
				if err := l.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := turns.Load(); n != 40 {
		t.Errorf("%d turns, want 40", n)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

func TestExclusiveGivesUp(t *testing.T) {
	path := lockPath(t)
	holder := shared(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if l, err := Exclusive(ctx, path); l != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside a shared holder: %v, %v", l, err)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Exclusive(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
