package catalogsync

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/payload"
	"neuron-kmod/internal/openshift/payload/payloadtest"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/platform/fault"
)

const (
	k1  = "5.14.0-570.1.1.el9_6.x86_64"
	k2  = "5.14.0-570.2.1.el9_6.x86_64"
	k10 = "6.12.0-124.8.1.el10_1.x86_64"
)

// wanted returns the catalogue that releases make, as lines of function lines; keep tells which.
func wanted(t *testing.T, releases []payloadtest.Release, keep func(payload.Release) bool) []string {
	t.Helper()
	type line struct {
		release payload.Release
		text    string
	}
	var all []line
	for _, r := range releases {
		release, ok := payload.ParseTag(r.Tag)
		if !ok || r.Tag == payloadtest.Broken || !keep(release) {
			continue
		}
		for _, s := range r.Streams {
			component := ""
			if s.Suffix != "" {
				component = " driver-toolkit" + s.Suffix
			}
			all = append(all, line{release, r.Tag + " " + s.Kernel + component})
		}
	}
	slices.SortStableFunc(all, func(a, b line) int { return a.release.Compare(b.release) })
	var out []string
	for _, l := range all {
		out = append(out, l.text)
	}
	return out
}

// 60 releases of three minors are catalogued from nothing and incrementally, to the same bytes; the one that is broken
// loses no other. An update with nothing new lists the tags, and asks for no more than the broken one again.
func TestUpdateSixty(t *testing.T) {
	all := payloadtest.Sixty()
	w := newWorld(t, all...)
	w.Tag(t, "4.20.0-multi")
	minors := scope(t, "4.20", "4.21", "4.22")
	stable := func(r payload.Release) bool { return r.Arch == "x86_64" && !r.Version.IsPreRelease() }

	whole := &catalog.Catalog{Path: "c.json"}
	u := w.update(t, whole, minors, false)
	if diff := cmp.Diff(wanted(t, all, stable), lines(whole)); diff != "" {
		t.Errorf("from nothing (-want +got):\n%s", diff)
	}
	if len(u.Changes) != len(whole.Entries) || len(u.Refused)+len(u.Vanished)+len(u.Missing) != 0 {
		t.Errorf("report %+v", u)
	}
	if len(u.Unreadable) != 1 || u.Unreadable[0].Version.String() != "4.21.7" || !strings.Contains(u.Unreadable[0].Reason, "truncated JSON") {
		t.Errorf("unreadable %+v", u.Unreadable)
	}

	parts := &catalog.Catalog{Path: "c.json"}
	for _, minor := range []string{"4.21", "4.20", "4.22"} {
		w.update(t, parts, scope(t, minor), false)
	}
	if diff := cmp.Diff(encode(t, whole), encode(t, parts)); diff != "" {
		t.Errorf("incrementally (-at once +in parts):\n%s", diff)
	}

	w.Remove(t, payloadtest.Broken)
	u = w.update(t, whole, minors, false)
	if len(u.Changes)+len(u.Unreadable)+len(u.Vanished) != 0 {
		t.Errorf("nothing new: %+v", u)
	}
	if got := w.asked(); len(got) != 3 || len(w.Requests("tags/list")) != 3 {
		t.Errorf("nothing new on 3 pages costs %q", got)
	}

	everything := Scope{Selectors: minors.Selectors, Archs: []string{"x86_64", "aarch64"}, PreReleases: true}
	w.update(t, whole, everything, false)
	if diff := cmp.Diff(wanted(t, all, func(payload.Release) bool { return true }), lines(whole)); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
}

// A new release costs at most 4 requests and 2 MiB beyond the files' offsets.
func TestUpdateCosts(t *testing.T) {
	w := newWorld(t, one("4.20.1-x86_64", k1))
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	w.add(t, one("4.20.2-x86_64", k2))
	u := w.update(t, c, scope(t, "4.20"), false)
	if diff := cmp.Diff([]string{"added 4.20.2-x86_64 " + k2}, told(u.Changes)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got := w.asked(); len(got) != 1+4 {
		t.Errorf("a listing and a new release cost %q", got)
	}
	if most := w.added["4.20.2-x86_64"].Offset + 2<<20; w.Sent() > most {
		t.Errorf("%d bytes were sent, want at most %d", w.Sent(), most)
	}
}

// What the catalogue has is not asked for again, and what it has no more is told and stays.
func TestUpdateKnown(t *testing.T) {
	w := newWorld(t, one("4.20.1-x86_64", k1), one("4.20.2-x86_64", k1), one("4.21.1-x86_64", k1), one("4.21.0-rc.1-x86_64", k2))
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	before := encode(t, c)
	w.Remove(t, "4.20.1-x86_64")
	u := w.update(t, c, scope(t, "4.20", "4.22"), false)
	if len(u.Changes) != 0 || encode(t, c) != before {
		t.Errorf("changes %v", told(u.Changes))
	}
	if len(u.Vanished) != 1 || u.Vanished[0].Version.String() != "4.20.1" {
		t.Errorf("vanished %+v", u.Vanished)
	}
	if len(u.Missing) != 1 || u.Missing[0].String() != "4.22" {
		t.Errorf("missing %v", u.Missing)
	}
	// A pre-release that is named is meant, others are not.
	u = w.update(t, c, scope(t, "4.21.0-rc.1"), false)
	if diff := cmp.Diff([]string{"added 4.21.0-rc.1-x86_64 " + k2}, told(u.Changes)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// The kernel of an image is known from another entry or an earlier run without asking; entries without one are completed.
func TestUpdateKernels(t *testing.T) {
	w := newWorld(t, one("4.20.1-x86_64", k1))
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	twin := c.Entries[0]
	twin.Version, twin.Kernel = mustRelease(t, "4.20.2-x86_64").Version, kernel.Version{}
	for name, tt := range map[string]struct {
		entries []catalog.Entry
		cache   *toolkit.Cache
	}{
		"by another entry":  {[]catalog.Entry{c.Entries[0], twin}, nil},
		"by an earlier run": {[]catalog.Entry{twin}, w.cache},
	} {
		t.Run(name, func(t *testing.T) {
			w.cache = tt.cache
			c := &catalog.Catalog{Path: "c.json", Entries: tt.entries}
			u := w.update(t, c, scope(t, "4.20.2"), false)
			if diff := cmp.Diff([]string{"kernel learnt 4.20.2-x86_64 " + k1}, told(u.Changes)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if got := w.Requests("art-dev"); len(got) != 0 {
				t.Errorf("it asked for what it knew: %q", got)
			}
		})
	}
}

func mustRelease(t testing.TB, tag string) payload.Release {
	t.Helper()
	r, ok := payload.ParseTag(tag)
	if !ok {
		t.Fatalf("%s is no release", tag)
	}
	return r
}

// Without credentials for Driver Toolkits the releases are recorded without kernels, the registry is not asked once for
// each, and the next run that has some completes them.
func TestUpdateRefused(t *testing.T) {
	releases := payloadtest.Sixty()[:20]
	w := newWorld(t, releases...)
	w.Refuse()
	c := &catalog.Catalog{Path: "c.json"}
	u := w.update(t, c, scope(t, "4.20"), false)
	if len(c.Entries) != 20 || len(u.Refused) != 20 || len(u.Unreadable) != 0 {
		t.Errorf("%d entries; report %+v", len(c.Entries), u)
	}
	if !registry.IsUnauthorized(u.Refused[0].Err()) {
		t.Errorf("error %v", u.Refused[0].Err())
	}
	if n := len(w.Requests("art-dev")); n == 0 || n > 8 {
		t.Errorf("%d requests in vain", n)
	}
	w.Mend()
	u = w.update(t, c, scope(t, "4.20"), false)
	if len(u.Changes) != 20 || u.Changes[0].What != KernelResolved || len(u.Refused) != 0 {
		t.Errorf("afterwards: %v, refused %v", told(u.Changes), u.Refused)
	}
	if n := len(w.Requests("manifests/4.")); n != 0 {
		t.Errorf("%d known releases were asked for again", n)
	}
}

// What an earlier run has learnt is known though the registry has refused another image.
func TestUpdateRefusedKnown(t *testing.T) {
	w := newWorld(t, one("4.20.2-x86_64", k2))
	w.update(t, &catalog.Catalog{Path: "c.json"}, scope(t, "4.20"), false)
	w.add(t, one("4.20.1-x86_64", k1))
	w.Refuse()
	k := w.syncer(t)
	k.Parallel = 1
	c := &catalog.Catalog{Path: "c.json"}
	if _, err := k.Update(t.Context(), c, scope(t, "4.20"), false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"4.20.1-x86_64", "4.20.2-x86_64 " + k2}, lines(c)); diff != "" {
		t.Errorf("catalogue (-want +got):\n%s", diff)
	}
}

// A release that is skipped is neither read nor asked for its kernel, and is not told of; one that is not there is.
func TestUpdateSkip(t *testing.T) {
	w := newWorld(t, one("4.20.1-x86_64", k1), one("4.20.2-x86_64", k2), payloadtest.Release{Tag: "4.20.3-x86_64", Text: "{"})
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20.2"), false)
	c.Entries[0].Kernel, w.cache = kernel.Version{}, toolkit.NewCache(t.TempDir())
	w.RemovePart(t, c.Entries[0].DTK)
	all := scope(t, "4.20", "4.20.3")
	for _, tag := range []string{"4.20.2-x86_64", "4.20.3-x86_64", "4.20.9-x86_64"} {
		all.Skip = append(all.Skip, mustRelease(t, tag).Version)
	}
	u := w.update(t, c, all, true)
	if diff := cmp.Diff([]string{"4.20.1-x86_64 " + k1, "4.20.2-x86_64"}, lines(c)); diff != "" || len(u.Unreadable) != 0 {
		t.Errorf("unreadable %+v, catalogue (-want +got):\n%s", u.Unreadable, diff)
	}
	if len(u.Missing) != 1 || u.Missing[0].String() != "4.20.9" {
		t.Errorf("missing %v", u.Missing)
	}
}

// A Driver Toolkit that cannot be read, or is for another architecture, loses only its own kernel.
func TestUpdateUnreadableToolkit(t *testing.T) {
	w := newWorld(t, one("4.20.1-x86_64", k1), one("4.20.2-x86_64", "5.14.0-1.el9_6.aarch64"), one("4.20.3-x86_64", k2))
	w.RemovePart(t, w.added["4.20.1-x86_64"].Toolkits[""])
	c := &catalog.Catalog{Path: "c.json"}
	u := w.update(t, c, scope(t, "4.20"), false)
	if diff := cmp.Diff([]string{"4.20.1-x86_64", "4.20.2-x86_64", "4.20.3-x86_64 " + k2}, lines(c)); diff != "" {
		t.Errorf("catalogue (-want +got):\n%s", diff)
	}
	if len(u.Unreadable) != 2 || !registry.Is404(u.Unreadable[0].Err()) || !strings.Contains(u.Unreadable[1].Reason, "is for aarch64") {
		t.Errorf("unreadable %+v", u.Unreadable)
	}
}

// A release of OpenShift 5 that was recorded with one Driver Toolkit is asked for once more: it gets its second, or is known
// to have one from then on. That costs nothing again, with credentials or without.
func TestUpdateStreams(t *testing.T) {
	two := payloadtest.Release{Tag: "5.0.1-x86_64", Streams: []payloadtest.Stream{{Kernel: k1}, {Suffix: "-10", Kernel: k10}}}
	w := newWorld(t, two, one("5.0.2-x86_64", k2), one("4.20.1-x86_64", k1))
	whole := &catalog.Catalog{Path: "c.json"}
	all := scope(t, "4.20", "5.0")
	w.update(t, whole, all, false)
	want := encode(t, whole)
	var only []string
	for _, e := range whole.Entries {
		if e.SingleToolkit {
			only = append(only, e.Version.String())
		}
	}
	if diff := cmp.Diff([]string{"5.0.2"}, only); diff != "" {
		t.Errorf("said to be single (-want +got):\n%s", diff)
	}
	for name, change := range map[string]func(){"with credentials": func() {}, "without": w.Refuse} {
		t.Run(name, func(t *testing.T) {
			// As whoever knows of one Driver Toolkit only would have written it, with kernels.
			c := &catalog.Catalog{Path: "c.json"}
			for _, e := range whole.Entries {
				if e.SingleToolkit = false; e.Component == "" {
					c.Entries = append(c.Entries, e)
				}
			}
			change()
			u := w.update(t, c, all, false)
			if diff := cmp.Diff([]string{"added 5.0.1-x86_64 " + k10 + " driver-toolkit-10", "single toolkit 5.0.2-x86_64 " + k2}, told(u.Changes)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if n := len(w.Requests("ocp-release", "manifests")); n != 2 {
				t.Errorf("%d releases were asked for, want 2: %q", n, w.Requests("ocp-release"))
			}
			if diff := cmp.Diff(want, encode(t, c)); diff != "" {
				t.Errorf("catalogue (-want +got):\n%s", diff)
			}
			u = w.update(t, c, all, false)
			if got := w.asked(); len(u.Changes) != 0 || len(got) != 1 {
				t.Errorf("again: %v, %q", told(u.Changes), got)
			}
			w.Mend()
		})
	}
	// One that has got a second is no longer said to be single.
	w.add(t, payloadtest.Release{Tag: "5.0.2-x86_64", Streams: []payloadtest.Stream{{Kernel: k2}, {Suffix: "-10", Kernel: k10}}})
	u := w.update(t, whole, all, true)
	if diff := cmp.Diff([]string{"added 5.0.2-x86_64 " + k10 + " driver-toolkit-10"}, told(u.Changes)); diff != "" || slices.ContainsFunc(whole.Entries, func(e catalog.Entry) bool { return e.SingleToolkit }) {
		t.Errorf("refresh: %+v (-want +got):\n%s", whole.Entries, diff)
	}
}

// With refresh the repository is believed: another toolkit, a kernel that was written wrongly, a component that is gone.
// A copy of the same image in another place stays.
func TestUpdateRefresh(t *testing.T) {
	w := newWorld(t, one("4.20.1-x86_64", k1), one("4.20.2-x86_64", k1), one("4.20.3-x86_64", k2))
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	c.Entries[0].DTK = strings.Replace(c.Entries[0].DTK, w.Host, "mirror.example.com", 1)
	c.Entries[1].Kernel, c.Entries[1].NodeKernel = mustKernel(t, k2), mustKernel(t, k1)
	extra := c.Entries[2]
	extra.Component = "driver-toolkit-10"
	c.Entries = append(c.Entries, extra)
	w.add(t, one("4.20.3-x86_64", k10)) // under the same tag
	u := w.update(t, c, scope(t, "4.20"), true)
	want := []string{
		"4.20.1-x86_64 " + k1,
		"4.20.2-x86_64 " + k1,
		"4.20.3-x86_64 " + k10,
		"4.20.3-x86_64 " + k2 + " driver-toolkit-10",
	}
	if diff := cmp.Diff(want, lines(c)); diff != "" {
		t.Errorf("catalogue (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"changed 4.20.2-x86_64 " + k1, "changed 4.20.3-x86_64 " + k10}, told(u.Changes)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got := u.Changes[1]; got.WasKernel.String() != k2 || got.WasDTK == "" || got.WasDTK == got.DTK {
		t.Errorf("change %+v", got)
	}
	if !strings.HasPrefix(c.Entries[0].DTK, "mirror.example.com/") {
		t.Errorf("the copy became %s", c.Entries[0].DTK)
	}
	if len(u.Vanished) != 1 || u.Vanished[0].Component != "driver-toolkit-10" {
		t.Errorf("vanished %+v", u.Vanished)
	}
}

// One kernel that is corrected is corrected in all entries of the image, or the file could not be read again.
func TestUpdateRefreshShared(t *testing.T) {
	w := newWorld(t, one("4.20.1-x86_64", k1))
	c := &catalog.Catalog{Path: "c.json"}
	w.update(t, c, scope(t, "4.20"), false)
	other := c.Entries[0]
	other.Version = mustRelease(t, "4.21.5-x86_64").Version
	c.Entries = append(c.Entries, other)
	c.Entries[0].Kernel, c.Entries[1].Kernel = mustKernel(t, k2), mustKernel(t, k2)
	w.update(t, c, scope(t, "4.20"), true)
	if diff := cmp.Diff([]string{"4.20.1-x86_64 " + k1, "4.21.5-x86_64 " + k1}, lines(c)); diff != "" {
		t.Errorf("catalogue (-want +got):\n%s", diff)
	}
}

// R8.2, R8.3: a repository that cannot be listed, or is none of releases, is an error; busy servers are asked again.
func TestUpdateFails(t *testing.T) {
	w := newWorld(t)
	c := &catalog.Catalog{Path: "c.json"}
	if _, err := w.syncer(t).Update(t.Context(), c, scope(t, "4.20"), false); !errors.Is(err, ErrNoReleases) || !strings.Contains(fault.Of(err), "--from") {
		t.Errorf("empty: error %v, hint %q", err, fault.Of(err))
	}
	w.add(t, one("4.20.1-x86_64", k1))
	w.Break(registrytest.Fault{Path: "tags/list", Status: http.StatusForbidden})
	if _, err := w.syncer(t).Update(t.Context(), c, scope(t, "4.20"), false); !registry.IsUnauthorized(err) {
		t.Errorf("refused: error %v", err)
	}
	w.Mend()
	w.Break(registrytest.Fault{Path: "/ocp-release/", Status: http.StatusTooManyRequests, RetryAfter: "0", Times: 1})
	w.Break(registrytest.Fault{Path: "/blobs/", After: 100, Times: 1})
	if u := w.update(t, c, scope(t, "4.20"), false); len(u.Changes) != 1 || len(u.Unreadable) != 0 {
		t.Errorf("after trouble: %+v", u)
	}
}

// R8.2: an update that is told to stop does so, and tells of its progress until then.
func TestUpdateCancelled(t *testing.T) {
	w := newWorld(t, payloadtest.Sixty()[:20]...)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	k := w.syncer(t)
	k.Parallel = 1
	var mu sync.Mutex
	var steps []int
	k.Progress = func(step string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if steps = append(steps, done); step != StepReleases || total != 20 {
			t.Errorf("step %s of %d", step, total)
		}
		if done == 3 {
			cancel(stop)
		}
	}
	_, err := k.Update(ctx, &catalog.Catalog{Path: "c.json"}, scope(t, "4.20"), false)
	if !errors.Is(err, stop) || !slices.Equal(steps, []int{0, 1, 2, 3}) {
		t.Errorf("error %v after steps %v", err, steps)
	}
}
