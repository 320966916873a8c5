package toolkit

import (
	"slices"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/version"
)

// Copy is a Driver Toolkit (DTK) and the tag of its copy in a mirror.
type Copy struct {
	DTK     string // REPOSITORY@sha256:DIGEST
	Release version.OCP
	Kernel  kernel.Version // zero if it is not known
	Tag     string
}

// Copies returns the DTKs of entries in their order. An entry without a kernel gets that of another entry of the
// catalogue with the same DTK, if there is one: what a digest is for never changes.
func Copies(c *catalog.Catalog, entries []catalog.Entry) []Copy {
	known := map[string]kernel.Version{}
	for _, e := range c.Entries {
		if !e.Kernel.IsZero() {
			known[e.DTK] = e.Kernel
		}
	}
	all := make([]Copy, len(entries))
	for i, e := range entries {
		all[i] = Copy{DTK: e.DTK, Release: e.Version, Kernel: known[e.DTK], Tag: MirrorTag(e.Version, e.Component)}
	}
	return all
}

// OnePerKernel returns one DTK for each kernel, in the order of all: the newest release's of those that the first of
// places has, else of those that the next one has, else of all. A place is given as the tags that it has; the first is
// the mirror itself. Any DTK of a kernel will do, so a new release of a kernel that the mirror has is no reason to copy
// another gigabyte. Those whose kernel is not known are not among them.
func OnePerKernel(all []Copy, places ...map[string]bool) []Copy {
	chosen := map[kernel.Version]Copy{}
	for _, t := range all {
		if have, ok := chosen[t.Kernel]; !ok || preferred(t, have, places) {
			chosen[t.Kernel] = t
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(t Copy) bool {
		return t.Kernel.IsZero() || chosen[t.Kernel] != t
	})
}

// preferred reports whether t rather than another DTK of its kernel is to be the one.
func preferred(t, other Copy, places []map[string]bool) bool {
	for _, has := range places {
		if has[t.Tag] != has[other.Tag] {
			return has[t.Tag]
		}
	}
	return t.Release.Compare(other.Release) > 0
}
