package upkeep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"neuron-kmod/internal/catalog"
	"neuron-kmod/internal/hint"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/payload"
	"neuron-kmod/internal/registry"
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

// Finding is an entry and what is there of it.
type Finding struct {
	Version       version.OCP    `json:"version"`
	Arch          string         `json:"arch"`
	Component     string         `json:"component,omitempty"`
	DTK           string         `json:"dtk"`
	State         State          `json:"state"`
	Kernel        kernel.Version `json:"kernel,omitzero"`         // recorded
	ToolkitKernel kernel.Version `json:"toolkit_kernel,omitzero"` // of the image
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

// addError tells of something that could not be found out.
func (f *Finding) addError(what string, err error) {
	state := Failed
	if registry.IsUnauthorized(err) || errors.Is(err, payload.ErrNoKernel) {
		state = Unknown
	}
	f.add(state, "%s: %s", what, hint.Text(err))
}

// Verify compares the entries of the scope with what is there: each Driver Toolkit exists and is for the recorded kernel,
// which is the one that the release's nodes boot. An entry whose nodes boot another kernel than it records is marked with
// that kernel, and the mark is taken away where it is no longer true. There is one finding for each entry, in the
// order of the catalogue.
//
// It blocks on the network until ctx ends, which is its only error; then c may be half marked.
func (k *Keeper) Verify(ctx context.Context, c *catalog.Catalog, scope Scope) ([]Finding, error) {
	slices.SortFunc(c.Entries, catalog.Entry.Compare)
	var entries []*catalog.Entry
	for i := range c.Entries {
		if e := &c.Entries[i]; scope.has(e.Version, e.Arch) {
			entries = append(entries, e)
		}
	}
	v := &verifier{Keeper: k, payloads: map[payload.Release]func() (*payload.Payload, error){}}
	for _, e := range entries {
		release := payload.Release{Version: e.Version, Arch: e.Arch}
		v.payloads[release] = sync.OnceValues(func() (*payload.Payload, error) { return k.Repository.Read(ctx, release) })
	}
	findings := make([]Finding, len(entries))
	if err := k.each(ctx, StepEntries, len(entries), func(i int) { findings[i] = v.verify(ctx, entries[i]) }); err != nil {
		return nil, err
	}
	return findings, nil
}

// verifier is a verification under way.
type verifier struct {
	*Keeper
	gate     gate
	payloads map[payload.Release]func() (*payload.Payload, error) // each is read once
}

func (v *verifier) verify(ctx context.Context, e *catalog.Entry) Finding {
	f := Finding{
		Version: e.Version, Arch: e.Arch, Component: e.Component, DTK: e.DTK, State: OK, Kernel: e.Kernel, Reasons: []string{},
	}
	v.toolkit(ctx, &f)
	v.nodes(ctx, &f)
	of := e.Kernel // what plans go by
	if of.IsZero() {
		of = f.ToolkitKernel
	}
	switch {
	case f.NodeKernel.IsZero() || of.IsZero():
	case f.NodeKernel == of:
		e.NodeKernel = kernel.Version{}
	default:
		e.NodeKernel = f.NodeKernel
		f.add(Mismatch, "the nodes boot %s, and the entry is for %s", f.NodeKernel, of)
	}
	return f
}

// toolkit looks at the Driver Toolkit. What is remembered of a kernel stays true, but says nothing of whether the image
// is still there.
func (v *verifier) toolkit(ctx context.Context, f *Finding) {
	known, ok := v.Toolkits.Known(f.DTK)
	err := v.gate.ask(f.DTK, func() (err error) {
		if ok {
			return v.Toolkits.Exists(ctx, f.DTK)
		}
		known, err = v.Toolkits.Kernel(ctx, f.DTK)
		return err
	})
	f.ToolkitKernel = known
	switch {
	case registry.Is404(err):
		f.add(Gone, "the Driver Toolkit is not there: %s", hint.Text(err))
	case err != nil:
		f.addError("the Driver Toolkit cannot be read", err)
	}
	if !known.IsZero() && !f.Kernel.IsZero() && known != f.Kernel {
		f.add(Mismatch, "the Driver Toolkit is for %s, and the entry says %s", known, f.Kernel)
	}
}

// nodes finds out which kernel the release's nodes boot, and whether the release still has this Driver Toolkit.
func (v *verifier) nodes(ctx context.Context, f *Finding) {
	p, err := v.payloads[payload.Release{Version: f.Version, Arch: f.Arch}]()
	switch {
	case registry.Is404(err):
		f.add(Unknown, "the release is not in %s", v.Repository)
		return
	case err != nil:
		f.addError("the release cannot be read", err)
		return
	}
	if has := p.Toolkits[f.Component]; digestOf(has) != digestOf(f.DTK) {
		if has == "" {
			has = "none under this name"
		}
		f.add(Mismatch, "the release has another Driver Toolkit: %s", has)
	}
	image := p.NodeImage(f.Component)
	if image == "" {
		f.add(Unknown, "the release does not say which image its nodes boot")
		return
	}
	err = v.gate.ask(image, func() (err error) {
		f.NodeKernel, err = v.Repository.NodeKernel(ctx, image, f.Arch)
		return err
	})
	if err != nil {
		f.addError("the kernel of the nodes", err)
	}
}
