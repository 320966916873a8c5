package toolkit

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/oci/registry/registrytest"
)

const (
	manyToolkits = 60
	bigLayer     = 150 << 20
	allowance    = 1 << 20 // what reading a kernel may cost beyond the file's own place
)

// incompressible returns the gzip of n bytes that have no pattern.
func incompressible(t testing.TB, n int) []byte {
	data := make([]byte, n)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	return gzipped(t, data, gzip.NoCompression)
}

// big stores a layer of about 150 MB: front, which is a whole gzip stream of the beginning of a tar, and then one block
// over and over, which is what usr/ looks like to a reader. All layers share the block's memory.
func (s *store) big(t testing.TB, front, block []byte) v1.Descriptor {
	parts := [][]byte{front}
	for size := len(front); size < bigLayer; size += len(block) {
		parts = append(parts, block)
	}
	return s.blobs.add(t, content{parts}, types.OCILayer, true)
}

// front returns the beginning of a layer up to the middle of a huge file, and how much of it has to be read to have the
// metadata file. before is what comes before that file, withFile false leaves it out.
func front(t testing.TB, kernel string, before int, withFile bool) (data []byte, offset int) {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	add := func(name string, text []byte) {
		t.Helper()
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	filler := make([]byte, before)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(filler)
	add("boot/filler", filler)
	if withFile {
		add(metadataPath, []byte(metadata(kernel)))
	}
	if err := z.Flush(); err != nil {
		t.Fatal(err)
	}
	offset = out.Len()
	if err := w.WriteHeader(&tar.Header{Name: "usr/lib/huge", Mode: 0o644, Size: bigLayer, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), offset
}

// shape is a way in which toolkits are made.
type shape struct {
	make   func(t testing.TB, s *store, block []byte, kernel string) string
	offset int64 // how much of its layer has to be read to have the file
	opts   []registrytest.Option
	free   bool // no bound holds
}

func shapes(t testing.TB) map[string]shape {
	layered := func(t testing.TB, s *store, block []byte, kernel string) string {
		below, _ := front(t, "", 4<<10, false)
		top := gzipped(t, tarOf(t, entry{name: "etc/", typ: tar.TypeDir}, entry{name: metadataPath, text: metadata(kernel)}), gzip.DefaultCompression)
		return s.toolkit(t, "amd64", s.big(t, below, block), s.layer(t, top))
	}
	squashed := func(before int) shape {
		_, offset := front(t, rhelKernel, before, true)
		return shape{offset: int64(offset), make: func(t testing.TB, s *store, block []byte, kernel string) string {
			data, _ := front(t, kernel, before, true)
			return s.toolkit(t, "amd64", s.big(t, data, block))
		}}
	}
	early := squashed(300 << 10)
	return map[string]shape{
		"file in the last layer":  {make: layered},
		"squashed, file early":    early,
		"squashed, file at 5 MB":  squashed(5 << 20),
		"squashed, without Range": {make: early.make, offset: early.offset, opts: []registrytest.Option{registrytest.NoRange()}, free: true},
	}
}

// many is a registry with many toolkits of one shape.
type many struct {
	*store
	shape
	kernels map[string]string // by toolkit
}

func (sh shape) store(t testing.TB, n int, block []byte) *many {
	m := &many{newStore(t, sh.opts...), sh, map[string]string{}}
	for i := range n {
		kernel := fmt.Sprintf("5.14.0-570.%d.1.el9_6.x86_64", i)
		m.kernels[sh.make(t, m.store, block, kernel)] = kernel
	}
	return m
}

// read finds out the kernel of every toolkit and returns how many bytes of answers the client took for it.
func (m *many) read(t testing.TB) (taken int64) {
	t.Helper()
	m.Forget()
	counter := &counter{next: newTransport(t)}
	reader := &Reader{Client: registry.NewClient(nil, counter, nil)}
	got := reader.Kernels(t.Context(), slices.Collect(maps.Keys(m.kernels)), 8)
	for dtk, kernel := range m.kernels {
		if r := got[dtk]; r.Err != nil || r.Kernel.String() != kernel {
			t.Fatalf("kernel of %s = %v, want %s", dtk, r, kernel)
		}
	}
	if each := m.Sent() / int64(len(m.kernels)); !m.free && each > m.offset+allowance {
		t.Errorf("a toolkit took %d bytes, want at most %d", each, m.offset+allowance)
	}
	return counter.bytes.Load()
}

// counter counts the bytes of bodies that are read.
type counter struct {
	next  http.RoundTripper
	bytes atomic.Int64
}

func (c *counter) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	if err == nil {
		resp.Body = &countedBody{resp.Body, &c.bytes}
	}
	return resp, err
}

type countedBody struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes.Add(int64(n))
	return n, err
}

// Decision 1 of the design, R9.1: a kernel costs at most 1 MiB beyond its file's own offset. The server's side counts, in
// which headers and what was sent in vain are included.
func TestKernelsReadLittle(t *testing.T) {
	block := incompressible(t, 1<<20)
	for name, shape := range shapes(t) {
		t.Run(name, func(t *testing.T) {
			m := shape.store(t, 2, block)
			if taken := m.read(t); taken > m.Sent() {
				t.Errorf("the client took %d bytes of %d that were sent: a counter is wrong", taken, m.Sent())
			}
		})
	}
}

// BenchmarkKernels finds out the kernels of 60 toolkits that are not cached, each with a layer of 150 MB, and fails where
// TestKernelsReadLittle does. Reported are the bytes that the server has written, those of bodies that the client has
// read, and how far into its layer the file is.
func BenchmarkKernels(b *testing.B) {
	block := incompressible(b, 1<<20)
	for name, shape := range shapes(b) {
		b.Run(name, func(b *testing.B) {
			m := shape.store(b, manyToolkits, block)
			var taken int64
			for b.Loop() {
				taken = m.read(b)
			}
			b.ReportMetric(float64(m.Sent())/manyToolkits, "bytes/DTK")
			b.ReportMetric(float64(taken)/manyToolkits, "taken/DTK")
			b.ReportMetric(float64(m.offset), "offset/DTK")
			b.ReportMetric(float64(len(m.Requests()))/manyToolkits, "requests/DTK")
		})
	}
}
