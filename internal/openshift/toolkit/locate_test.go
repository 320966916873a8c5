package toolkit

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/platform/fault"
)

// R1.3: a toolkit that the mirror holds is read there, without access to the catalogue's registry; what becomes of it
// is told under the catalogue's name, and remembered.
func TestKernelFromMirror(t *testing.T) {
	s := newStore(t)
	dtk, other := s.kernelToolkit(t, rhelKernel), s.kernelToolkit(t, "5.14.0-1.el9_6.x86_64")
	s.copy(t, dtk, "4.20.16")
	m, _ := s.mirror(t, map[string][]string{dtk: {"4.20.16"}, other: {"4.20.17"}})
	s.Break(registrytest.Fault{Path: "/openshift/dtk/", Status: http.StatusUnauthorized})
	r := newReader(t, NewCache(t.TempDir()))
	r.Locate = m.Locate
	for range 2 {
		got := r.Kernels(t.Context(), []string{dtk, other}, 2)
		wantKernel(t, got[dtk].Kernel.String(), got[dtk].Err, rhelKernel, "")
		wantKernel(t, "", got[other].Err, "", other)
		r.Locate = func(_ context.Context, asked string) (string, error) {
			if asked == dtk {
				t.Error("it was asked for a toolkit that is remembered")
			}
			return asked, nil
		}
	}
}

// R1.3, R8.1: whatever is wrong with the mirror, the error tells of the toolkit and of where it was looked for.
func TestKernelLocateFails(t *testing.T) {
	failure := errors.New("the mirror is in trouble")
	for name, tt := range map[string]struct {
		locate func(s *store, dtk string) (string, error)
		want   string
		hint   string
	}{
		"error":         {func(*store, string) (string, error) { return "", failure }, failure.Error(), ""},
		"another image": {func(s *store, _ string) (string, error) { return s.Host + "/mirror/dtk@" + digest, nil }, "another image", ""},
		"no digest":     {func(s *store, _ string) (string, error) { return s.Host + "/mirror/dtk:4.20.16", nil }, "/mirror/dtk:4.20.16", ""},
		"gone":          {func(s *store, dtk string) (string, error) { return s.inMirror(dtk), nil }, "its copy", "copy the image again"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			dtk := s.kernelToolkit(t, rhelKernel)
			cache := NewCache(t.TempDir())
			r := newReader(t, cache)
			r.Locate = func(context.Context, string) (string, error) { return tt.locate(s, dtk) }
			_, err := r.Kernel(t.Context(), dtk)
			wantKernel(t, "", err, "", tt.want)
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), dtk) || !strings.Contains(fault.Of(err), tt.hint) {
				t.Errorf("error %v, hint %q; want %s named and hint %q", err, fault.Of(err), dtk, tt.hint)
			}
			if name == "error" && !errors.Is(err, failure) || name == "gone" && !registry.Is404(err) {
				t.Errorf("the cause of %v is lost", err)
			}
			if k, ok := cache.get(digestOf(dtk)); ok {
				t.Errorf("it remembers %v", k)
			}
		})
	}
}
