package toolkit

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/platform/transport"
)

const rhelKernel = "5.14.0-570.96.1.el9_6.x86_64"

// metadata returns the file's text with the keys that the DTK's Dockerfile writes.
func metadata(kernel string) string {
	text, err := json.Marshal(map[string]string{"KERNEL_VERSION": kernel, "RT_KERNEL_VERSION": kernel + "+rt", "RHEL_VERSION": "9.6"})
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return string(text)
}

// entry is an entry of a layer.
type entry struct {
	name string
	text string
	typ  byte   // tar.TypeReg if zero
	link string // of links
	size int64  // claimed, if not the text's
}

// tarOf returns a layer that is not compressed.
func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.typ, Linkname: e.link, Mode: 0o644, Size: int64(len(e.text))}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if e.size != 0 {
			h.Size = e.size
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Flush() // an entry may claim more than it has
	if w.Close() != nil {
		out.Write(make([]byte, 1024))
	}
	return out.Bytes()
}

func gzipped(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

// content is a blob's bytes: parts one after the other, of which several blobs may share some.
type content struct{ parts [][]byte }

func (c content) size() (n int64) {
	for _, p := range c.parts {
		n += int64(len(p))
	}
	return n
}

// ReadAt implements io.ReaderAt.
func (c content) ReadAt(p []byte, off int64) (n int, err error) {
	for _, part := range c.parts {
		if off >= int64(len(part)) {
			off -= int64(len(part))
			continue
		}
		n += copy(p[n:], part[off:])
		off = 0
		if n == len(p) {
			return n, nil
		}
	}
	return n, io.EOF
}

// blobs is a registry's store of contents, made without copying them.
type blobs struct {
	mu sync.Mutex
	m  map[v1.Hash]content
}

func (b *blobs) find(h v1.Hash) (content, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.m[h]
	if !ok {
		return content{}, ggcr.ErrNotFound
	}
	return c, nil
}

func (b *blobs) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	c, err := b.find(h)
	return c.size(), err
}

func (b *blobs) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	c, err := b.find(h)
	if err != nil {
		return nil, err
	}
	return struct {
		*io.SectionReader
		io.Closer
	}{io.NewSectionReader(c, 0, c.size()), io.NopCloser(nil)}, nil
}

// add stores c and returns its descriptor. Its digest is the right one, unless told to be quick: then it is made of c's
// length and beginning, which no reader notices that does not read to the end.
func (b *blobs) add(t testing.TB, c content, mediaType types.MediaType, quick bool) v1.Descriptor {
	t.Helper()
	var whole io.Reader = io.NewSectionReader(c, 0, c.size())
	if quick {
		whole = io.MultiReader(strings.NewReader(fmt.Sprint(c.size())), io.LimitReader(whole, int64(len(c.parts[0]))))
	}
	h, _, err := v1.SHA256(whole)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.m[h] = c
	return v1.Descriptor{MediaType: mediaType, Digest: h, Size: c.size()}
}

// store is a registry with a repository of driver toolkits.
type store struct {
	*registrytest.Server
	blobs *blobs
}

func newStore(t testing.TB, opts ...registrytest.Option) *store {
	b := &blobs{m: map[v1.Hash]content{}}
	return &store{registrytest.New(t, append(opts, registrytest.Blobs(b))...), b}
}

// toolkit stores an image of layers, from the bottom to the top, and returns its name.
func (s *store) toolkit(t testing.TB, arch string, layers ...v1.Descriptor) string {
	t.Helper()
	config := s.blobs.add(t, content{[][]byte{fmt.Appendf(nil, `{"architecture":%q,"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`, arch)}}, types.OCIConfigJSON, false)
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: layers}
	return s.put(t, manifest, types.OCIManifestSchema1)
}

// layer stores a layer of bytes.
func (s *store) layer(t testing.TB, data []byte) v1.Descriptor {
	return s.blobs.add(t, content{[][]byte{data}}, types.OCILayer, false)
}

func newReader(t testing.TB, cache *Cache) *Reader {
	t.Helper()
	return &Reader{Client: registry.NewClient(nil, newTransport(t), nil), Cache: cache}
}

// newTransport returns a transport that waits for a few milliseconds at most.
func newTransport(t testing.TB) http.RoundTripper {
	t.Helper()
	rt, err := transport.New(transport.Options{MinWait: time.Millisecond, MaxWait: 5 * time.Millisecond, Retries: 3})
	if err != nil {
		t.Fatal(err)
	}
	return rt
}
