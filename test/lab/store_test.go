package lab

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testStore(t *testing.T) *store {
	t.Helper()
	return &store{dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}
}

func writeTo(text string, calls *atomic.Int32) func(context.Context, string) error {
	return func(_ context.Context, dir string) error {
		calls.Add(1)
		return os.WriteFile(filepath.Join(dir, "text"), []byte(text), 0o644)
	}
}

func readText(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "text"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestStoreMakesOncePerRecipe(t *testing.T) {
	s, calls := testStore(t), &atomic.Int32{}
	first, err := s.make(t.Context(), "thing", "recipe 1", writeTo("one", calls))
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.make(t.Context(), "thing", "recipe 1", writeTo("other", calls))
	if err != nil {
		t.Fatal(err)
	}
	if first != again || readText(t, again) != "one" || calls.Load() != 1 {
		t.Errorf("the same recipe: %s then %s, %d builds", first, again, calls.Load())
	}
	neighbour, err := s.make(t.Context(), "thing-else", "recipe 1", writeTo("neighbour", calls))
	if err != nil {
		t.Fatal(err)
	}
	changed, err := s.make(t.Context(), "thing", "recipe 2", writeTo("two", calls))
	if err != nil {
		t.Fatal(err)
	}
	if readText(t, changed) != "two" || exists(first) {
		t.Errorf("a changed recipe: %q in %s; the old directory is there: %v", readText(t, changed), changed, exists(first))
	}
	if !exists(neighbour) {
		t.Error("a thing whose name begins alike was removed")
	}
}

// Two concurrent calls of make, in processes of their own or not, build a thing once.
func TestStoreIsSafeForConcurrentUse(t *testing.T) {
	s, calls := testStore(t), &atomic.Int32{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			other := &store{dir: s.dir, log: s.log}
			dir, err := other.make(t.Context(), "thing", "recipe", writeTo("x", calls))
			if err != nil {
				t.Error(err)
			} else if _, err := os.Stat(filepath.Join(dir, "text")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if calls.Load() != 1 {
		t.Errorf("built %d times", calls.Load())
	}
}

// A build that was interrupted, or failed, leaves nothing that looks complete.
func TestStoreAfterInterruption(t *testing.T) {
	s, calls := testStore(t), &atomic.Int32{}
	half := filepath.Join(s.dir, "making-thing", "sub")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(half, 0o500); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	_, err := s.make(t.Context(), "thing", "recipe", func(_ context.Context, dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "text"), []byte("half"), 0o644); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("error = %v, want the build's", err)
	}
	dir, err := s.make(t.Context(), "thing", "recipe", writeTo("whole", calls))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{filepath.Join(dir, "text")}, entries); d != "" || readText(t, dir) != "whole" {
		t.Errorf("after an interruption: %s", d)
	}
}
