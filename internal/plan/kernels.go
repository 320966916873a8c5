package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/openshift/catalog"
)

// ArchError says that a Driver Toolkit is for a kernel of another architecture than its entry in the catalogue.
type ArchError struct {
	Kernel kernel.Version
	Arch   string // of the entry
}

func (e *ArchError) Error() string {
	return fmt.Sprintf("its kernel %s is for %s, not %s", e.Kernel, e.Kernel.Arch(), e.Arch)
}

// kernels are those of Driver Toolkits: what the catalogue records for one entry counts for every entry of the same
// image, because a digest's kernel never changes.
type kernels struct {
	recorded map[string]kernel.Version
	asked    map[string]Resolved // of those that are not recorded
}

func recorded(in Input) kernels {
	k := kernels{map[string]kernel.Version{}, map[string]Resolved{}}
	for _, e := range in.Catalog.Entries {
		if !e.Kernel.IsZero() {
			k.recorded[e.DTK] = e.Kernel
		}
	}
	return k
}

// ask finds out the kernels of the wanted releases' toolkits. Where nodes boot a kernel that no toolkit is recorded
// for, any toolkit of the catalogue may be for it.
func (k kernels) ask(ctx context.Context, in Input, wanted []wantedDriver) error {
	var entries []catalog.Entry
	for _, w := range wanted {
		entries = append(entries, w.entries...)
	}
	for _, e := range entries {
		if !e.NodeKernel.IsZero() && len(k.toolkits(in, e.NodeKernel)) == 0 {
			entries = append(entries, in.Catalog.Entries...)
			break
		}
	}
	var due []string
	for _, e := range entries {
		if k.recorded[e.DTK].IsZero() && e.Arch == in.Arch && !slices.Contains(due, e.DTK) {
			due = append(due, e.DTK)
		}
	}
	if len(due) == 0 {
		return nil
	}
	answers, err := in.Resolve(ctx, due)
	if err != nil {
		return err
	}
	for i, r := range answers {
		k.asked[due[i]] = r
	}
	return nil
}

// of is the kernel that an entry's Driver Toolkit is for. It is zero, with an error, if that is not known.
func (k kernels) of(e catalog.Entry) (kernel.Version, error) {
	v := k.recorded[e.DTK]
	if v.IsZero() {
		r := k.asked[e.DTK]
		if r.Err == nil && r.Kernel.IsZero() {
			r.Err = errors.New("its kernel was not resolved")
		}
		if r.Err != nil {
			return kernel.Version{}, r.Err
		}
		v = r.Kernel
	}
	if a := v.Arch(); a != "" && a != e.Arch {
		return kernel.Version{}, &ArchError{Kernel: v, Arch: e.Arch}
	}
	return v, nil
}

// toolkits lists the Driver Toolkits of the whole catalogue that are known to be for a kernel, those of the newest
// releases first.
func (k kernels) toolkits(in Input, v kernel.Version) []string {
	entries := slices.Clone(in.Catalog.Entries)
	slices.SortStableFunc(entries, func(a, b catalog.Entry) int { return b.Version.Compare(a.Version) })
	var toolkits []string
	for _, e := range entries {
		if of, err := k.of(e); err == nil && of == v && e.Arch == in.Arch && !slices.Contains(toolkits, e.DTK) {
			toolkits = append(toolkits, e.DTK)
		}
	}
	return toolkits
}

// noteNodes notes, once, a release whose nodes boot another kernel than the one that its Driver Toolkit is for.
func (p *Plan) noteNodes(e catalog.Entry, toolkit kernel.Version) {
	of := "another kernel"
	if !toolkit.IsZero() {
		of = toolkit.String()
	}
	note := fmt.Sprintf("the nodes of OpenShift %s boot %s, and its Driver Toolkit is for %s: the release needs the "+
		"image for what its nodes boot",
		e.Version, e.NodeKernel, of)
	if !slices.Contains(p.Notes, note) {
		p.Notes = append(p.Notes, note)
	}
}
