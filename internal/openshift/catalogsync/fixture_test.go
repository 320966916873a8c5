package catalogsync

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/payload"
	"neuron-kmod/internal/openshift/payload/payloadtest"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/platform/transport"
	"neuron-kmod/internal/version"
)

// pageSize makes the listing of 60 releases several pages.
const pageSize = 25

// world is a repository of releases and a keeper that has seen nothing of it yet.
type world struct {
	*payloadtest.Store
	added map[string]payloadtest.Added // by tag
	cache *toolkit.Cache
}

func newWorld(t testing.TB, releases ...payloadtest.Release) *world {
	t.Helper()
	w := &world{payloadtest.New(t, registrytest.Paged(pageSize)), map[string]payloadtest.Added{}, toolkit.NewCache(t.TempDir())}
	w.add(t, releases...)
	return w
}

func (w *world) add(t testing.TB, releases ...payloadtest.Release) {
	t.Helper()
	for _, r := range releases {
		w.added[r.Tag] = w.Add(t, r)
	}
}

// keeper returns a keeper as a new run has it: only the cache is from before. What was counted is forgotten.
func (w *world) syncer(t testing.TB) *Syncer {
	t.Helper()
	rt, err := transport.New(transport.Options{MinWait: time.Millisecond, MaxWait: 5 * time.Millisecond, Retries: 2})
	if err != nil {
		t.Fatal(err)
	}
	client := registry.NewClient(nil, rt, nil)
	repository, err := payload.NewRepository(client, w.Repository())
	if err != nil {
		t.Fatal(err)
	}
	w.Forget()
	return &Syncer{Repository: repository, Toolkits: &toolkit.Reader{Client: client, Cache: w.cache}, Parallel: 8}
}

// update makes an update and checks that the catalogue can be written.
func (w *world) update(t testing.TB, c *catalog.Catalog, s Scope, refresh bool) *Update {
	t.Helper()
	u, err := w.syncer(t).Update(t.Context(), c, s, refresh)
	if err != nil {
		t.Fatal(err)
	}
	encode(t, c)
	return u
}

func (w *world) verify(t testing.TB, c *catalog.Catalog, s Scope) []Finding {
	t.Helper()
	findings, err := w.syncer(t).Verify(t.Context(), c, s)
	if err != nil {
		t.Fatal(err)
	}
	encode(t, c)
	return findings
}

// asked returns the requests without those with which a client finds out how a repository wants to be asked.
func (w *world) asked() []string {
	return slices.DeleteFunc(w.Requests(), func(r string) bool { return r == "GET /v2/" })
}

func encode(t testing.TB, c *catalog.Catalog) string {
	t.Helper()
	if len(c.Entries) == 0 {
		return ""
	}
	text, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// scope is of x86_64, and of minors or releases.
func scope(t testing.TB, selectors ...string) Scope {
	t.Helper()
	s := Scope{Archs: []string{"x86_64"}}
	for _, text := range selectors {
		selector, err := version.ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		s.Selectors = append(s.Selectors, selector)
	}
	return s
}

func mustKernel(t testing.TB, s string) kernel.Version {
	t.Helper()
	k, err := kernel.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// lines writes the entries of a catalogue, one a line: release, kernel, component, kernel of the nodes.
func lines(c *catalog.Catalog) []string {
	var out []string
	for _, e := range slices.SortedFunc(slices.Values(c.Entries), catalog.Entry.Compare) {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s-%s %s %s %s", e.Version, e.Arch, e.Kernel, e.Component, e.NodeKernel)))
	}
	return out
}

// told writes changes, one a line.
func told(changes []Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s-%s %s %s", c.What, c.Version, c.Arch, c.Kernel, c.Component)))
	}
	return out
}

// one is a release with one stream.
func one(tag, kernel string) payloadtest.Release {
	return payloadtest.Release{Tag: tag, Streams: []payloadtest.Stream{{Kernel: kernel}}}
}
