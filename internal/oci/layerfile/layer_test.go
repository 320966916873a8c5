package layerfile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/platform/limit"
	"neuron-kmod/internal/platform/transport"
)

var wanted = File{Path: "etc/app/file.json", Limit: 1 << 10}

// entry is an entry of a layer; a directory if its name ends in a slash.
type entry struct {
	name string
	text string
	size int64 // claimed, if not the text's
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: max(e.size, int64(len(e.text))), Typeflag: tar.TypeReg}
		if strings.HasSuffix(e.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Flush() // an entry may claim more than it has
	return out.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
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

// The file is the one that a container would see, and no more is read for it than it takes. What single layers may hold
// is tested where layers are read for a purpose, in package toolkit.
func TestRead(t *testing.T) {
	file, other := entry{name: wanted.Path, text: "upper"}, entry{name: "usr/bin/make", text: "#!"}
	noise := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	tests := map[string]struct {
		layers [][]entry // from the bottom to the top
		file   File
		want   string
		err    string
		gone   bool // the error is ErrAbsent
		most   int64
	}{
		"top":     {layers: [][]entry{{{name: wanted.Path, text: "lower"}}, {file}}, file: wanted, want: "upper"},
		"below":   {layers: [][]entry{{file}, {other}}, file: wanted, want: "upper"},
		"removed": {layers: [][]entry{{file}, {{name: "etc/.wh.app"}}}, file: wanted, gone: true},
		"nowhere": {layers: [][]entry{{other}}, file: wanted, gone: true},
		"directory is a file": {layers: [][]entry{{file}, {{name: "etc/app"}}}, file: wanted,
			err: "/etc/app is a file in this layer, not a directory"},
		"too long": {layers: [][]entry{{{name: wanted.Path, text: strings.Repeat("x", 2<<10)}}}, file: wanted,
			err: "more than the 1024 that are read"},
		"early in a large layer": {
			layers: [][]entry{{file, {name: "usr/lib/noise", text: string(noise)}}},
			file:   wanted, want: "upper", most: 200 << 10,
		},
		"out of reach": {
			layers: [][]entry{{file}, {{name: "usr/lib/noise", text: string(noise)}}},
			file:   File{Path: wanted.Path, Limit: 1 << 10, Reach: 1 << 20}, err: "not in the first 1 MiB", most: 2 << 20,
		},
		"within reach": {
			layers: [][]entry{{file}, {{name: "usr/lib/noise", text: string(noise)}}},
			file:   File{Path: wanted.Path, Limit: 1 << 10, Reach: 4 << 20}, want: "upper",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			var layers []v1.Descriptor
			for _, entries := range tt.layers {
				layers = append(layers, s.add(t, gzipped(t, tarOf(t, entries...))))
			}
			got, err := s.read(t, tt.file, layers)
			if errors.Is(err, ErrAbsent) != tt.gone || !tt.gone && (tt.err == "") != (err == nil) {
				t.Fatalf("%q, error %v", got, err)
			}
			if string(got) != tt.want || tt.err != "" && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q, error %v; want %q, %q", got, err, tt.want, tt.err)
			}
			if sent := s.Sent(); tt.most > 0 && sent > tt.most {
				t.Errorf("%d bytes were sent, want at most %d", sent, tt.most)
			}
		})
	}
}

// store is a registry, and its blobs.
type store struct {
	*registrytest.Server
	blobs ggcr.BlobHandler
}

func newStore(t testing.TB) *store {
	blobs := ggcr.NewInMemoryBlobHandler()
	return &store{registrytest.New(t, registrytest.Blobs(blobs)), blobs}
}

func (s *store) add(t testing.TB, data []byte) v1.Descriptor {
	t.Helper()
	h, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	put, ok := s.blobs.(ggcr.BlobPutHandler)
	if !ok {
		t.Fatal("the handler takes no blobs")
	}
	if err := put.Put(t.Context(), "", h, io.NopCloser(bytes.NewReader(data))); err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: types.OCILayer, Digest: h, Size: size}
}

func (s *store) read(t testing.TB, f File, layers []v1.Descriptor) ([]byte, error) {
	t.Helper()
	rt, err := transport.New(transport.Options{Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(s.Host + "/x/image")
	if err != nil {
		t.Fatal(err)
	}
	return f.Read(t.Context(), registry.NewClient(nil, rt, nil), repo, layers)
}

// The scanner survives any layer, holds to its bounds and finds only what is named as the file.
func FuzzLayer(f *testing.F) {
	plain := tarOf(f, entry{name: "etc/"}, entry{name: "etc/.wh..wh..opq"}, entry{name: wanted.Path, text: "x"})
	z, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{
		nil, plain, plain[:600], gzipped(f, plain), z.EncodeAll(plain, nil), gzipped(f, plain)[:40],
		tarOf(f, entry{name: wanted.Path, size: 1 << 40}), tarOf(f, entry{name: "./.wh.etc"}),
		{0x1f, 0x8b}, {0x28, 0xb5, 0x2f, 0xfd},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := wanted.scan(t.Context(), bytes.NewReader(data))
		if err != nil && found.data != nil {
			t.Errorf("data with error %v", err)
		}
		if int64(len(found.data)) > wanted.Limit {
			t.Errorf("%d bytes of data", len(found.data))
		}
	})
}

// R8: a layer that unpacks without end is given up, and costs no memory.
func TestScanBomb(t *testing.T) {
	bomb := tarOf(t, entry{name: "usr/x", size: 8<<30 - 1})[:512]
	left := int64(4 << 10)
	unpacked := bytes.NewReader(append(bomb, make([]byte, 8<<10)...))
	r := &limit.Reader{Ctx: t.Context(), R: unpacked, Left: &left, Exceeded: errTooMuch}
	if _, err := wanted.scanTar(r); !errors.Is(err, errTooMuch) {
		t.Errorf("scanTar: error %v, want %v", err, errTooMuch)
	}
	data := append(gzipped(t, bomb), gzipped(t, make([]byte, 64<<20))...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := wanted.scan(t.Context(), bytes.NewReader(data)); err == nil {
		t.Error("no error for a layer that ends too soon")
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("%d bytes of memory for a layer that unpacks to 64 MiB", took)
	}
}

// R8.2: a scan that is told to stop does so.
func TestScanEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	layer := bytes.NewReader(tarOf(t, entry{name: wanted.Path, text: "x"}))
	if _, err := wanted.scan(ctx, layer); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
