package catalogsync

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/payload/payloadtest"
	"neuron-kmod/internal/openshift/toolkit"
)

// stands writes findings, one a line.
func stands(findings []Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, strings.TrimSpace(strings.Join([]string{f.Version.String(), string(f.State), f.Component}, " ")))
	}
	return out
}

func hasReason(f Finding, text string) bool {
	return slices.ContainsFunc(f.Reasons, func(r string) bool { return strings.Contains(r, text) })
}

// Every entry is compared with its toolkit and with what its nodes boot, each stream with its own.
func TestVerify(t *testing.T) {
	stream := func(kernel, nodes string) payloadtest.Stream { return payloadtest.Stream{Kernel: kernel, Nodes: nodes} }
	w := newWorld(t,
		payloadtest.Release{Tag: "4.20.1-x86_64", Streams: []payloadtest.Stream{stream(k1, "")}},
		payloadtest.Release{Tag: "4.20.2-x86_64", Streams: []payloadtest.Stream{stream(k1, k2)}},
		payloadtest.Release{Tag: "4.20.3-x86_64", Streams: []payloadtest.Stream{stream(k1, "")}},
		payloadtest.Release{Tag: "4.20.4-x86_64", Streams: []payloadtest.Stream{{Kernel: k1, Label: "none"}}},
		payloadtest.Release{Tag: "4.20.5-x86_64", Streams: []payloadtest.Stream{stream(k1, ""), {Suffix: "-10", Kernel: k10, Nodes: "6.12.0-1.el10_1.x86_64"}}},
		payloadtest.Release{Tag: "4.20.6-x86_64", Streams: []payloadtest.Stream{stream(k1, "")}},
		payloadtest.Release{Tag: "4.20.7-x86_64", Streams: []payloadtest.Stream{stream(k1, "")}},
		payloadtest.Release{Tag: "4.20.8-x86_64", Streams: []payloadtest.Stream{stream(k1, "")}},
	)
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	c.Entries[2].Kernel = mustKernel(t, k2) // is wrong
	w.RemovePart(t, c.Entries[6].DTK)       // of 4.20.6
	w.Remove(t, "4.20.7-x86_64")            // its nodes are not known any more
	own := c.Entries[8]
	c.Entries[8].DTK, c.Entries[8].Kernel = c.Entries[1].DTK, mustKernel(t, k1) // of another release

	findings := w.verify(t, c, scope(t, "4.20"))
	want := []string{
		"4.20.1 ok", "4.20.2 mismatch", "4.20.3 mismatch", "4.20.4 unknown", "4.20.5 ok", "4.20.5 mismatch driver-toolkit-10",
		"4.20.6 missing", "4.20.7 unknown", "4.20.8 mismatch",
	}
	if diff := cmp.Diff(want, stands(findings)); diff != "" {
		t.Fatalf("findings (-want +got):\n%s", diff)
	}
	for i, reason := range map[int]string{
		1: "the nodes boot " + k2 + ", and the Driver Toolkit is for " + k1,
		2: "the Driver Toolkit is for " + k1 + ", and the entry says " + k2,
		3: "no label with its kernel",
		5: "the nodes boot 6.12.0-1.el10_1.x86_64, and the Driver Toolkit is for " + k10,
		6: "the Driver Toolkit is not there",
		7: "the release is not in " + w.Repository(),
		8: "the release has another Driver Toolkit: " + w.added["4.20.8-x86_64"].Toolkits[""],
	} {
		if !hasReason(findings[i], reason) {
			t.Errorf("%s: reasons %q, want %q", want[i], findings[i].Reasons, reason)
		}
	}
	marks := []string{
		"4.20.1-x86_64 " + k1, "4.20.2-x86_64 " + k1 + "  " + k2, "4.20.3-x86_64 " + k1, "4.20.4-x86_64 " + k1,
		"4.20.5-x86_64 " + k1, "4.20.5-x86_64 " + k10 + " driver-toolkit-10 6.12.0-1.el10_1.x86_64", "4.20.6-x86_64 " + k1,
		"4.20.7-x86_64 " + k1, "4.20.8-x86_64 " + k1,
	}
	if diff := cmp.Diff(marks, lines(c)); diff != "" {
		t.Errorf("catalogue (-want +got):\n%s", diff)
	}
	if got := c.Entries[8]; got.DTK != own.DTK || findings[8].ReleaseDTK != own.DTK || findings[8].DTK != c.Entries[1].DTK {
		t.Errorf("of another release: entry %+v, finding %+v", got, findings[8])
	}

	// What could be corrected is right from now on; marks and what is gone stay.
	for i := range want {
		if i == 2 || i == 8 {
			want[i] = strings.Replace(want[i], "mismatch", "ok", 1)
		}
	}
	if diff := cmp.Diff(want, stands(w.verify(t, c, scope(t, "4.20")))); diff != "" {
		t.Errorf("again (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(marks, lines(c)); diff != "" {
		t.Errorf("catalogue again (-want +got):\n%s", diff)
	}
}

// A kernel that is recorded wrongly is corrected in all entries of the image, of the scope or not, and what it was marked
// for goes; what is not recorded stays so, and a kernel of another architecture is recorded nowhere.
func TestVerifyCorrects(t *testing.T) {
	w := newWorld(t, one("4.20.1-x86_64", k1), one("4.20.2-x86_64", k1), one("4.20.3-x86_64", "5.14.0-1.el9_6.aarch64"))
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	other := c.Entries[0]
	other.Version = mustRelease(t, "4.21.5-x86_64").Version
	c.Entries = append(c.Entries, other)
	for _, i := range []int{0, 2, 3} {
		c.Entries[i].Kernel = mustKernel(t, k2)
	}
	c.Entries[3].NodeKernel = mustKernel(t, k1)
	c.Entries[1].Kernel = kernel.Version{}
	findings := w.verify(t, c, scope(t, "4.20"))
	if diff := cmp.Diff([]string{"4.20.1 mismatch", "4.20.2 ok", "4.20.3 mismatch"}, stands(findings)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if !hasReason(findings[2], "is for aarch64") {
		t.Errorf("reasons %q", findings[2].Reasons)
	}
	if diff := cmp.Diff([]string{"4.20.1-x86_64 " + k1, "4.20.2-x86_64", "4.20.3-x86_64", "4.21.5-x86_64 " + k1}, lines(c)); diff != "" {
		t.Errorf("catalogue (-want +got):\n%s", diff)
	}
}

// A Driver Toolkit that is not the release's gives way to the release's though that cannot be read now: plans then tell why
// they do not know the kernel, instead of going by a wrong one.
func TestVerifyAnotherToolkit(t *testing.T) {
	w := newWorld(t, one("4.20.1-x86_64", k1), one("4.20.2-x86_64", k2))
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	own := c.Entries[1].DTK
	c.Entries[1].DTK, c.Entries[1].Kernel = c.Entries[0].DTK, c.Entries[0].Kernel
	w.RemovePart(t, own)
	w.cache = toolkit.NewCache(t.TempDir())
	got := w.verify(t, c, scope(t, "4.20"))[1]
	if got.State != Gone || got.ReleaseDTK != own || c.Entries[1].DTK != own || !c.Entries[1].Kernel.IsZero() {
		t.Errorf("%+v, entry %+v", got, c.Entries[1])
	}
}

// A mark goes when the nodes boot the kernel of the entry, and stays while that cannot be known.
func TestVerifyMark(t *testing.T) {
	w := newWorld(t, payloadtest.Release{Tag: "4.20.1-x86_64", Streams: []payloadtest.Stream{{Kernel: k1, Nodes: k2}}})
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	marked := "4.20.1-x86_64 " + k1 + "  " + k2
	for range 2 {
		if got := w.verify(t, c, scope(t, "4.20")); got[0].State != Mismatch || lines(c)[0] != marked {
			t.Errorf("%+v, catalogue %q", got, lines(c))
		}
	}
	w.Refuse()
	if got := w.verify(t, c, scope(t, "4.20")); got[0].State != Unknown || lines(c)[0] != marked {
		t.Errorf("refused: %+v, catalogue %q", got, lines(c))
	}
	w.Mend()
	w.add(t, one("4.20.1-x86_64", k1)) // the release as it should have been, with the same toolkit
	if got := w.verify(t, c, scope(t, "4.20")); got[0].State != OK || !c.Entries[0].NodeKernel.IsZero() {
		t.Errorf("mended: %+v, catalogue %q", got, lines(c))
	}
}

// An entry without a kernel is compared by its toolkit's.
func TestVerifyUnrecorded(t *testing.T) {
	w := newWorld(t, payloadtest.Release{Tag: "4.20.1-x86_64", Streams: []payloadtest.Stream{{Kernel: k1, Nodes: k2}}})
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	c.Entries[0].Kernel = kernel.Version{}
	got := w.verify(t, c, scope(t, "4.20"))[0]
	if got.State != Mismatch || got.ToolkitKernel.String() != k1 || got.NodeKernel.String() != k2 || c.Entries[0].NodeKernel.String() != k2 {
		t.Errorf("%+v, catalogue %q", got, lines(c))
	}
}

// What cannot be known is told apart from what could not be found out now; a registry that refuses is not asked for each.
func TestVerifyTrouble(t *testing.T) {
	w := newWorld(t, payloadtest.Sixty()[:20]...)
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	w.Refuse()
	for _, f := range w.verify(t, c, scope(t, "4.20")) {
		if f.State != Unknown {
			t.Errorf("%+v", f)
		}
	}
	if n := len(w.Requests("art-dev")); n == 0 || n > 8 {
		t.Errorf("%d requests in vain", n)
	}
	w.Mend()
	w.Break(registrytest.Fault{Path: "/art-dev/", Status: http.StatusBadGateway})
	if f := w.verify(t, c, scope(t, "4.20.1"))[0]; f.State != Failed || !hasReason(f, "is in trouble") {
		t.Errorf("%+v", f)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.syncer(t).Verify(ctx, c, scope(t, "4.20")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
