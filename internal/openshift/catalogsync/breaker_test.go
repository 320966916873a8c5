package catalogsync

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/payload/payloadtest"
)

// R8.1: a repository that refuses is asked once, one that does not answer three times in a row; what is merely not there
// closes nothing.
func TestGate(t *testing.T) {
	const image = "quay.io/x/dtk@sha256:1"
	var (
		refused = &transport.Error{StatusCode: http.StatusUnauthorized}
		absent  = &transport.Error{StatusCode: http.StatusNotFound}
		down    = &transport.Error{StatusCode: http.StatusBadGateway}
		nobody  = &url.Error{Op: "Get", URL: "https://quay.io/", Err: syscall.ECONNREFUSED}
	)
	tests := []struct {
		name    string
		answers []error
		asked   int // of the answers
	}{
		{"refused", []error{refused, nil}, 1},
		{"absent", []error{absent, absent, absent, absent}, 4},
		{"unreachable", []error{nobody, down, nobody, nil, nil}, 3},
		{"now and then", []error{down, down, absent, down, down, nil}, 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var g circuitBreaker
			asked := 0
			for i, answer := range tt.answers {
				err := g.ask(image, func() error { asked++; return answer })
				if asked == i+1 {
					if !errors.Is(err, answer) {
						t.Errorf("question %d: got %v, want %v", i, err, answer)
					}
				} else if err == nil || !errors.Is(err, tt.answers[tt.asked-1]) || !strings.Contains(err.Error(), "quay.io/x/dtk is not asked any more") {
					t.Errorf("question %d, which was not asked: got %v", i, err)
				}
			}
			if asked != tt.asked {
				t.Errorf("asked %d times, want %d", asked, tt.asked)
			}
			if err := g.ask("quay.io/x/other@sha256:1", func() error { return nil }); err != nil {
				t.Errorf("another repository: %v", err)
			}
		})
	}
}

// A mark is recorded with the kernel that it differs from: plans then need to ask nobody.
func TestVerifyRecordsMarkedKernel(t *testing.T) {
	w := newWorld(t, payloadtest.Release{Tag: "4.20.1-x86_64", Streams: []payloadtest.Stream{{Kernel: k1, Nodes: k2}}}, one("4.20.2-x86_64", k1))
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	for i := range c.Entries {
		c.Entries[i].Kernel = kernel.Version{} // written before kernels were recorded
	}
	w.verify(t, c, scope(t, "4.20"))
	if e := c.Entries[0]; e.Kernel.String() != k1 || e.NodeKernel.String() != k2 {
		t.Errorf("the marked entry has kernel %q, of its nodes %q", e.Kernel, e.NodeKernel)
	}
	if k := c.Entries[1].Kernel; !k.IsZero() {
		t.Errorf("the other entry has kernel %q: that is for an update", k)
	}
}
