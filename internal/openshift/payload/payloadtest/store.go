// Package payloadtest is a stand-in for the repositories that an OpenShift release is made of: release images, Driver
// Toolkits and node images, in the form that OpenShift's own have. It is for tests and benchmarks of any package.
package payloadtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"neuron-kmod/internal/oci/registry/registrytest"
)

const (
	releases = "openshift-release-dev/ocp-release"
	parts    = "openshift-release-dev/art-dev"
)

// Release is a release to store.
type Release struct {
	Tag     string // VERSION-ARCH
	Streams []Stream
	Late    bool   // the file comes after the manifests, and not in the last layer
	Text    string // of the file with the references, instead of a good one
}

// Stream is a Driver Toolkit and the node image that belongs to it.
type Stream struct {
	Suffix string // of the payload's tags: "" or "-10"
	Kernel string // of the toolkit
	Nodes  string // what the nodes boot; "" means Kernel
	Label  string // that tells it; "" means com.coreos.rpm.kernel, "none" that none does
	Node   string // payload tag of the node image without the suffix; "" means rhel-coreos
}

// Store is a registry with a repository of releases and one of what they are made of.
type Store struct {
	*registrytest.Server
	blobs ggcr.BlobPutHandler
	base  v1.Descriptor // what release images have below
	tail  []byte        // the manifests of a release, as a part of a compressed layer
}

// New starts a registry without releases, that ends with the test.
func New(t testing.TB, opts ...registrytest.Option) *Store {
	t.Helper()
	blobs := ggcr.NewInMemoryBlobHandler()
	s := &Store{Server: registrytest.New(t, append(opts, registrytest.Blobs(blobs))...),
		blobs: blobs.(ggcr.BlobPutHandler)}
	s.base = s.blob(t, base(), types.DockerLayer)
	s.tail = tail()
	return s
}

// The large parts are the same in all stores, and made once.
var (
	base = sync.OnceValue(func() []byte { return layer(file{"usr/bin/cluster-version-operator", noise(1, 3<<20)}) })
	tail = sync.OnceValue(func() []byte {
		return layer(file{"release-manifests/0000_00_cluster-version-operator_01.yaml", noise(2, 800<<10)})
	})
)

// Repository names the repository of releases.
func (s *Store) Repository() string { return s.Host + "/" + releases }

// Refuse makes the registry show Driver Toolkits and node images to nobody, as quay.io does without a pull secret.
func (s *Store) Refuse() {
	s.Break(registrytest.Fault{Path: "/v2/" + parts + "/", Status: http.StatusUnauthorized})
}

// Added is what became of a release.
type Added struct {
	Toolkits map[string]string // the Driver Toolkits by the suffix of their stream
	Nodes    map[string]string // the node images by the suffix of their stream
	Offset   int64             // how much of layers has to be read to have the file with the references
}

// Add stores a release.
func (s *Store) Add(t testing.TB, r Release) Added {
	t.Helper()
	version, arch := r.Tag[:strings.LastIndexByte(r.Tag, '-')], r.Tag[strings.LastIndexByte(r.Tag, '-')+1:]
	added := Added{Toolkits: map[string]string{}, Nodes: map[string]string{}}
	refs := others()
	for _, stream := range r.Streams {
		dtk, node := s.toolkit(t, r.Tag, arch, stream), s.node(t, r.Tag, arch, stream)
		added.Toolkits[stream.Suffix], added.Nodes[stream.Suffix] = dtk, node
		refs = append(refs, reference{"driver-toolkit" + stream.Suffix, dtk},
			reference{or(stream.Node, "rhel-coreos") + stream.Suffix, node})
	}
	text := []byte(or(r.Text, references(t, version, refs)))
	front := layer(file{"release-manifests/", nil}, file{"release-manifests/image-references", text},
		file{"release-manifests/release-metadata", []byte(`{"kind":"cincinnati-metadata-v0"}`)})
	layers := []v1.Descriptor{s.base, s.blob(t, append(bytes.Clone(front), end(s.tail)...), types.DockerLayer)}
	added.Offset = int64(len(front))
	if r.Late {
		top := layer(file{"etc/os-release", []byte("NAME=x\n")})
		layers[1] = s.blob(t, append(bytes.Clone(s.tail), end(front)...), types.DockerLayer)
		layers = append(layers, s.blob(t, end(top), types.DockerLayer))
		added.Offset += int64(len(s.tail) + len(top))
	}
	s.image(t, releases, r.Tag, arch, nil, layers...)
	return added
}

// Remove deletes the tag of a release.
func (s *Store) Remove(t testing.TB, tag string) {
	t.Helper()
	s.do(t, http.MethodDelete, releases, tag, "", nil)
}

// Tag stores an image under a tag that is no release's.
func (s *Store) Tag(t testing.TB, tag string) {
	t.Helper()
	s.image(t, releases, tag, "x86_64", nil, s.base)
}

// RemovePart deletes a Driver Toolkit or a node image.
func (s *Store) RemovePart(t testing.TB, image string) {
	t.Helper()
	_, digest, _ := strings.Cut(image, "@")
	s.do(t, http.MethodDelete, parts, digest, "", nil)
}

func (s *Store) toolkit(t testing.TB, tag, arch string, stream Stream) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{"KERNEL_VERSION": stream.Kernel, "RHEL_VERSION": "9.6"})
	if err != nil {
		t.Fatal(err)
	}
	top := s.blob(t, end(layer(file{"etc/", nil}, file{"etc/driver-toolkit-release.json", text})), types.DockerLayer)
	return s.image(t, parts, "", arch, map[string]string{"release": tag + stream.Suffix}, s.base, top)
}

func (s *Store) node(t testing.TB, tag, arch string, stream Stream) string {
	t.Helper()
	labels := map[string]string{"release": tag + stream.Suffix, "version": "9.6.20260327-0"}
	if stream.Label != "none" {
		labels[or(stream.Label, "com.coreos.rpm.kernel")] = or(stream.Nodes, stream.Kernel)
	}
	return s.image(t, parts, "", arch, labels, s.base)
}

// image stores an image, under its digest if tag is "", and returns its name by digest.
func (s *Store) image(t testing.TB, repo, tag, arch string, labels map[string]string, layers ...v1.Descriptor) string {
	t.Helper()
	oci := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[arch]
	config, err := json.Marshal(v1.ConfigFile{Architecture: oci, OS: "linux", Config: v1.Config{Labels: labels},
		RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Config: s.blob(t, config, types.DockerConfigJSON),
		Layers: layers,
	})
	if err != nil {
		t.Fatal(err)
	}
	h, _, err := v1.SHA256(bytes.NewReader(manifest))
	if err != nil {
		t.Fatal(err)
	}
	s.do(t, http.MethodPut, repo, or(tag, h.String()), string(types.DockerManifestSchema2), manifest)
	return fmt.Sprintf("%s/%s@%s", s.Host, repo, h)
}

// do sends a request for a manifest.
func (s *Store) do(t testing.TB, method, repo, name, mediaType string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("%s/v2/%s/manifests/%s", s.URL, repo, name),
		bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s", method, name, resp.Status)
	}
}

func (s *Store) blob(t testing.TB, data []byte, mediaType types.MediaType) v1.Descriptor {
	t.Helper()
	h, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.blobs.Put(t.Context(), "", h, io.NopCloser(bytes.NewReader(data))); err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: mediaType, Digest: h, Size: size}
}

// file is a file of a layer, or a directory if its name ends in a slash.
type file struct {
	name string
	text []byte
}

// layer returns the compressed beginning of a layer, to which more can be added.
func layer(files ...file) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		// Writing to memory fails for no file of ours.
		must(w.WriteHeader(h))
		_, err := w.Write(f.text)
		must(err)
	}
	must(w.Flush())
	must(z.Close())
	return out.Bytes()
}

// end returns a layer's last part with the end of the archive.
func end(part []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(make([]byte, 1024))
	must(err)
	must(z.Close())
	return append(bytes.Clone(part), out.Bytes()...)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// noise returns bytes that do not compress.
func noise(seed byte, n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
