package cli

import (
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/oci/registry/registrytest"
)

// BenchmarkCatalogMirror copies six Driver Toolkits from one registry to another, and then again with nothing to copy. They
// share a layer of 8 MiB, and each has one of 1 MiB to itself, its metadata and its configuration. Reported are the
// requests, and the bytes on the wire of both registries, headers included. It fails where a blob is sent twice.
func BenchmarkCatalogMirror(b *testing.B) {
	const toolkits, shared, own = 6, 8 << 20, 1 << 20
	s := newSite(b)
	base, err := random.Layer(shared, types.DockerLayer)
	if err != nil {
		b.Fatal(err)
	}
	s.base, s.own = base, own
	s.write("m.json", `[{"driver": "2.24.7.0", "ocp_versions": ["4.20"]}]`)
	mirror := func() *registrytest.Server { return registrytest.New(b) }
	digests := map[string]string{} // by release
	for i := range toolkits {
		release := fmt.Sprintf("4.20.%d", i)
		digests[release] = s.toolkit(release, "", fmt.Sprintf("5.14.0-570.%d.1.el9_6.x86_64", i), true)
	}
	const blobs, bytes = 1 + 3*toolkits, shared + own*toolkits // each once
	copyAll := func(b *testing.B, state registry.CopyState) {
		s.source.Forget()
		s.internal.Forget()
		r := s.mirror(0, s.internal.Host+"/mirror/dtk")
		if len(r.Images) != toolkits {
			b.Fatalf("copies %q", states(r))
		}
		for _, m := range r.Images {
			if m.State != state || m.Digest != digests[m.Tag] {
				b.Errorf("%s is %s with digest %s, want %s with %s", m.Tag, m.State, m.Digest, state, digests[m.Tag])
			}
		}
	}
	report := func(b *testing.B) (arrived int) {
		arrived = len(s.internal.Requests("PUT ", "/blobs/"))
		b.ReportMetric(float64(arrived), "blobs")
		b.ReportMetric(float64(len(s.source.Requests())), "source-requests")
		b.ReportMetric(float64(len(s.internal.Requests())), "mirror-requests")
		b.ReportMetric(float64(s.source.Sent()), "source-bytes")
		b.ReportMetric(float64(s.internal.Received()), "mirror-bytes")
		return arrived
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			s.internal = mirror()
			copyAll(b, registry.CopyMade)
		}
		if n := report(b); n != blobs {
			b.Errorf("%d blobs were sent, want %d", n, blobs)
		}
		// Manifests, configurations, metadata and headers are less than 1 % of this.
		if sent, most := s.internal.Received(), int64(bytes)*101/100; sent > most {
			b.Errorf("%d bytes were sent, want at most %d", sent, most)
		}
		if read, most := s.source.Sent(), int64(bytes)*101/100; read > most {
			b.Errorf("%d bytes were read, want at most %d", read, most)
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			copyAll(b, registry.CopyThere)
		}
		report(b)
		if n := len(s.internal.Requests("/blobs/")) + len(s.source.Requests()); n != 0 {
			b.Errorf("%d requests for blobs or originals: %q %q", n, s.internal.Requests("/blobs/"), s.source.Requests())
		}
	})
}
