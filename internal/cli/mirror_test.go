package cli

import (
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/progress"
)

// R1.3, R4.1: any mirror that a flag names serves a plan whose toolkits are out of reach. One that holds a single toolkit for
// each kernel serves builds: that one is tried first, and nothing is asked of the places behind it.
func TestToolkitMirror(t *testing.T) {
	s := newSite(t)
	old := s.toolkit("4.20.1", "", kernelA, false)
	to := s.internal.Host + "/mirror/dtk"
	s.mirror(0, to, "--kernels-only")
	newer := s.toolkit("4.20.2", "", kernelA, true)
	s.source.Break(registrytest.Fault{Status: http.StatusForbidden})
	s.source.Forget()

	code, stdout, stderr := s.run(t.Context(), "plan", "2.22.2.0", "--target", "oci:out", "--matrix", "m.json", "--catalog", "c.json", "--toolkit-mirror", to)
	if code != 0 || !strings.Contains(stdout, "1 image for 1 kernel: 1 missing") || len(s.source.Requests()) > 0 {
		t.Errorf("exit code %d, requests %q\n%s%s", code, s.source.Requests(), stdout, stderr)
	}

	a := &app{stdout: io.Discard, stderr: progress.NewOutput(io.Discard), log: slog.New(slog.DiscardHandler)}
	a.ToolkitMirror = to
	session, err := a.open()
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Load("c.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.useMirror(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	first, second := s.source.Host+"/openshift/dtk@"+newer, s.source.Host+"/openshift/dtk@"+old
	p := &plan.Plan{Builds: []plan.Build{
		{State: plan.Missing, Toolkits: []string{first, second}}, {State: plan.Published, Toolkits: []string{first, second}},
	}}
	if err := session.preferMirror(t.Context(), p, false); err != nil {
		t.Fatal(err)
	}
	if got := p.Builds[0].Toolkits; !slices.Equal(got, []string{second, first}) {
		t.Errorf("a build that is due is tried with %q", got)
	}
	if got := p.Builds[1].Toolkits; !slices.Equal(got, []string{first, second}) {
		t.Errorf("one that is not has %q", got)
	}
	reached, err := session.reachedToolkits(t.Context(), p, false)
	if err != nil || !slices.Equal(reached, []string{second}) {
		t.Errorf("reached are %q, error %v", reached, err)
	}

	s.internal.Break(registrytest.Fault{Status: http.StatusForbidden})
	code, _, stderr = s.run(t.Context(), "plan", "--target", "oci:out", "--matrix", "m.json", "--catalog", "c.json", "--toolkit-mirror", "oci:dir")
	if code != 2 || !strings.Contains(stderr, "is not a repository of a registry") {
		t.Errorf("a folder as mirror: exit code %d\n%s", code, stderr)
	}
}
