package action

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/catalogsync"
	"neuron-kmod/internal/platform/fault"
)

// Verified is the result of VerifyCatalog.
type Verified struct {
	Catalog string                `json:"catalog"`
	Written bool                  `json:"written"` // whether corrections and marks were written
	Entries []catalogsync.Finding `json:"entries"`

	Corrections Corrections `json:"-"` // what is not as it was, written or not
}

// Corrections counts what a verification has changed in a catalogue.
type Corrections struct {
	Marks    int // have come, changed or gone
	Kernels  int // gave way to those of the Driver Toolkits
	Toolkits int // gave way to those of the releases
}

// VerifyCatalog compares the catalogue with the Driver Toolkits and the nodes' kernels, and corrects the file. What differs
// is in the result, and in its Verdict. It blocks on the network.
func VerifyCatalog(ctx context.Context, env Env, r CatalogRequest) (*Verified, error) {
	selectors, err := r.minors()
	if err != nil {
		return nil, err
	}
	if len(selectors) == 0 {
		if selectors, err = r.matrixSelectors(false); err != nil {
			return nil, err
		}
	}
	c, err := catalog.OpenExisting(r.Catalog)
	if err != nil {
		return nil, fault.AsInvalid(err)
	}
	s, err := open(env, access{target: env.Settings.Target})
	if err != nil {
		return nil, err
	}
	before := slices.SortedFunc(slices.Values(c.Catalog.Entries), catalog.Entry.Compare)
	v := &Verified{Catalog: c.Catalog.Path}
	if v.Entries, err = r.verify(ctx, s, c, catalogsync.Scope{Selectors: sortedSelectors(selectors), PreReleases: true}); err != nil {
		return nil, err
	}
	v.Corrections = correctionsBetween(before, c.Catalog.Entries)
	if v.Corrections != (Corrections{}) && !r.Check {
		if v.Written, err = saveCatalog(c); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// verify asks, and shows how far it is.
func (r CatalogRequest) verify(ctx context.Context, s *session, c *catalog.File, scope catalogsync.Scope) ([]catalogsync.Finding, error) {
	syncer, shown, err := r.syncer(s)
	if err != nil {
		return nil, err
	}
	defer shown.close()
	findings, err := syncer.Verify(ctx, &c.Catalog, scope)
	return slices.Concat([]catalogsync.Finding{}, findings), registry.Classify(err)
}

// correctionsBetween compares lists of the same entries, in order.
func correctionsBetween(before, after []catalog.Entry) (n Corrections) {
	for i, e := range after {
		old := before[i]
		if e.NodeKernel != old.NodeKernel {
			n.Marks++
		}
		switch {
		case e.DTK != old.DTK:
			n.Toolkits++
		case e.Kernel != old.Kernel:
			n.Kernels++
		}
	}
	return n
}

// Count returns how many entries are in a state.
func (v *Verified) Count(s catalogsync.State) int {
	n := 0
	for _, f := range v.Entries {
		if f.State == s {
			n++
		}
	}
	return n
}

// Verdict returns the error that says what is wrong, of the kind fault.Incomplete. Where nothing could be checked the
// service has failed.
func (v *Verified) Verdict() error {
	wrong, failed := v.Count(catalogsync.Mismatch)+v.Count(catalogsync.Gone), v.Count(catalogsync.Failed)
	switch {
	case wrong > 0:
		return fault.AsIncomplete(fault.Wrap(fmt.Errorf("%d of %d entries of %s were wrong", wrong, len(v.Entries), v.Catalog), v.advice()))
	case failed > 0 && failed == len(v.Entries):
		return fault.Wrap(fmt.Errorf("no entry of %s could be checked", v.Catalog), "the reasons are above; run it again later")
	case failed > 0:
		return fault.AsIncomplete(fmt.Errorf("%d of %d entries of %s could not be checked now", failed, len(v.Entries), v.Catalog))
	case len(v.Entries) == 0:
		return fault.AsIncomplete(fault.Wrap(errors.New(v.Catalog+" has no entry of these releases"), "run `neuron-kmod catalog update`"))
	}
	return nil
}

// advice says what is left to do about entries that were wrong.
func (v *Verified) advice() string {
	const lasting = "if nodes boot another kernel, plan uses that kernel and warns; if a Driver Toolkit is missing, build uses another one for the same kernel"
	switch {
	case v.Written:
		return "the file is corrected; " + lasting
	case v.Corrections != (Corrections{}):
		return "run without --check to correct the file"
	}
	return lasting
}
