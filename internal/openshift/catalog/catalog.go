// Package catalog holds the catalogue, driver-toolkit.json: which Driver Toolkit (DTK) image belongs to which OpenShift
// release. It parses the file, selects from it and writes it so that the same entries are always the same bytes. It
// knows nothing of registries: that an image exists, or holds the kernel the file says, is not its matter.
package catalog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/platform/jsonfile"
	"neuron-kmod/internal/version"
)

// DefaultComponent is the payload tag of the DTK that every release has, and what an entry without a component is.
// OpenShift 5 has a second one, driver-toolkit-10.
const DefaultComponent = "driver-toolkit"

// Catalog is a catalogue. It has at least one entry, and each combination of release, architecture and component once.
type Catalog struct {
	Path    string // as it was given; names the file in errors
	Entries []Entry
}

// Entry is the DTK image of one release.
type Entry struct {
	Arch      string         // as uname -m writes it: x86_64, aarch64, ppc64le or s390x
	DTK       string         // REGISTRY/REPOSITORY@sha256:DIGEST
	Version   version.OCP    // of the release
	Kernel    kernel.Version // what the image builds for; zero if the file does not say
	Component string         // payload tag; "" is DefaultComponent, which is never spelled out here
	// NodeKernel is what the release's nodes boot, where that was found to be another kernel than the DTK's; else zero.
	NodeKernel kernel.Version
	// SingleToolkit says that the release was found to have no other DTK than this one. It is for releases of which more
	// are expected.
	SingleToolkit bool
	Pos           jsonfile.Position // of the entry; zero if it was not read from a file
}

// Compare orders entries by release, then architecture, then component, which is the order of the file.
func (e Entry) Compare(o Entry) int {
	return cmp.Or(e.Version.Compare(o.Version), cmp.Compare(e.Arch, o.Arch), cmp.Compare(e.Component, o.Component))
}

// name is how errors call an entry.
func (e Entry) name() string {
	return fmt.Sprintf("%s of OpenShift %s for %s", cmp.Or(e.Component, DefaultComponent), e.Version, e.Arch)
}

// Select returns the entries for an architecture whose release one of the selectors selects, in the order of Compare,
// and how many such entries there are for other architectures.
func (c *Catalog) Select(selectors []version.Selector, arch string) (match []Entry, otherArch int) {
	for _, e := range c.Entries {
		if !slices.ContainsFunc(selectors, func(s version.Selector) bool { return s.Match(e.Version) }) {
			continue
		}
		if e.Arch != arch {
			otherArch++
			continue
		}
		match = append(match, e)
	}
	slices.SortFunc(match, Entry.Compare)
	return match, otherArch
}

// NotFoundError is the error for a release that is not in the catalogue. It lists what is.
type NotFoundError = version.NotFoundError

// Missing returns a *NotFoundError for a selector that selects no entry of an architecture, and nil if it selects one.
// The error lists the releases of the same minor, or the minors there are if there is none.
func (c *Catalog) Missing(s version.Selector, arch string) error {
	if match, _ := c.Select([]version.Selector{s}, arch); len(match) > 0 {
		return nil
	}
	var have, minors []version.Selector
	for _, e := range c.Entries {
		if e.Arch != arch {
			continue
		}
		minors = append(minors, version.MinorOf(e.Version))
		if e.Version.Minor() == s.Minor() {
			have = append(have, version.Only(e.Version))
		}
	}
	if len(have) == 0 {
		have = minors
	}
	slices.SortFunc(have, version.Selector.Compare)
	missing := &NotFoundError{What: fmt.Sprintf("OpenShift %s for %s", s, arch), In: c.Path}
	for _, near := range s.Nearest(slices.Compact(have)) {
		missing.Have = append(missing.Have, near.String())
	}
	return missing
}

// line is an entry as it is written. The order of its fields is that of the keys in the file.
type line struct {
	Arch          string         `json:"arch"`
	DTK           string         `json:"dtk"`
	Version       version.OCP    `json:"version"`
	Kernel        kernel.Version `json:"kernel,omitzero"`
	Component     string         `json:"component,omitempty"`
	NodeKernel    kernel.Version `json:"node-kernel,omitzero"`
	SingleToolkit bool           `json:"only,omitempty"`
}

// Encode returns the catalogue as a file: sorted, two spaces of indent, a newline at the end. The same entries give the
// same bytes. It returns the error that Parse would give for them, so that no file is written that cannot be read.
func (c *Catalog) Encode() ([]byte, error) {
	lines := make([]line, len(c.Entries))
	for i, e := range slices.SortedFunc(slices.Values(c.Entries), Entry.Compare) {
		lines[i] = line{
			Arch: e.Arch, DTK: e.DTK, Version: e.Version, Kernel: e.Kernel, Component: e.Component,
			NodeKernel: e.NodeKernel, SingleToolkit: e.SingleToolkit,
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(lines); err != nil {
		return nil, fmt.Errorf("encoding the catalogue: %w", err)
	}
	if _, err := Parse(c.Path, buf.Bytes()); err != nil {
		return nil, fmt.Errorf("encoding the catalogue: %w", err)
	}
	return buf.Bytes(), nil
}
