// Package mirror says what a mirror holds: which Driver Toolkits (DTKs), under which tags; what a run has done to it; and the
// YAML with which a cluster uses it. It touches nothing itself: package registry copies.
package mirror

import (
	"slices"

	"neuron-kmod/internal/catalog"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/toolkit"
	"neuron-kmod/internal/version"
)

// Toolkit is a DTK and the tag of its copy.
type Toolkit struct {
	DTK     string // REPOSITORY@sha256:DIGEST
	Release version.OCP
	Kernel  kernel.Version // zero if it is not known
	Tag     string
}

// Toolkits returns the DTKs of entries in their order. An entry without a kernel gets that of another entry of the catalogue
// with the same DTK, if there is one: what a digest is for never changes.
func Toolkits(c *catalog.Catalog, entries []catalog.Entry) []Toolkit {
	known := map[string]kernel.Version{}
	for _, e := range c.Entries {
		if !e.Kernel.IsZero() {
			known[e.DTK] = e.Kernel
		}
	}
	all := make([]Toolkit, len(entries))
	for i, e := range entries {
		all[i] = Toolkit{DTK: e.DTK, Release: e.Version, Kernel: known[e.DTK], Tag: toolkit.MirrorTag(e.Version, e.Component)}
	}
	return all
}

// OnePerKernel returns, for each kernel, the DTK of the newest release that has it, in the order of all. Those whose kernel is
// not known are not among them.
func OnePerKernel(all []Toolkit) []Toolkit {
	newest := map[kernel.Version]Toolkit{}
	for _, t := range all {
		have, ok := newest[t.Kernel]
		if !ok || t.Release.Compare(have.Release) > 0 {
			newest[t.Kernel] = t
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(t Toolkit) bool {
		return t.Kernel.IsZero() || newest[t.Kernel] != t
	})
}
