//go:build e2e

package engine

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/platform/fault"
)

// wantProbe runs a probe and fails if anything is left of it, not even a layer without a name.
func wantProbe(ctx context.Context, t *testing.T, program string, base v1.Image) error {
	t.Helper()
	c, w := newCLI(t, program, t.TempDir())
	list := func() string {
		images, err := c.store.list(t.Context(), "image", "ls", "--all", "--quiet", "--no-trunc")
		must(t, err)
		return strings.Join(images, " ")
	}
	before := list()
	err := c.Probe(ctx, base)
	if after := list(); after != before {
		t.Errorf("images before: %q, after: %q", before, after)
	}
	wantNoneOf(t, program, c.opts.RunID)
	if left, err := os.ReadDir(w.Path()); len(left) != 0 || err != nil {
		t.Errorf("left in the run's directory: %v, %v", left, err)
	}
	return err
}

// R1.2, R8.2: real podman runs a container, or says why not; whatever happens, nothing is left of it.
func TestE2EProbe(t *testing.T) { eachEngine(t, testProbe) }

func testProbe(t *testing.T, program string) {
	base := busyboxImage(t)
	must(t, wantProbe(t.Context(), t, program, base))

	t.Run("no shell", func(t *testing.T) {
		err := wantProbe(t.Context(), t, program, probeBase(t))
		if err == nil || !strings.Contains(err.Error(), "/bin/sh") || !strings.Contains(fault.Of(err), "no shell") {
			t.Errorf("got %v, hint %q", err, fault.Of(err))
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		for delay := range 8 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(delay)*100*time.Millisecond)
			if err := wantProbe(ctx, t, program, base); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			cancel()
		}
	})
}
