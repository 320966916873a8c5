package catalogsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/payload"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// State says how an entry stands up to what is there.
type State string

// The states, from good to bad.
const (
	OK       State = "ok"
	Unknown  State = "unknown"  // something cannot be known: no credentials, no label, the release is gone
	Failed   State = "failed"   // something could not be found out now
	Mismatch State = "mismatch" // a kernel is another one
	Gone     State = "missing"  // the Driver Toolkit is not there
)

// severity orders states.
var severity = []State{OK, Unknown, Failed, Mismatch, Gone}

// Finding is an entry, as it was recorded, and what is there of it.
type Finding struct {
	Version       version.OCP    `json:"version"`
	Arch          string         `json:"arch"`
	Component     string         `json:"component,omitempty"`
	DTK           string         `json:"dtk"`
	State         State          `json:"state"`
	ReleaseDTK    string         `json:"release_dtk,omitempty"`   // that the release has, if it is another one
	Kernel        kernel.Version `json:"kernel,omitzero"`         // recorded
	ToolkitKernel kernel.Version `json:"toolkit_kernel,omitzero"` // of the image: the release's, if that is another one
	NodeKernel    kernel.Version `json:"node_kernel,omitzero"`    // that the release's nodes boot
	Reasons       []string       `json:"reasons"`                 // for any state but ok
}

// add makes the finding as bad as state, if it is not worse already.
func (f *Finding) add(state State, format string, args ...any) {
	if slices.Index(severity, state) > slices.Index(severity, f.State) {
		f.State = state
	}
	f.Reasons = append(f.Reasons, fmt.Sprintf(format, args...))
}

// addError adds that something could not be found out.
func (f *Finding) addError(what string, err error) {
	state := Failed
	if registry.IsUnauthorized(err) || errors.Is(err, payload.ErrNoKernel) {
		state = Unknown
	}
	f.add(state, "%s: %s", what, fault.Text(err))
}

// Verify compares the entries of the scope with what is there: each Driver Toolkit exists, is the release's and is for
// the recorded kernel, which is the one that the release's nodes boot. There is one finding for each entry, in the
// order of the catalogue.
//
// What is found changes c, so that plans go by what is true. A kernel that the image is not for gives way to the
// image's in all entries of that image; a Driver Toolkit that is not the release's gives way to the release's, with its
// kernel if that can be read. An entry whose nodes boot another kernel than its Driver Toolkit is for is marked with
// that kernel, and the mark is taken away where it is no longer true. A Driver Toolkit that is gone changes nothing:
// its kernel is what it was.
//
// It blocks on the network until ctx ends, which is its only error; then c is of no use.
func (s *Syncer) Verify(ctx context.Context, c *catalog.Catalog, scope Scope) ([]Finding, error) {
	slices.SortFunc(c.Entries, catalog.Entry.Compare)
	var entries []*catalog.Entry
	for i := range c.Entries {
		if e := &c.Entries[i]; scope.includes(e.Version, e.Arch) {
			entries = append(entries, e)
		}
	}
	v := &verifier{syncer: s, payloads: map[payload.Release]func() (*payload.Payload, error){}}
	for _, e := range entries {
		release := payload.Release{Version: e.Version, Arch: e.Arch}
		v.payloads[release] = sync.OnceValues(func() (p *payload.Payload, err error) {
			err = v.breaker.ask(s.Repository.String(), func() error {
				p, err = s.Repository.Read(ctx, release)
				return err
			})
			return p, err
		})
	}
	findings := make([]Finding, len(entries))
	if err := s.each(ctx, StepEntries, len(entries), func(i int) { findings[i] = v.verify(ctx, entries[i]) }); err != nil {
		return nil, err
	}
	correctKernels(c, findings)
	return findings, nil
}

// correctKernels writes the kernels that were found into the entries that say otherwise, within the scope or not: two
// entries cannot differ about one image. A kernel that an entry cannot have, because it is of another architecture, is
// left to plans to find out and to tell.
func correctKernels(c *catalog.Catalog, findings []Finding) {
	found, replaced := map[string]kernel.Version{}, map[string]bool{} // by digest
	for _, f := range findings {
		if f.ReleaseDTK != "" {
			replaced[digestOf(f.ReleaseDTK)] = true
		}
		if !f.ToolkitKernel.IsZero() {
			found[digestOf(cmp.Or(f.ReleaseDTK, f.DTK))] = f.ToolkitKernel
		}
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		k, ok := found[digestOf(e.DTK)]
		if !ok || e.Kernel == k || e.Kernel.IsZero() && e.NodeKernel.IsZero() && !replaced[digestOf(e.DTK)] {
			continue // what is not recorded is for an update to learn, but for a mark, which is nothing by itself
		}
		if catalog.CheckKernel(k, e.Arch) != nil {
			k = kernel.Version{}
		}
		if e.Kernel = k; e.NodeKernel == k {
			e.NodeKernel = kernel.Version{}
		}
	}
}

// verifier is a verification under way.
type verifier struct {
	syncer   *Syncer
	breaker  circuitBreaker
	payloads map[payload.Release]func() (*payload.Payload, error) // each is read once
}

func (v *verifier) verify(ctx context.Context, e *catalog.Entry) Finding {
	f := Finding{
		Version: e.Version, Arch: e.Arch, Component: e.Component, DTK: e.DTK, State: OK, Kernel: e.Kernel,
		Reasons: []string{},
	}
	p := v.compareRelease(&f)
	if f.ReleaseDTK != "" {
		e.DTK, e.Kernel = f.ReleaseDTK, kernel.Version{}
	}
	v.compareToolkit(ctx, e, &f)
	if p != nil {
		v.findNodeKernel(ctx, p, &f)
	}
	effective := cmp.Or(f.ToolkitKernel, e.Kernel) // what plans go by, when the entry is corrected
	switch {
	case f.NodeKernel.IsZero() || effective.IsZero():
	case f.NodeKernel == effective:
		e.NodeKernel = kernel.Version{}
	default:
		e.NodeKernel = f.NodeKernel
		f.add(Mismatch, "the nodes boot %s, and the Driver Toolkit is for %s", f.NodeKernel, effective)
	}
	return f
}

// compareRelease reads what the release is made of, nil if that is not known, and finds out whether it has this Driver
// Toolkit. A copy in another place is as good.
func (v *verifier) compareRelease(f *Finding) *payload.Payload {
	p, err := v.payloads[payload.Release{Version: f.Version, Arch: f.Arch}]()
	switch {
	case registry.Is404(err):
		f.add(Unknown, "the release is not in %s", v.syncer.Repository)
		return nil
	case err != nil:
		f.addError("the release cannot be read", err)
		return nil
	}
	has := p.Toolkits[f.Component]
	switch {
	case has == "":
		f.add(Mismatch, "the release has no Driver Toolkit under this name: take the entry out")
	case digestOf(has) != digestOf(f.DTK):
		f.ReleaseDTK = has
		f.add(Mismatch, "the release has another Driver Toolkit: %s", has)
	}
	return p
}

// compareToolkit looks at the Driver Toolkit of the entry. What is remembered of a kernel stays true, but says
// nothing of whether the image is still there.
func (v *verifier) compareToolkit(ctx context.Context, e *catalog.Entry, f *Finding) {
	known, ok := v.syncer.Toolkits.Known(e.DTK)
	err := v.breaker.ask(e.DTK, func() (err error) {
		if ok {
			return v.syncer.Toolkits.Exists(ctx, e.DTK)
		}
		known, err = v.syncer.Toolkits.Kernel(ctx, e.DTK)
		return err
	})
	f.ToolkitKernel = known
	switch {
	case registry.Is404(err):
		f.add(Gone, "the Driver Toolkit is not there: %s", fault.Text(err))
	case err != nil:
		f.addError("the Driver Toolkit cannot be read", err)
	}
	if known.IsZero() {
		return
	}
	if !e.Kernel.IsZero() && known != e.Kernel {
		f.add(Mismatch, "the Driver Toolkit is for %s, and the entry says %s", known, e.Kernel)
	}
	if err := catalog.CheckKernel(known, e.Arch); err != nil {
		f.add(Mismatch, "%s", err)
	}
}

// findNodeKernel finds out which kernel the release's nodes boot.
func (v *verifier) findNodeKernel(ctx context.Context, p *payload.Payload, f *Finding) {
	image := p.NodeImage(f.Component)
	if image == "" {
		f.add(Unknown, "the release does not say which image its nodes boot")
		return
	}
	var booted kernel.Version
	err := v.breaker.ask(image, func() (err error) {
		booted, err = v.syncer.Repository.NodeKernel(ctx, image, f.Arch)
		return err
	})
	if err == nil {
		err = catalog.CheckKernel(booted, f.Arch)
	}
	if err != nil {
		f.addError("the kernel of the nodes", err)
		return
	}
	f.NodeKernel = booted
}
