package registry

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/platform/fault"
)

// randomLayer returns a layer of so many random bytes, which hardly compress.
func randomLayer(t testing.TB, size int64) v1.Layer {
	t.Helper()
	layer, err := random.Layer(size, types.DockerLayer)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// imageOf returns an image in Docker's format, which Driver Toolkits have.
func imageOf(t testing.TB, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digestText(t testing.TB, of interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// store puts an image or an index under a tag of a target by other means than the program's own, which change Docker's
// format in a layout.
func store(t testing.TB, target Target, tag string, what remote.Taggable) {
	t.Helper()
	switch target := target.(type) {
	case *remoteTarget:
		s, err := target.client.session(t.Context(), target.repo, target.repo.Scope("push,pull"))
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Push(target.repo.Tag(tag), what, append(noRetries(), remote.WithTransport(s.rt))...); err != nil {
			t.Fatal(err)
		}
	case *layoutTarget:
		path, err := layout.FromPath(target.layout.path)
		if err != nil {
			path, err = layout.Write(target.layout.path, empty.Index)
		}
		if err != nil {
			t.Fatal(err)
		}
		named := layout.WithAnnotations(map[string]string{refName: tag})
		if img, ok := what.(v1.Image); ok {
			err = path.AppendImage(img, named)
		} else {
			err = path.AppendIndex(what.(v1.ImageIndex), named)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// copyAll plans and runs.
func copyAll(t testing.TB, c Copier, originals ...Original) []Copy {
	t.Helper()
	p, err := c.Plan(t.Context(), originals)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p.Copies
}

// wantCopies compares states.
func wantCopies(t testing.TB, got []Copy, want ...CopyState) {
	t.Helper()
	for i, c := range got {
		if c.State != want[i] || (c.Err != nil) != (want[i] == CopyFailed || want[i] == CopySkipped) {
			t.Errorf("copy %d: %s, error %v; want %s", i, c.State, c.Err, want[i])
		}
	}
}

// wantCopy checks that a tag leads to the image, byte for byte and whole.
func wantCopy(t testing.TB, target Target, tag string, img v1.Image) {
	t.Helper()
	have, ok, err := target.Stat(t.Context(), tag)
	if err != nil || !ok || have.Digest != digestText(t, img) {
		t.Errorf("%s leads to %v, %v, %v; want %s", target.Reference(tag), have, ok, err, digestText(t, img))
		return
	}
	got, err := target.Image(t.Context(), tag)
	if err != nil {
		t.Error(err)
		return
	}
	if err := validate.Image(got, validate.Fast); err != nil {
		t.Errorf("%s is not whole: %v", target.Reference(tag), err)
	}
	for _, err := range eachBlob(t, got) {
		t.Errorf("%s: %v", target.Reference(tag), err)
	}
}

// eachBlob reads all blobs of an image.
func eachBlob(t testing.TB, img v1.Image) (errs []error) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		return []error{err}
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err == nil {
			_, err = digestOf("sha256", r)
			r.Close()
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Every kind of target gives and takes copies with their digests, in Docker's format as in OCI's, images and indexes;
// again costs nothing, and a tag that is taken is left alone unless it is to be overwritten.
func TestCopyConformance(t *testing.T) {
	for _, fromKind := range []string{"layout", "open registry", "registry with tokens"} {
		for toKind, toPlace := range targets {
			t.Run(fromKind+" to "+toKind, func(t *testing.T) {
				t.Parallel()
				testCopies(t, targets[fromKind](t)(), toPlace(t))
			})
		}
	}
}

func testCopies(t *testing.T, from Target, open func() Target) {
	base := randomLayer(t, 20<<10)
	one, two := imageOf(t, base, randomLayer(t, 9<<10)), imageOf(t, base, randomLayer(t, 9<<10))
	oci := randomImage(t)
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add: oci, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}},
	}, mutate.IndexAddendum{
		Add: imageOf(t, base), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}},
	})
	store(t, from, "one", one)
	store(t, from, "two", two)
	store(t, from, "oci", oci)
	store(t, from, "index", index)
	originals := []Original{
		{from, digestText(t, one), "4.20.1"}, {from, digestText(t, two), "4.20.2"}, {from, "oci", "oci"},
		{from, "index", "index"}, {from, digestText(t, one), "4.20.3"}, {from, "absent", "absent"}, {from, "one", "../x"},
	}
	got := copyAll(t, Copier{To: open(), Jobs: 3}, originals...)
	wantCopies(t, got, CopyMade, CopyMade, CopyMade, CopyMade, CopyMade, CopyFailed, CopyFailed)
	if !Is404(got[5].Err) {
		t.Errorf("absent: error %v, want one that is a 404", got[5].Err)
	}
	for tag, img := range map[string]v1.Image{"4.20.1": one, "4.20.2": two, "4.20.3": one, "oci": oci} {
		wantCopy(t, open(), tag, img)
	}
	have, _, err := open().Stat(t.Context(), "index")
	if err != nil || have.Digest != digestText(t, index) {
		t.Errorf("the index: %v, %v; want %s", have, err, digestText(t, index))
	}
	if img, err := open().Image(t.Context(), "index"); err != nil || digestText(t, img) != digestText(t, oci) {
		t.Errorf("the index's image: %v", err)
	}
	wantTags(t, open(), "4.20.1", "4.20.2", "4.20.3", "index", "oci")

	again := copyAll(t, Copier{To: open(), Jobs: 3}, originals[:5]...)
	wantCopies(t, again, CopyThere, CopyThere, CopyThere, CopyThere, CopyThere)
	for i := range again {
		if again[i].Sent != 0 || again[i].Digest != got[i].Digest {
			t.Errorf("again: copy %d: %+v", i, again[i])
		}
	}

	taken := []Original{{from, "two", "4.20.1"}, {from, "one", "4.20.4"}}
	got = copyAll(t, Copier{To: open()}, taken...)
	wantCopies(t, got, CopyFailed, CopyMade)
	if !errors.Is(got[0].Err, ErrTagTaken) || !strings.Contains(fault.Of(got[0].Err), "--force") {
		t.Errorf("error %v (hint %q), want %v", got[0].Err, fault.Of(got[0].Err), ErrTagTaken)
	}
	wantCopy(t, open(), "4.20.1", one)
	wantCopies(t, copyAll(t, Copier{To: open(), Overwrite: true}, taken...), CopyMade, CopyThere)
	wantCopy(t, open(), "4.20.1", two)
	wantCopy(t, open(), "4.20.3", one)
}

// What images share is sent once, however many are copied at the same time.
func TestCopySendsOnce(t *testing.T) {
	for _, kind := range []string{"open registry", "layout"} {
		t.Run(kind, func(t *testing.T) {
			source := registrytest.New(t)
			from := newTestTarget(t, source.Host+"/from/dtk", nil)
			base := randomLayer(t, 700<<10) // larger than one piece
			var originals []Original
			for _, tag := range []string{"4.20.1", "4.20.2", "4.20.3", "4.20.4", "4.20.5", "4.20.6"} {
				store(t, from, tag, imageOf(t, base, randomLayer(t, 30<<10)))
				originals = append(originals, Original{from, tag, tag})
			}
			source.Forget()
			to := targets[kind](t)()
			var last CopyProgress
			var mu sync.Mutex
			done := 0
			copier := Copier{
				To: to, Jobs: 4, Done: func(Original, Copy) { mu.Lock(); done++; mu.Unlock() },
				Progress: func(p CopyProgress) {
					mu.Lock()
					defer mu.Unlock()
					if p.ImagesDone >= last.ImagesDone && p.BytesDone >= last.BytesDone {
						last = p
					}
				},
			}
			got := copyAll(t, copier, originals...)
			wantCopies(t, got, slices.Repeat([]CopyState{CopyMade}, 6)...)
			if n := len(source.Requests("GET", "/blobs/"+digestText(t, base))); n != 1 {
				t.Errorf("the shared layer was read %d times", n)
			}
			var sent int64
			for _, c := range got {
				sent += c.Sent
			}
			if want := (CopyProgress{6, 6, sent, sent}); last != want || sent < 880<<10 || done != 6 {
				t.Errorf("at the end it says %+v, done %d; want %+v", last, done, want)
			}
			source.Forget()
			again := copyAll(t, copier, originals...)
			wantCopies(t, again, slices.Repeat([]CopyState{CopyThere}, 6)...)
			if r := source.Requests("/blobs/"); len(r) > 0 {
				t.Errorf("again it reads blobs: %q", r)
			}
		})
	}
}

// Copies by digest that are there already cost their originals nothing, not even a request.
func TestCopyThereAsksNothing(t *testing.T) {
	source, dest := registrytest.New(t), registrytest.New(t)
	from, to := newTestTarget(t, source.Host+"/from/dtk", nil), newTestTarget(t, dest.Host+"/to/dtk", nil)
	img := imageOf(t, randomLayer(t, 1000))
	store(t, from, "x", img)
	original := Original{from, digestText(t, img), "4.20.1"}
	copyAll(t, Copier{To: to}, original)
	source.Forget()
	dest.Forget()
	wantCopies(t, copyAll(t, Copier{To: to}, original), CopyThere)
	if got := source.Requests(); len(got) > 0 {
		t.Errorf("the original's registry was asked: %q", got)
	}
	if got := dest.Requests(); len(got) != 2 { // the listing and the tag
		t.Errorf("requests: %q", got)
	}
}

// Between two repositories of one registry mounts are asked for, with a token for both.
func TestCopyMounts(t *testing.T) {
	s := registrytest.New(t, registrytest.TokenAuth("me", "secret", true, 0))
	from := newTestTarget(t, s.Host+"/from/dtk", basicKeys("me"))
	to := newTestTarget(t, s.Host+"/to/dtk", basicKeys("me"))
	img := imageOf(t, randomLayer(t, 10<<10), randomLayer(t, 10<<10))
	store(t, from, "x", img)
	s.Forget()
	// This registry shares blobs.
	s.Break(registrytest.Fault{Method: http.MethodHead, Path: "/to/dtk/blobs/", Status: http.StatusNotFound})
	wantCopies(t, copyAll(t, Copier{To: to}, Original{from, "x", "4.20.1"}), CopyMade)
	if got := s.Requests("POST", "mount=", "from=from%2Fdtk"); len(got) != 3 {
		t.Errorf("%d mounts were asked for, want 3: %q", len(got), s.Requests("POST"))
	}
	if got := s.Requests("/token", "to%2Fdtk%3Apush", "from%2Fdtk%3Apull"); len(got) == 0 {
		t.Errorf("no token for both repositories: %q", s.Requests("/token"))
	}
	s.Mend()
	wantCopy(t, to, "4.20.1", img)
}

// A plan alone changes nothing, and tells what would be sent.
func TestCopyPlan(t *testing.T) {
	from := newTestTarget(t, registrytest.New(t).Host+"/from/dtk", nil)
	base := randomLayer(t, 10<<10)
	store(t, from, "one", imageOf(t, base))
	store(t, from, "two", imageOf(t, base, base))
	to := targets["layout"](t)()
	c := Copier{To: to}
	p, err := c.Plan(t.Context(), []Original{{from, "one", "one"}, {from, "two", "two"}})
	if err != nil {
		t.Fatal(err)
	}
	wantCopies(t, p.Copies, CopyDue, CopyDue)
	size, err := base.Size()
	if err != nil {
		t.Fatal(err)
	}
	images, bytes := p.Due()
	if images != 2 || bytes < size || bytes > size+4000 {
		t.Errorf("%d images of %d bytes are due; the shared layer has %d", images, bytes, size)
	}
	wantTags(t, to)
}

func TestCopyCancelled(t *testing.T) {
	from, to := targets["open registry"](t)(), targets["layout"](t)()
	store(t, from, "x", randomImage(t))
	ctx, cancel := context.WithCancel(t.Context())
	c := Copier{To: to}
	p, err := c.Plan(ctx, []Original{{from, "x", "x"}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	wantCopies(t, p.Copies, CopySkipped)
	if _, err := c.Plan(ctx, []Original{{from, "x", "x"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("Plan: %v", err)
	}
}
