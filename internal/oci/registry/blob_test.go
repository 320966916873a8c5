package registry

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/iotest"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"neuron-kmod/internal/oci/registry/registrytest"
)

// withBlob is a registry with one blob of n bytes.
func withBlob(
	t *testing.T, n int, opts ...registrytest.Option,
) (*registrytest.Server, name.Repository, v1.Descriptor, []byte) {
	t.Helper()
	s := registrytest.New(t, opts...)
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	layer := static.NewLayer(data, types.OCILayer)
	repo, err := name.NewRepository(s.Host + "/me/blobs")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteLayer(repo, layer); err != nil {
		t.Fatal(err)
	}
	digest, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	s.Forget()
	return s, repo, v1.Descriptor{Digest: digest, Size: int64(n), MediaType: types.OCILayer}, data
}

// Decision 1 of the design: a blob read whole is the blob, in any size, from any server, through any trouble.
func TestBlob(t *testing.T) {
	sizes := []int{0, 1, firstPiece, firstPiece + 1, LargestPiece, LargestPiece + 1, 2<<20 + 17}
	faults := map[string]registrytest.Fault{
		"":       {Path: "none"},
		"500":    {Path: "/blobs/", Status: http.StatusInternalServerError, Times: 2},
		"resets": {Path: "/blobs/", After: 100_000, Times: 4},
	}
	for name, fault := range faults {
		for _, opts := range [][]registrytest.Option{nil, {registrytest.NoRange()}} {
			for _, n := range sizes {
				s, repo, d, data := withBlob(t, n, opts...)
				s.Break(fault)
				b, err := newTestClient(t, nil).Blob(t.Context(), repo, d)
				if err != nil {
					t.Fatal(err)
				}
				if err := iotest.TestReader(b, data); err != nil {
					t.Errorf("%d bytes, fault %q: %v", n, name, err)
				}
				if err := b.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
		}
	}
}

// Decision 1: a reader that stops early has cost little more than it read.
func TestBlobReadsLittle(t *testing.T) {
	s, repo, d, _ := withBlob(t, 8<<20)
	for _, read := range []int64{1, 100_000, 1 << 20, 3 << 20} {
		s.Forget()
		b, err := newTestClient(t, nil).Blob(t.Context(), repo, d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, b, read); err != nil {
			t.Fatal(err)
		}
		b.Close()
		if got := s.Sent(); got > read+LargestPiece+16<<10 {
			t.Errorf("%d bytes were sent for %d", got, read)
		}
	}
}

// R8: content that is not what the digest says is an error where the end would be.
func TestBlobForged(t *testing.T) {
	_, repo, d, _ := withBlob(t, 1000)
	forged := d
	forged.Digest.Hex = "00" + d.Digest.Hex[2:]
	client := newTestClient(t, nil)
	client.rt = roundTripper(func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		req.URL.Path = string(bytes.ReplaceAll([]byte(req.URL.Path), []byte(forged.Digest.Hex), []byte(d.Digest.Hex)))
		return http.DefaultTransport.RoundTrip(req)
	})
	b, err := client.Blob(t.Context(), repo, forged)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(b); err == nil {
		t.Errorf("%d bytes and no error", len(data))
	}
}

// A server that answers with another part than it was asked for is not believed.
func TestBlobWrongRange(t *testing.T) {
	_, repo, d, _ := withBlob(t, 1<<20)
	client := newTestClient(t, nil)
	client.rt = roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err == nil && resp.StatusCode == http.StatusPartialContent {
			resp.Header.Set("Content-Range", "bytes 5-10/100")
		}
		return resp, err
	})
	b, err := client.Blob(t.Context(), repo, d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read: error %v", err)
	}
}
