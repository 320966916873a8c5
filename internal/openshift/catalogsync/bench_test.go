package catalogsync

import (
	"slices"
	"testing"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/payload/payloadtest"
	"neuron-kmod/internal/openshift/toolkit"
)

// cost is what an update may cost beside the listing.
type cost struct {
	releases, requests int
	offset             int64 // of the files in their layers
}

// costOf allows 2 requests for each image that is read, and a release that is not in OpenShift's form those for the
// pieces of layers that are before the file.
func (w *world) costOf(releases []payloadtest.Release) cost {
	c := cost{releases: len(releases)}
	for _, r := range releases {
		c.requests += 2 + 2*len(r.Streams)
		c.offset += w.added[r.Tag].Offset
		if r.Late {
			c.requests += 2 + int(w.added[r.Tag].Offset/registry.LargestPiece)
		}
	}
	return c
}

// BenchmarkUpdate catalogues the 60 releases of the stand-in: all of them from nothing, one that is new, and with nothing
// new. Reported are the requests, without the greeting of each repository, and the bytes that the server has written; for
// new releases beyond what has to be read to reach the files. It fails where a bound is broken.
func BenchmarkUpdate(b *testing.B) {
	all := slices.DeleteFunc(payloadtest.Sixty(), func(r payloadtest.Release) bool { return r.Tag == payloadtest.Broken })
	w := newWorld(b, all...)
	minors := Scope{Selectors: scope(b, "4.20", "4.21", "4.22").Selectors, Archs: []string{"x86_64", "aarch64"}, PreReleases: true}
	const pages = 3
	measure := func(b *testing.B, entries []catalog.Entry, most cost) *catalog.Catalog {
		var c *catalog.Catalog
		for b.Loop() {
			w.cache = toolkit.NewCache(b.TempDir())
			c = &catalog.Catalog{Path: "c.json", Entries: slices.Clone(entries)}
			if u := w.update(b, c, minors, false); len(u.Unreadable)+len(u.Refused) != 0 {
				b.Fatalf("report %+v", u)
			}
		}
		listing, others := len(w.Requests("tags/list")), len(w.asked())-len(w.Requests("tags/list"))
		if listing != pages || others > most.requests {
			b.Errorf("%d requests for the listing, want %d; %d others, want at most %d", listing, pages, others, most.requests)
		}
		b.ReportMetric(float64(listing), "listing-requests")
		if most.releases == 0 {
			b.ReportMetric(float64(others), "other-requests")
			b.ReportMetric(float64(w.Sent()), "bytes")
			return c
		}
		beyond := (w.Sent() - most.offset) / int64(most.releases)
		if beyond > 2<<20 {
			b.Errorf("a release costs %d bytes beyond the offset", beyond)
		}
		b.ReportMetric(float64(others)/float64(most.releases), "requests/release")
		b.ReportMetric(float64(beyond), "bytes-beyond/release")
		return c
	}
	var entries []catalog.Entry
	b.Run("from nothing", func(b *testing.B) { entries = measure(b, nil, w.costOf(all)).Entries })
	b.Run("one new release", func(b *testing.B) {
		i := slices.IndexFunc(all, func(r payloadtest.Release) bool { return r.Tag == "4.20.7-x86_64" })
		old := slices.DeleteFunc(slices.Clone(entries), func(e catalog.Entry) bool { return e.Version.String() == "4.20.7" })
		if len(old) != len(entries)-1 {
			b.Fatal("4.20.7 is not one of the releases")
		}
		measure(b, old, w.costOf(all[i:i+1]))
	})
	b.Run("nothing new", func(b *testing.B) { measure(b, entries, cost{}) })
}
