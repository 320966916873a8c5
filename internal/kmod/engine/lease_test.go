package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"neuron-kmod/internal/platform/filelock"
)

// pulled reports whether we, not the machine's owner, have brought the image here.
func pulled(l *Lease) bool { return readMarker(l.lock.Path()).Pulled }

// R6.3, R9.1: what was on the machine before stays on the machine.
func TestLeaseKeepsWhatWasThere(t *testing.T) {
	f, c := newFake(t, "podman")
	f.put(t, "images", dtk, "")
	lease, err := c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	if pulled(lease) || lease.Image() != dtk {
		t.Errorf("got %s, pulled: %v", lease.Image(), pulled(lease))
	}
	must(t, lease.Release(t.Context()))
	f.wantCalls(t, "image exists "+dtk)
	if !f.has("images", dtk) || len(f.markers(t)) != 0 {
		t.Error("want the image kept and no marker")
	}
}

// R6.3: what we pulled we remove, with the last user, whichever run that is.
func TestLeaseRemovesWhatWePulled(t *testing.T) {
	f, first := newFake(t, "podman")
	second := f.cli(t, "podman", "00000000000000bb", func(*Options) {})
	a, err := first.Acquire(t.Context(), dtk, nil)
	must(t, err)
	b, err := second.Acquire(t.Context(), dtk, nil)
	must(t, err)
	c, err := second.Acquire(t.Context(), dtk, nil)
	must(t, err)
	if !pulled(a) || !pulled(b) {
		t.Error("want it to be known as pulled by us")
	}
	must(t, errors.Join(a.Release(t.Context()), c.Release(t.Context())))
	must(t, errors.Join(first.Sweep(t.Context()), second.Sweep(t.Context())))
	if !f.has("images", dtk) {
		t.Fatal("it is gone while a run uses it")
	}
	must(t, errors.Join(b.Release(t.Context()), b.Release(t.Context())))
	if f.has("images", dtk) || len(f.markers(t)) != 0 {
		t.Error("want the image and the marker gone")
	}
	f.wantCalls(t, "image exists "+dtk, "pull "+dtk, "image exists "+dtk, "image exists "+dtk, "image rm "+dtk)
}

// R6.2: while another run's pull puts an image into podman's store, podman calls it corrupted for a moment. A pull of our own
// waits for the other one.
func TestLeaseHalfStored(t *testing.T) {
	f, c := newFake(t, "podman")
	f.next(t, "exists", outcome{Code: 1, Stderr: "level=error msg=\"Image " + dtk + " exists in local storage but may be corrupted " +
		"(remove the image to resolve the issue): locating item named \\\"manifest\\\" for image with ID \\\"99eb\\\": file does not exist\"\n"})
	lease, err := c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	f.wantCalls(t, "image exists "+dtk, "pull "+dtk)
	must(t, lease.Release(t.Context()))
	if f.has("images", dtk) || len(f.markers(t)) != 0 {
		t.Error("want the image and the marker gone")
	}
}

// R6.3, R8.2: an image that somebody else's container uses stays, and is tried again by a later run.
func TestLeaseInUseByOthers(t *testing.T) {
	f, c := newFake(t, "podman")
	lease, err := c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	f.put(t, "containers", "theirs", "- "+dtk)
	if err := lease.Release(t.Context()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
	must(t, os.Remove(f.file("containers", "theirs")))
	must(t, c.Sweep(t.Context()))
	if f.has("images", dtk) || len(f.markers(t)) != 0 {
		t.Error("want the image and the marker gone after the sweep")
	}
}

// Somebody else may have removed what we pulled.
func TestLeaseGoneAlready(t *testing.T) {
	f, c := newFake(t, "podman")
	lease, err := c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	must(t, os.Remove(f.file("images", dtk)))
	must(t, lease.Release(t.Context()))
	if len(f.markers(t)) != 0 {
		t.Error("the marker is still there")
	}
}

// Many runs come and go at once: an image is never gone while a lease holds it, and gone in the end.
func TestLeaseConcurrent(t *testing.T) {
	f, c := newFake(t, "podman")
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for range 3 {
				lease, err := c.Acquire(t.Context(), dtk, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if !f.has("images", dtk) {
					t.Error("the image is gone while it is leased")
				}
				if err := lease.Release(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if f.has("images", dtk) || len(f.markers(t)) != 0 {
		t.Error("want the image and the marker gone")
	}
}

// kill leaves what a SIGKILL leaves of a lease: a free lock.
func kill(t *testing.T, l *Lease) {
	t.Helper()
	must(t, l.lock.Close())
}

// R8.2: an image that a killed run pulled goes with the next run, one that was there before stays.
func TestSweepImages(t *testing.T) {
	f, c := newFake(t, "podman")
	const mine = "quay.io/mine:1"
	f.put(t, "images", mine, "")
	ours, err := c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	theirs, err := c.Acquire(t.Context(), mine, nil)
	must(t, err)
	live, err := c.Acquire(t.Context(), "quay.io/live:1", nil)
	must(t, err)
	defer func() { must(t, live.Release(context.WithoutCancel(t.Context()))) }()
	kill(t, ours)
	kill(t, theirs)
	f.argv(t)

	must(t, c.Sweep(t.Context()))
	f.wantCalls(t, "image rm "+dtk)
	if f.has("images", dtk) || !f.has("images", mine) || !f.has("images", "quay.io/live:1") {
		t.Errorf("images left: %v", f.names(t, "images"))
	}
	if n := len(f.markers(t)); n != 1 {
		t.Errorf("%d markers, want the live one", n)
	}
}

// R8.2: a run that was killed before its pull began, or in the middle, is cleaned up after as well.
func TestSweepKilledPull(t *testing.T) {
	f, c := newFake(t, "podman")
	lease, err := c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	must(t, os.Remove(f.file("images", dtk)))
	kill(t, lease)
	must(t, c.Sweep(t.Context()))
	if len(f.markers(t)) != 0 {
		t.Error("the marker is still there")
	}
}

// Whatever a marker holds, nothing but an image that we are known to have pulled is removed.
func TestSweepStrangeMarkers(t *testing.T) {
	tests := []struct {
		name, content string
		stays         bool
	}{
		{"empty", "", false},
		{"cut short", `{"engine":"podman","image":"quay.io/x:1","pu`, false},
		{"not pulled", `{"engine":"podman","image":"quay.io/x:1","pulled":false}`, false},
		{"too long", `{"engine":"podman","pulled":true,"image":"` + strings.Repeat("x", maxMarker) + `"}`, false},
		{"another engine's", `{"engine":"docker","image":"quay.io/x:1","pulled":true}`, true},
		{"a flag", `{"engine":"podman","image":"--all","pulled":true}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, c := newFake(t, "podman")
			dir, err := c.markers()
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "m"), []byte(tt.content), 0o600))
			f.put(t, "images", "quay.io/x:1", "")
			_ = c.Sweep(t.Context()) // some of these are errors, none may remove
			f.wantCalls(t)
			if !f.has("images", "quay.io/x:1") {
				t.Error("the image is gone")
			}
			if stays := len(f.markers(t)) == 1; stays != tt.stays {
				t.Errorf("the marker stays: %v, want %v", stays, tt.stays)
			}
		})
	}
}

// A marker that is being removed is waited for, and then made anew.
func TestAcquireWaitsForRemoval(t *testing.T) {
	f, c := newFake(t, "podman")
	first, err := c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	path := first.lock.Path()
	kill(t, first)
	removing, err := filelock.TryExclusive(path)
	must(t, err)
	got := make(chan error)
	go func() {
		lease, err := c.Acquire(t.Context(), dtk, nil)
		if err == nil && (!pulled(lease) || !f.has("images", dtk)) {
			err = errors.New("it has a lease on nothing")
		}
		got <- err
	}()
	must(t, c.retire(t.Context(), removing))
	must(t, <-got)
}
