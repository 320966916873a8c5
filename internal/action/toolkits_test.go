package action

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/plan"
)

// R1.3, R4.1: a mirror that holds a single toolkit for each kernel serves builds: that one is tried first, and nothing is
// asked of the places behind it. A plan is not changed by that.
func TestPreferMirrored(t *testing.T) {
	s := registrytest.New(t)
	img, err := random.Image(1<<10, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(s.Host + "/mirror/dtk:4.20.1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
	first, second := "quay.io/x/dtk@sha256:"+strings.Repeat("1", 64), "quay.io/x/dtk@"+digest.String()
	c, err := catalog.Parse("c.json", []byte(`[
  {"arch": "x86_64", "version": "4.20.1", "dtk": "`+second+`", "kernel": "5.14.0-570.96.1.el9_6.x86_64"},
  {"arch": "x86_64", "version": "4.20.2", "dtk": "`+first+`", "kernel": "5.14.0-570.96.1.el9_6.x86_64"}
]`))
	if err != nil {
		t.Fatal(err)
	}
	session, err := open(Env{Log: slog.New(slog.DiscardHandler)}, access{target: "oci:out", mirror: s.Host + "/mirror/dtk"})
	if err != nil {
		t.Fatal(err)
	}
	source, err := session.toolkits(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	p := &plan.Plan{Builds: []plan.Build{
		{Tag: "a", State: plan.Missing, Toolkits: []string{first, second}}, {Tag: "b", State: plan.Published, Toolkits: []string{first, second}},
	}}
	preferred, err := source.preferMirrored(t.Context(), p, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := preferred.Builds[0].Toolkits; !slices.Equal(got, []string{second, first}) {
		t.Errorf("a build to make is tried with %q", got)
	}
	if got := preferred.Builds[1].Toolkits; !slices.Equal(got, []string{first, second}) {
		t.Errorf("one that is published has %q", got)
	}
	if got := p.Builds[0].Toolkits; !slices.Equal(got, []string{first, second}) {
		t.Errorf("the plan was changed: %q", got)
	}
	reachable, err := source.reachable(t.Context(), preferred, false)
	if err != nil || !slices.Equal(reachable, []string{second}) {
		t.Errorf("reachable are %q, error %v", reachable, err)
	}
	s.Break(registrytest.Fault{Status: http.StatusForbidden})
	other, err := session.toolkits(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.preferMirrored(t.Context(), p, false); err == nil {
		t.Error("a mirror that was named and cannot be read is no error")
	}
}
