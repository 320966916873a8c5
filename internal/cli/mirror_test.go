package cli

import (
	"net/http"
	"strings"
	"testing"

	"neuron-kmod/internal/oci/registry/registrytest"
)

// R1.3, R4.1: any mirror that a flag names serves a plan whose toolkits are out of reach. One that holds a single toolkit for
// each kernel serves builds: that one is tried first, and nothing is asked of the places behind it.
func TestToolkitMirror(t *testing.T) {
	s := newSite(t)
	s.toolkit("4.20.1", "", kernelA, false)
	to := s.internal.Host + "/mirror/dtk"
	s.mirror(0, to, "--kernels-only")
	s.toolkit("4.20.2", "", kernelA, true)
	s.source.Break(registrytest.Fault{Status: http.StatusForbidden})
	s.source.Forget()

	code, stdout, stderr := s.run(t.Context(), "plan", "2.22.2.0", "--target", "oci:out", "--matrix", "m.json", "--catalog", "c.json", "--toolkit-mirror", to)
	if code != 0 || !strings.Contains(stdout, "1 image for 1 kernel: 1 missing") || len(s.source.Requests()) > 0 {
		t.Errorf("exit code %d, requests %q\n%s%s", code, s.source.Requests(), stdout, stderr)
	}

	s.internal.Break(registrytest.Fault{Status: http.StatusForbidden})
	code, _, stderr = s.run(t.Context(), "plan", "--target", "oci:out", "--matrix", "m.json", "--catalog", "c.json", "--toolkit-mirror", "oci:dir")
	if code != 2 || !strings.Contains(stderr, "is not a repository of a registry") {
		t.Errorf("a directory as mirror: exit code %d\n%s", code, stderr)
	}
}
