package registry

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/platform/fault"
)

// Connections that break in the middle of a blob, on either side, and registries that are busy or in trouble cost time
// and nothing else. What has arrived of the original is not read again; an upload is started over.
func TestCopyDespiteFaults(t *testing.T) {
	const size = 400 << 10
	for name, tt := range map[string]struct {
		source, dest []registrytest.Fault
		read         int64 // bytes that the original's registry sends at most
	}{
		"nothing":         {nil, nil, size + 20<<10},
		"original breaks": {[]registrytest.Fault{{Path: "/blobs/", After: 100 << 10, Times: 3}}, nil, size + 100<<10},
		"original is busy": {[]registrytest.Fault{
			{Path: "/blobs/", Status: 429, Times: 1}, {Path: "/manifests/", Status: 503, Times: 1},
		}, nil, size + 20<<10},
		"upload breaks":      {nil, []registrytest.Fault{{Method: "PATCH", After: 100 << 10, Times: 2}}, 3*size + 20<<10},
		"upload is refused":  {nil, []registrytest.Fault{{Method: "PATCH", Status: 500, Times: 1}}, 2*size + 20<<10},
		"upload is too busy": {nil, []registrytest.Fault{{Method: "PATCH", Status: 429, Times: 1}}, 2*size + 20<<10},
		"tag":                {nil, []registrytest.Fault{{Method: "PUT", Path: "/manifests/", Times: 2}}, size + 20<<10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, dest := registrytest.New(t), registrytest.New(t)
			from, to := newTestTarget(t, source.Host+"/from/dtk", nil), newTestTarget(t, dest.Host+"/to/dtk", nil)
			img := imageOf(t, randomLayer(t, size))
			store(t, from, "x", img)
			source.Forget()
			for _, f := range tt.source {
				source.Break(f)
			}
			for _, f := range tt.dest {
				dest.Break(f)
			}
			var last atomic.Pointer[CopyProgress]
			got := copyAll(t, Copier{To: to, Progress: func(p CopyProgress) { last.Store(&p) }}, Original{from, "x", "4.20.1"})
			wantCopies(t, got, CopyMade)
			if n := source.Sent(); n > tt.read {
				t.Errorf("the original's registry has sent %d bytes, want at most %d", n, tt.read)
			}
			if p := last.Load(); p.BytesDone != p.Bytes || p.ImagesDone != 1 || got[0].Sent < p.Bytes {
				t.Errorf("at the end it says %+v, sent %d", p, got[0].Sent)
			}
			for _, s := range []*registrytest.Server{source, dest} {
				s.Mend()
			}
			wantCopy(t, to, "4.20.1", img)
		})
	}
}

// An image that cannot be copied takes no other with it, and leaves no tag.
func TestCopyFailsAlone(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"gone":      {Path: "/blobs/", Status: http.StatusNotFound},
		"forbidden": {Path: "/blobs/", Status: http.StatusForbidden},
		"breaks":    {Path: "/blobs/", After: 0},
	} {
		for _, kind := range []string{"layout", "open registry"} {
			t.Run(name+" to "+kind, func(t *testing.T) {
				source, other := registrytest.New(t), targets["open registry"](t)()
				from, to := newTestTarget(t, source.Host+"/from/dtk", nil), targets[kind](t)()
				bad, good := imageOf(t, randomLayer(t, 10<<10)), imageOf(t, randomLayer(t, 10<<10))
				store(t, from, "bad", bad)
				store(t, other, "good", good)
				source.Break(fault)
				got := copyAll(t, Copier{To: to, Jobs: 2}, Original{from, "bad", "bad"}, Original{other, "good", "good"})
				wantCopies(t, got, CopyFailed, CopyMade)
				if got[0].Err == nil {
					return
				}
				if text := got[0].Err.Error(); !strings.Contains(text, from.Reference("bad")) ||
					!strings.Contains(text, "sha256:") {
					t.Errorf("the error names neither image nor blob: %v", got[0].Err)
				}
				wantTags(t, to, "good")
				wantCopy(t, to, "good", good)

				source.Mend()
				wantCopies(t, copyAll(t, Copier{To: to}, Original{from, "bad", "bad"}), CopyMade)
				wantCopy(t, to, "bad", bad)
			})
		}
	}
}

// A registry that does not let one push says so with advice.
func TestCopyReadOnly(t *testing.T) {
	from := targets["open registry"](t)()
	to := newTestTarget(t, registrytest.New(t, registrytest.ReadOnly()).Host+"/to/dtk", nil)
	store(t, from, "x", randomImage(t))
	got := copyAll(t, Copier{To: to}, Original{from, "x", "x"})
	wantCopies(t, got, CopyFailed)
	if !strings.Contains(fault.Of(got[0].Err), "choose another target") {
		t.Errorf("error %v, hint %q", got[0].Err, fault.Of(got[0].Err))
	}
}

// R8.2: a run that was stopped is finished by the next one, which reads no blob that had arrived.
func TestCopyResumes(t *testing.T) {
	for _, kind := range []string{"layout", "open registry"} {
		t.Run(kind, func(t *testing.T) {
			source := registrytest.New(t)
			from, open := newTestTarget(t, source.Host+"/from/dtk", nil), targets[kind](t)
			first, second := randomLayer(t, 200<<10), randomLayer(t, 200<<10)
			img := imageOf(t, first, second)
			store(t, from, "x", img)
			originals := []Original{{from, digestText(t, img), "4.20.1"}}

			ctx, cancel := context.WithCancelCause(t.Context())
			stopped := errors.New("stopped by the test")
			g := &stopAfter{Target: open(), stop: func() { cancel(stopped) }}
			c := Copier{To: g, Jobs: 1}
			p, err := c.Plan(ctx, originals)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Run(ctx); !errors.Is(err, stopped) {
				t.Fatalf("Run: %v, want %v", err, stopped)
			}
			wantCopies(t, p.Copies, CopySkipped)
			wantTags(t, open())

			source.Forget()
			wantCopies(t, copyAll(t, Copier{To: open()}, originals...), CopyMade)
			if n := len(source.Requests("GET", "/blobs/"+g.arrived.Load().String())); n != 0 {
				t.Errorf("a blob that had arrived was read %d times", n)
			}
			wantCopy(t, open(), "4.20.1", img)
		})
	}
}

// stopAfter is a target that stops the run when the first blob has arrived.
type stopAfter struct {
	Target
	stop    func()
	arrived atomic.Pointer[v1.Hash]
}

func (s *stopAfter) store() contentStore { return stoppingStore{s.Target.store(), s} }

type stoppingStore struct {
	contentStore
	at *stopAfter
}

func (s stoppingStore) openWriter(ctx context.Context, items []*copyItem) (copyWriter, error) {
	w, err := s.contentStore.openWriter(ctx, items)
	return &stoppingWriter{w, s.at}, err
}

type stoppingWriter struct {
	copyWriter
	at *stopAfter
}

func (w *stoppingWriter) putBlob(ctx context.Context, b *blobCopy) error {
	err := w.copyWriter.putBlob(ctx, b)
	if err == nil && w.at.arrived.CompareAndSwap(nil, &b.desc.Digest) {
		w.at.stop()
	}
	return err
}

// What a stopped copy has left in a layout goes with the next write of another kind, and a copy's own write takes with
// it what a killed run has left that it does not want.
func TestCopyLeftovers(t *testing.T) {
	from := targets["open registry"](t)()
	dir := filepath.Join(t.TempDir(), "images")
	to := newTestTarget(t, "oci:"+dir, nil)
	left := imageOf(t, randomLayer(t, 10<<10))
	store(t, from, "left", left)
	stop := func() {
		ctx, cancel := context.WithCancel(t.Context())
		p, err := (&Copier{To: &stopAfter{Target: to, stop: cancel}}).Plan(ctx, []Original{{from, "left", "left"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if n := len(blobFiles(t, dir)); n == 0 {
			t.Fatal("nothing has arrived")
		}
	}
	stop()
	img := publish(t, to, "other", false)
	want := 4 // manifest, configuration and two layers
	if got := blobFiles(t, dir); len(got) != want {
		t.Errorf("files after publishing: %q", got)
	}
	stop()
	small := imageOf(t, randomLayer(t, 1<<10))
	store(t, from, "small", small)
	wantCopies(t, copyAll(t, Copier{To: to}, Original{from, "small", "small"}), CopyMade)
	if got := blobFiles(t, dir); len(got) != want+3 {
		t.Errorf("files after copying: %q", got)
	}
	wantPublished(t, to, "other", img)

	// What only a replaced image had goes as well.
	wantCopies(t, copyAll(t, Copier{To: to, Overwrite: true}, Original{from, "left", "small"}), CopyMade)
	if got := blobFiles(t, dir); len(got) != want+3 {
		t.Errorf("files after replacing: %q", got)
	}
	wantCopy(t, to, "small", left)
	if _, err := os.Stat(filepath.Join(dir, lockFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock file is still there: %v", err)
	}
}

// blobFiles lists the blobs of a layout.
func blobFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A copy in a directory that has lost a part, or an original there that is damaged, is found out.
func TestCopyDamagedLayout(t *testing.T) {
	img := imageOf(t, randomLayer(t, 10<<10))
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	from := targets["open registry"](t)()
	store(t, from, "x", img)
	dir := t.TempDir()
	to := newTestTarget(t, "oci:"+dir, nil)
	file := filepath.Join(dir, "blobs", "sha256", digest.Hex)
	copyAll(t, Copier{To: to}, Original{from, "x", "x"})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	wantCopies(t, copyAll(t, Copier{To: to}, Original{from, "x", "x"}), CopyMade)
	wantCopy(t, to, "x", img)

	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"changed": append([]byte{data[0] ^ 1}, data[1:]...), "cut": data[:100]} {
		if err := os.WriteFile(file, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		onward := targets["open registry"](t)()
		got := copyAll(t, Copier{To: onward}, Original{to, "x", "x"})
		wantCopies(t, got, CopyFailed)
		if !strings.Contains(got[0].Err.Error(), file+" is damaged") {
			t.Errorf("%s: error %v", name, got[0].Err)
		}
		wantTags(t, onward)
	}
}

// Manifests that would make a copier read without end, or that are no images, are refused before anything is written.
func TestCopyHostile(t *testing.T) {
	inner := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: randomImage(t)})
	nested := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: inner})
	many := v1.ImageIndex(empty.Index)
	img := imageOf(t, randomLayer(t, 100))
	for range maxChildren + 1 {
		many = mutate.AppendManifests(many, mutate.IndexAddendum{Add: img})
	}
	from := targets["layout"](t)()
	store(t, from, "nested", nested)
	store(t, from, "many", many)
	for tag, want := range map[string]string{"nested": "another index", "many": "129 manifests"} {
		to := targets["layout"](t)()
		got := copyAll(t, Copier{To: to}, Original{from, tag, tag})
		wantCopies(t, got, CopyFailed)
		if !strings.Contains(got[0].Err.Error(), want) {
			t.Errorf("%s: error %v, want %q", tag, got[0].Err, want)
		}
		if _, err := os.Stat(to.(*layoutTarget).layout.path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the directory is there", tag)
		}
	}
}

// FuzzContent: whatever a manifest is, reading it ends, and what it leads to has digests.
func FuzzContent(f *testing.F) {
	img, err := mutate.AppendLayers(empty.Image)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := img.RawManifest()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:` + strings.Repeat("1", 64) + `"}]}`))
	f.Add([]byte(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"digest":"sha512:../x","size":-1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, _, err := v1.SHA256(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		m, err := newManifest(raw, guessMediaType(raw), h)
		if err != nil || m.mediaType.IsIndex() {
			return
		}
		c := &content{top: m}
		if err := c.addBlobs(m); err != nil {
			return
		}
		if c.size() < int64(len(raw)) {
			t.Errorf("size %d", c.size())
		}
		for _, b := range c.blobs {
			if _, err := v1.NewHash(b.Digest.String()); err != nil {
				t.Error(err)
			}
		}
	})
}
