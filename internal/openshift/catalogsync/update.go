package catalogsync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/payload"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// Update is what an update has found. Lists are in the order of the catalogue.
type Update struct {
	Changes    []Change           // to the catalogue
	Unreadable []Problem          // releases that were left out, and Driver Toolkits whose kernel is not recorded for now
	Refused    []Problem          // Driver Toolkits whose registry wants other credentials: no kernel is recorded
	Vanished   []Problem          // what the catalogue has and the repository or the release has no more; it stays
	Missing    []version.Selector // what selects, or skips, no release of the repository
}

// What has become of an entry.
const (
	Added          = "added"
	Changed        = "changed"
	KernelResolved = "kernel learnt"
	Single         = "single toolkit" // the release was found to have no other Driver Toolkit
)

// Change is an entry that is not as it was.
type Change struct {
	What      string         `json:"what"`
	Version   version.OCP    `json:"version"`
	Arch      string         `json:"arch"`
	Component string         `json:"component,omitempty"`
	DTK       string         `json:"dtk"`
	Kernel    kernel.Version `json:"kernel,omitzero"`
	WasDTK    string         `json:"was_dtk,omitempty"`   // if it was another one
	WasKernel kernel.Version `json:"was_kernel,omitzero"` // if it was another one
}

// Problem is a release, or one Driver Toolkit of it, and what is wrong with it.
type Problem struct {
	Version   version.OCP `json:"version"`
	Arch      string      `json:"arch"`
	Component string      `json:"component,omitempty"`
	DTK       string      `json:"dtk,omitempty"` // if it is about one
	Reason    string      `json:"reason"`
	err       error
}

// Err returns the error that Reason is the text of, nil if there was none.
func (p Problem) Err() error { return p.err }

func problemOf(e catalog.Entry, reason string, err error) Problem {
	if err != nil {
		reason = fault.Text(err)
	}
	return Problem{Version: e.Version, Arch: e.Arch, Component: e.Component, DTK: e.DTK, Reason: reason, err: err}
}

// Update brings c up to date with the repository: releases of the scope that c does not have are added; those it has
// are not asked for again, unless refresh says so or one may lack its second Driver Toolkit. Where an entry has no
// kernel it is filled in, from what is known of the same image, else out of the image. Nothing is ever taken out of c.
//
// It blocks on the network until ctx ends. An error means that the repository could not be listed, or that ctx has
// ended; then c is of no use. What could not be read otherwise is in the result.
func (s *Syncer) Update(ctx context.Context, c *catalog.Catalog, scope Scope, refresh bool) (*Update, error) {
	listed, err := s.Repository.Releases(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the releases: %w", err)
	}
	if len(listed) == 0 {
		return nil, fmt.Errorf("%s: %w", s.Repository, ErrNoReleases)
	}
	u := &updater{syncer: s, catalog: c, scope: scope, refresh: refresh}
	before := slices.Clone(c.Entries)
	u.compare(listed)
	if err := u.releases(ctx, listed); err != nil {
		return nil, err
	}
	if err := u.kernels(ctx); err != nil {
		return nil, err
	}
	u.report.Changes = changes(before, c.Entries)
	return &u.report, nil
}

// ErrNoReleases says that a repository has no releases at all, so that it is not the right one.
var ErrNoReleases = fault.Wrap(errors.New("there are no OpenShift releases here, or these credentials may "+
	"not see them"),
	"a repository of releases has tags such as 4.20.16-x86_64: check the name given with --from")

// updater is an update under way.
type updater struct {
	syncer  *Syncer
	catalog *catalog.Catalog
	scope   Scope
	refresh bool
	report  Update
}

// compare finds what the scope asks for and the repository does not have.
func (u *updater) compare(listed []payload.Release) {
	for _, e := range slices.SortedFunc(slices.Values(u.catalog.Entries), catalog.Entry.Compare) {
		release := payload.Release{Version: e.Version, Arch: e.Arch}
		if u.scope.includes(e.Version, e.Arch) && !slices.Contains(listed, release) {
			u.report.Vanished = append(u.report.Vanished,
				problemOf(e, "its release is no longer in "+u.syncer.Repository.String(), nil))
		}
	}
	for _, s := range u.scope.Selectors {
		one := Scope{Selectors: []version.Selector{s}, Archs: u.scope.Archs, PreReleases: u.scope.PreReleases}
		if !slices.ContainsFunc(listed, func(r payload.Release) bool { return one.includes(r.Version, r.Arch) }) {
			u.report.Missing = append(u.report.Missing, s)
		}
	}
	for _, v := range u.scope.Skip { // one that was mistyped skips nothing
		if !slices.ContainsFunc(listed, func(r payload.Release) bool { return r.Version == v }) {
			u.report.Missing = append(u.report.Missing, version.Only(v))
		}
	}
}

// releases reads the releases that are new, or all with refresh, and makes entries of them.
func (u *updater) releases(ctx context.Context, listed []payload.Release) error {
	known := u.known()
	due := slices.DeleteFunc(slices.Clone(listed), func(r payload.Release) bool {
		return !u.scope.includes(r.Version, r.Arch) || known[r] && !u.refresh
	})
	payloads, errs := make([]*payload.Payload, len(due)), make([]error, len(due))
	err := u.syncer.each(ctx, StepReleases, len(due),
		func(i int) { payloads[i], errs[i] = u.syncer.Repository.Read(ctx, due[i]) })
	if err != nil {
		return err
	}
	for i, release := range due {
		if errs[i] != nil {
			u.report.Unreadable = append(u.report.Unreadable,
				problemOf(catalog.Entry{Version: release.Version, Arch: release.Arch}, "", errs[i]))
			continue
		}
		u.merge(release, payloads[i])
	}
	return nil
}

// twoToolkits is the first major version of OpenShift whose releases are expected to have two Driver Toolkits.
const twoToolkits = 5

// known returns which releases the catalogue has whole. Of a release that should have two Driver Toolkits and has one
// entry that is not certain: whoever wrote the entry may have known of no second one. It is asked for once more, and if
// it has no second one the entry says so from then on. It has to be the catalogue that remembers this: a nightly run in
// CI has nothing else from the night before, and would ask for every such release again.
func (u *updater) known() map[payload.Release]bool {
	known, entries := map[payload.Release]bool{}, map[payload.Release]int{}
	for _, e := range u.catalog.Entries {
		r := payload.Release{Version: e.Version, Arch: e.Arch}
		entries[r]++
		known[r] = known[r] || e.SingleToolkit || e.Version.Major() < twoToolkits || entries[r] > 1
	}
	return known
}

// merge makes the entries of a release those of its payload.
func (u *updater) merge(release payload.Release, p *payload.Payload) {
	have := map[string]bool{}
	only := len(p.Toolkits) == 1 && release.Version.Major() >= twoToolkits
	for i := range u.catalog.Entries {
		e := &u.catalog.Entries[i]
		if e.Version != release.Version || e.Arch != release.Arch {
			continue
		}
		have[e.Component] = true
		dtk := p.Toolkits[e.Component]
		e.SingleToolkit = only && dtk != ""
		switch {
		case dtk == "":
			u.report.Vanished = append(u.report.Vanished, problemOf(*e, "the release does not have it", nil))
		case digestOf(dtk) != digestOf(e.DTK): // a copy in another place is as good
			e.DTK, e.Kernel, e.NodeKernel = dtk, kernel.Version{}, kernel.Version{}
		}
	}
	for _, component := range slices.Sorted(maps.Keys(p.Toolkits)) {
		if !have[component] {
			u.catalog.Entries = append(u.catalog.Entries, catalog.Entry{
				Arch: release.Arch, DTK: p.Toolkits[component], Version: release.Version, Component: component, SingleToolkit: only,
			})
		}
	}
}

// kernels fills in the kernels of entries: one image is asked for its kernel once, and only if no entry and no earlier
// run knows it. With refresh it is the image that is believed, and not the entry.
func (u *updater) kernels(ctx context.Context) error {
	recorded, found := map[string]kernel.Version{}, map[string]kernel.Version{} // by digest
	for _, e := range u.catalog.Entries {
		if !e.Kernel.IsZero() {
			recorded[digestOf(e.DTK)] = e.Kernel
		}
	}
	var ask []string
	seen := map[string]bool{}
	for _, e := range slices.SortedFunc(slices.Values(u.catalog.Entries), catalog.Entry.Compare) {
		digest := digestOf(e.DTK)
		if seen[digest] || !u.scope.includes(e.Version, e.Arch) || !e.Kernel.IsZero() && !u.refresh {
			continue
		}
		seen[digest] = true
		if known, ok := recorded[digest]; ok && !u.refresh {
			found[digest] = known
		} else if known, ok := u.syncer.Toolkits.Known(e.DTK); ok {
			found[digest] = known
		} else {
			ask = append(ask, e.DTK)
		}
	}
	kernels, errs := make([]kernel.Version, len(ask)), make([]error, len(ask))
	var breaker circuitBreaker
	err := u.syncer.each(ctx, StepKernels, len(ask), func(i int) {
		errs[i] = breaker.ask(ask[i], func() (err error) {
			kernels[i], err = u.syncer.Toolkits.Kernel(ctx, ask[i])
			return err
		})
	})
	if err != nil {
		return err
	}
	failed := map[string]error{}
	for i, dtk := range ask {
		if errs[i] != nil {
			failed[digestOf(dtk)] = errs[i]
			continue
		}
		found[digestOf(dtk)] = kernels[i]
	}
	u.record(found, failed)
	return nil
}

// record writes kernels into all entries of their images: two entries cannot differ about one image.
func (u *updater) record(found map[string]kernel.Version, failed map[string]error) {
	slices.SortFunc(u.catalog.Entries, catalog.Entry.Compare)
	for i := range u.catalog.Entries {
		e := &u.catalog.Entries[i]
		k, ok := found[digestOf(e.DTK)]
		err := failed[digestOf(e.DTK)]
		if ok {
			if err = catalog.CheckKernel(k, e.Arch); err == nil {
				e.Kernel = k
				if e.NodeKernel == k {
					e.NodeKernel = kernel.Version{}
				}
			}
		}
		if err == nil || !u.scope.includes(e.Version, e.Arch) {
			continue
		}
		if registry.IsUnauthorized(err) {
			if e.Kernel.IsZero() {
				u.report.Refused = append(u.report.Refused, problemOf(*e, "", err))
			}
			continue
		}
		u.report.Unreadable = append(u.report.Unreadable, problemOf(*e, "", err))
	}
}

// changes compares the entries of a catalogue with what they were.
func changes(before, after []catalog.Entry) []Change {
	type key struct {
		version         version.OCP
		arch, component string
	}
	previous := map[key]catalog.Entry{}
	for _, e := range before {
		previous[key{e.Version, e.Arch, e.Component}] = e
	}
	var all []Change
	for _, e := range slices.SortedFunc(slices.Values(after), catalog.Entry.Compare) {
		old, found := previous[key{e.Version, e.Arch, e.Component}]
		c := Change{What: Added, Version: e.Version, Arch: e.Arch, Component: e.Component, DTK: e.DTK, Kernel: e.Kernel}
		if found {
			if c.What = whatChanged(old, e); c.What == "" {
				continue
			}
			if e.DTK != old.DTK {
				c.WasDTK = old.DTK
			}
			if e.Kernel != old.Kernel {
				c.WasKernel = old.Kernel
			}
		}
		all = append(all, c)
	}
	return all
}

// whatChanged says what has become of an entry, "" for nothing worth a report: that it is no longer the only one is
// reported with the other one.
func whatChanged(old, e catalog.Entry) string {
	switch same := e.DTK == old.DTK && e.NodeKernel == old.NodeKernel; {
	case same && e.Kernel == old.Kernel && (e.SingleToolkit == old.SingleToolkit || old.SingleToolkit):
		return ""
	case same && e.Kernel == old.Kernel:
		return Single
	case e.DTK == old.DTK && old.Kernel.IsZero():
		return KernelResolved
	}
	return Changed
}
