// Package inventory tells which images there are and which are missing: a plan whose published images have been looked
// at, as a list for people, for programs and for spreadsheets. It is pure: it asks nothing of a registry.
//
// What it tells may be shown to everybody, if the reasons of the plan may.
package inventory

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/version"
)

// State says whether there is an image.
type State string

const (
	// Ready: the image is in the repository.
	Ready State = "ready"
	// Missing: the repository does not hold the image.
	Missing State = "missing"
	// Unknown: nothing tells the kernel of the release, so nobody knows which image it needs.
	Unknown State = "unknown"
	// Unplanned: the image is there, and no release that was asked for needs it.
	Unplanned State = "unplanned"
)

// Image is one driver for one kernel, or for one release whose kernel is not known.
type Image struct {
	Driver   version.Driver `json:"driver"`
	Kernel   kernel.Version `json:"kernel"`           // "" if it is not known
	Releases []version.OCP  `json:"releases"`         // that need it, ascending; none if it is unplanned
	State    State          `json:"state"`            //
	Reason   string         `json:"reason"`           // why it is missing or unknown, one line; else ""
	Tag      string         `json:"tag"`              // "" if the kernel is not known
	Digest   string         `json:"digest"`           // "sha256:...", "" if there is no image
	Size     int64          `json:"size"`             // bytes of its manifest, configuration and layers, else 0
	Created  time.Time      `json:"created,omitzero"` // when the image says it was made
	Pull     string         `json:"pull"`             // by digest, as a cluster pulls it; "" if there is no image
}

// Gap reports whether a release lacks the image, or may lack it.
func (i Image) Gap() bool { return i.State == Missing || i.State == Unknown }

// Inventory is what there is and what is missing.
type Inventory struct {
	Repository string           `json:"repository"` // "quay.io/me/neuron-kmod", or "oci:DIR"
	Drivers    []version.Driver `json:"drivers"`    // in the matrix's order
	Images     []Image          `json:"images"`     // by driver in that order, then by kernel; unknown kernels last
	// Unplanned counts the images that the repository holds for these drivers and no release of the matrix needs. It is 0
	// for a plan that was limited, which does not know all that is needed.
	Unplanned int `json:"unplanned"`
}

// New lists the images of a plan in a repository. Digests, sizes and times are those that the plan has been told.
// Builds that are neither published nor built are missing, for the reason that the plan gives or plan.NotBuilt.
func New(p *plan.Plan, repository string) *Inventory {
	v := &Inventory{Repository: repository, Drivers: p.Drivers}
	for _, d := range p.Drivers {
		one := p.ForDriver(d)
		for _, b := range one.Builds {
			v.Images = append(v.Images, v.image(b))
		}
		v.addUnresolved(d, one.Unresolved)
	}
	return v
}

func (v *Inventory) image(b plan.Build) Image {
	i := Image{Driver: b.Driver, Kernel: b.Kernel, Releases: b.Releases, State: Missing, Tag: b.Tag}
	if b.State == plan.Published || b.State == plan.Built {
		i.State, i.Digest, i.Size, i.Created = Ready, b.Digest, b.Size, b.Created.UTC()
		i.Pull = v.pull(b.Tag, b.Digest)
		return i
	}
	if i.Reason = oneLine(b.Error); i.Reason == "" {
		i.Reason = plan.NotBuilt
	}
	return i
}

// pull names an image by its digest. A directory's images have names by tag only.
func (v *Inventory) pull(tag, digest string) string {
	if strings.HasPrefix(v.Repository, "oci:") || digest == "" {
		return v.Repository + ":" + tag
	}
	return v.Repository + "@" + digest
}

// addUnresolved adds the releases of a driver whose kernel is not known. One that has several Driver Toolkits is told
// once for each reason.
func (v *Inventory) addUnresolved(d version.Driver, unresolved []plan.Unresolved) {
	for _, u := range unresolved {
		i := Image{Driver: d, Releases: []version.OCP{u.Release}, State: Unknown, Reason: oneLine(u.Reason)}
		if !slices.ContainsFunc(v.Images, func(o Image) bool {
			return o.State == Unknown && o.Driver == d && o.Reason == i.Reason && slices.Equal(o.Releases, i.Releases)
		}) {
			v.Images = append(v.Images, i)
		}
	}
}

// AddUnplanned adds an image that is there and that no release needs. Kernel may be unknown.
func (v *Inventory) AddUnplanned(i Image) {
	i.State, i.Releases, i.Pull = Unplanned, nil, v.pull(i.Tag, i.Digest)
	v.Images = append(v.Images, i)
}

// Count returns how many images are in the state.
func (v *Inventory) Count(s State) int {
	n := 0
	for _, i := range v.Images {
		if i.State == s {
			n++
		}
	}
	return n
}

// Gaps returns how many images a release lacks or may lack.
func (v *Inventory) Gaps() int { return v.Count(Missing) + v.Count(Unknown) }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Summary says in one line how much is ready.
func (v *Inventory) Summary() string {
	ready := v.Count(Ready)
	s := fmt.Sprintf("%d of %d ready", ready, ready+v.Gaps())
	if n := v.Count(Missing); n > 0 {
		s += fmt.Sprintf("; %d missing", n)
	}
	if n := v.Count(Unknown); n > 0 {
		s += fmt.Sprintf("; %d of unknown kernel", n)
	}
	if v.Unplanned > 0 {
		s += fmt.Sprintf("; %d more published that no release needs", v.Unplanned)
	}
	return s
}
