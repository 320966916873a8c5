package toolkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/kernel"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// R9.1: a digest's kernel is asked for once.
func TestKernelIsRemembered(t *testing.T) {
	s := newStore(t)
	dtk := s.toolkit(t, "amd64", s.layer(t, tarOf(t, file(rhelKernel))))
	dir := filepath.Join(t.TempDir(), "cache", "kernels")
	for range 2 {
		s.Forget()
		k, err := newReader(t, NewCache(dir)).Kernel(t.Context(), dtk)
		wantKernel(t, k.String(), err, rhelKernel, "")
	}
	if got := s.Requests(); len(got) != 0 {
		t.Errorf("the second run asked the registry: %q", got)
	}
}

// R9.1: a cache that cannot be written costs time, not the kernel.
func TestKernelWithoutCache(t *testing.T) {
	s := newStore(t)
	dtk := s.toolkit(t, "amd64", s.layer(t, tarOf(t, file(rhelKernel))))
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := newReader(t, NewCache(path)).Kernel(t.Context(), dtk)
	wantKernel(t, k.String(), err, rhelKernel, "")
}

func TestCache(t *testing.T) {
	k, err := kernel.Parse(rhelKernel)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCache(t.TempDir())
	if _, ok := c.get(digest); ok {
		t.Error("an empty cache knows something")
	}
	if err := c.put(digest, k); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.get(digest); !ok || got != k {
		t.Errorf("get = %v, %v; want %v", got, ok, k)
	}
	// Whatever is in the file, it is either right or ignored, and written anew.
	for name, text := range map[string]string{
		"empty":        "",
		"truncated":    `{"digest":"` + digest,
		"other digest": `{"digest":"sha256:00","kernel":"` + rhelKernel + `"}`,
		"no kernel":    `{"digest":"` + digest + `"}`,
		"hostile":      `{"digest":"` + digest + `","kernel":"../../etc"}`,
		"large":        `{"digest":"` + digest + `","kernel":"` + rhelKernel + `"` + strings.Repeat(" ", maxRecord) + `}`,
	} {
		if err := os.WriteFile(c.path(digest), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, ok := c.get(digest); ok {
			t.Errorf("%s: get = %v, want nothing", name, got)
		}
		if err := c.put(digest, k); err != nil {
			t.Errorf("%s: put: %v", name, err)
		}
		if got, _ := c.get(digest); got != k {
			t.Errorf("%s: get after put = %v", name, got)
		}
	}
}

// R9.1: runs that share a cache see whole files and leave nothing else.
func TestCacheAtOnce(t *testing.T) {
	k, err := kernel.Parse(rhelKernel)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var runs errgroup.Group
	for range 8 {
		c := NewCache(dir)
		runs.Go(func() error {
			for range 50 {
				if err := c.put(digest, k); err != nil {
					return err
				}
				if got, ok := c.get(digest); !ok || got != k {
					t.Errorf("get = %v, %v", got, ok)
				}
			}
			return nil
		})
	}
	if err := runs.Wait(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the cache has %v (%v), want one file", entries, err)
	}
}
