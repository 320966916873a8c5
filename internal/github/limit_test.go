package github

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/test/lab/fakegithub"
)

// R7.3: whichever request meets a limit, the run waits as it is told and says so, and nothing is done twice.
func TestSecondaryLimits(t *testing.T) {
	want := wanted("notes", "busybox", "source")
	tests := map[string]struct {
		fault fakegithub.Fault
		wait  time.Duration
	}{
		"403 with a time":    {fakegithub.SecondaryLimit(http.StatusForbidden, "7"), 7 * time.Second},
		"429 with a time":    {fakegithub.SecondaryLimit(http.StatusTooManyRequests, "300"), 5 * time.Minute},
		"403 without":        {fakegithub.SecondaryLimit(http.StatusForbidden, ""), time.Minute},
		"429 of a proxy":     {fakegithub.Fault{Times: 1, Status: http.StatusTooManyRequests}, time.Minute},
		"403 of another doc": {fakegithub.Fault{Times: 1, Status: http.StatusForbidden, Message: "slow down", Header: http.Header{"Retry-After": {"3"}}}, 3 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for n := range 5 {
				w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
				tt.fault.Skip = n
				w.SetFaults(tt.fault)
				if _, err := w.sync(t, want); err != nil {
					t.Fatalf("at request %d: %v", n+1, err)
				}
				if diff := cmp.Diff(holds(want), w.Snapshot(repository)); diff != "" {
					t.Errorf("at request %d:\n%s", n+1, diff)
				}
				if !slices.Equal(w.waits, []time.Duration{tt.wait}) || len(w.Calls()) != 6 {
					t.Errorf("at request %d: waits %v among %d requests, want %v among 6", n+1, w.waits, len(w.Calls()), tt.wait)
				}
				if !strings.Contains(w.logged(), "waiting for GitHub's rate limit") || strings.Contains(w.logged(), w.token) {
					t.Errorf("log %s", w.logged())
				}
			}
		})
	}
}

// R7.3: when an hour's requests are used up, the run waits for the next if that is soon.
func TestPrimaryLimit(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	want := wanted("notes", "busybox", "source")
	w.SetRateLimit(3, time.Now().Add(2*time.Minute))
	w.mustSync(t, want, Change{Create, tag})
	if len(w.waits) != 1 || w.waits[0] < time.Minute || w.waits[0] > 3*time.Minute {
		t.Errorf("waits %v, want one of about 2 minutes", w.waits)
	}
	if diff := cmp.Diff(holds(want), w.Snapshot(repository)); diff != "" {
		t.Error(diff)
	}
}

// R7.3: nobody waits for longer than a quarter of an hour, in one piece or in several.
func TestLimitTooLong(t *testing.T) {
	long := fakegithub.SecondaryLimit(http.StatusForbidden, "")
	pieces, small, zero := fakegithub.SecondaryLimit(403, "400"), fakegithub.SecondaryLimit(403, "1"), fakegithub.SecondaryLimit(403, "0")
	long.Times, pieces.Times, small.Times, zero.Times = 0, 0, 0, 0
	tests := map[string]struct {
		set        func(w *world)
		waits      []time.Duration
		text, hint string
	}{
		"primary": {
			set:  func(w *world) { w.SetRateLimit(0, time.Now().Add(time.Hour)) },
			text: "limit of requests is used up until ", hint: "run again after that",
		},
		"in several pieces": {
			set:   func(w *world) { w.SetFaults(pieces) },
			waits: []time.Duration{400 * time.Second, 400 * time.Second},
			text:  "GitHub takes no more requests at the moment", hint: "in a few minutes",
		},
		"in many small pieces": {
			set:   func(w *world) { w.SetFaults(small) },
			waits: slices.Repeat([]time.Duration{time.Second}, mostWaits),
			text:  "GitHub takes no more requests at the moment", hint: "in a few minutes",
		},
		"a clock that is behind": {
			set: func(w *world) {
				w.SetFaults(fakegithub.Fault{Status: 403, Message: "API rate limit exceeded", Header: http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"1"}}})
			},
			waits: []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute},
			text:  "limit of requests is used up", hint: "run again",
		},
		"not to wait at all": {
			set:   func(w *world) { w.SetFaults(zero) },
			waits: []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute},
			text:  "GitHub takes no more requests at the moment", hint: "in a few minutes",
		},
		"secondary": {
			set:   func(w *world) { w.SetFaults(long) },
			waits: []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute},
			text:  "GitHub takes no more requests at the moment", hint: "in a few minutes",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
			tt.set(w)
			_, err := w.sync(t, wanted("n", "b", "s"))
			if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.Of(err), tt.hint) {
				t.Errorf("error %v, advice %q", err, fault.Of(err))
			}
			if _, credential := errors.AsType[*CredentialError](err); credential {
				t.Error("a limit is taken for a missing permission")
			}
			if !slices.Equal(w.waits, tt.waits) || len(w.Calls()) != len(tt.waits)+1 {
				t.Errorf("waits %v among %d requests, want %v", w.waits, len(w.Calls()), tt.waits)
			}
		})
	}
}

// The releases of several drivers share what one client may wait: a job has its end.
func TestLimitShared(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	c := w.as(t, w.options())
	for n, wait := range []int{1, 0} { // what is left of the quarter of an hour allows one wait of 500 s
		limited := fakegithub.SecondaryLimit(403, "500")
		w.SetFaults(limited)
		_, err := c.Sync(t.Context(), wanted("n", "b", "s"))
		if len(w.waits) != 1 || (err == nil) != (wait == 1) {
			t.Errorf("release %d: error %v, waits %v", n+1, err, w.waits)
		}
	}
}

// A wait ends with the run.
func TestPause(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := pause(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := pause(t.Context(), time.Nanosecond); err != nil {
		t.Error(err)
	}
}
