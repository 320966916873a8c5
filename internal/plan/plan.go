// Package plan joins what is wanted (the build matrix), what exists (the catalogue and the kernels of its Driver
// Toolkits) and what is published (the tags of the target) into one list of builds: one driver for one kernel.
//
// A Plan never changes. What a run has done, or what was found out about images, makes a new one with Plan.With.
package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// State says where a build stands.
type State string

const (
	// Published: the target held the image before the run.
	Published State = "published"
	// Missing: the target does not hold the image.
	Missing State = "missing"
	// Unbuildable: the target does not hold the image, and there is nothing to build it with: nodes boot the kernel, and
	// no Driver Toolkit of the catalogue is known to be for it. Build.Error says so.
	Unbuildable State = "unbuildable"
	// Built: this run compiled and published the image.
	Built State = "built"
	// Failed: this run tried and failed; Build.Error says why.
	Failed State = "failed"
	// Skipped: this run meant to build it and did not come to it.
	Skipped State = "skipped"
)

// Build is one driver for one kernel: one image.
type Build struct {
	Driver   version.Driver `json:"driver"`
	Kernel   kernel.Version `json:"kernel"`
	Tag      string         `json:"tag"`
	Image    string         `json:"image"`    // how to name it when pulling
	State    State          `json:"state"`    //
	Releases []version.OCP  `json:"releases"` // the OpenShift releases that boot this kernel, ascending
	// Toolkits are the DTK references for this kernel, in the order to try them: of the newest release first, those of a
	// mirror before others; none if it is unbuildable.
	Toolkits []string  `json:"toolkits"`
	Digest   string    `json:"digest"`           // "sha256:..." of an image that was built or looked at, else ""
	Size     int64     `json:"size"`             // bytes of its manifest, config and layers, else 0
	Created  time.Time `json:"created,omitzero"` // when an image that was looked at says it was made
	Seconds  float64   `json:"seconds"`          // wall time of this build without the DTK pull, else 0
	Error    string    `json:"error"`            // why it failed, was skipped or cannot be built, else ""
}

// NeedsBuild reports whether a run has to build it; with force what is published is built again, if it can be. What the
// plan has failed never needs a build.
func (b Build) NeedsBuild(force bool) bool {
	return b.State == Missing || force && b.State == Published && len(b.Toolkits) > 0
}

// Present reports whether the target holds the image.
func (b Build) Present() bool { return b.State == Published || b.State == Built }

// markMissing records that the target does not hold the image.
func (b *Build) markMissing() {
	b.State = Missing
	if len(b.Toolkits) == 0 {
		b.State, b.Error = Unbuildable,
			"the nodes boot this kernel, and no Driver Toolkit in the catalogue is known to be for it"
	}
}

// NotBuilt is why there is no image where nothing is known to be wrong, as notes and pages tell it.
const NotBuilt = "not built yet"

// Unresolved is a release whose Driver Toolkit could not be used. Such a release may boot a kernel that has no image,
// so it is never success.
type Unresolved struct {
	Release version.OCP `json:"release"`
	Toolkit string      `json:"toolkit"`
	Reason  string      `json:"reason"`
	Err     error       `json:"-"` // what Reason says, as the resolver or the engine returned it; nil if that is not known
}

// Plan is the list of builds and what is known to be missing from it.
type Plan struct {
	Drivers    []version.Driver `json:"driver_versions"`
	Builds     []Build          `json:"builds"` // by driver in the matrix's order, then by kernel
	Unresolved []Unresolved     `json:"unresolved"`

	// OtherArch counts the catalogue entries of wanted releases that were left out because they are of another
	// architecture.
	OtherArch int `json:"-"`
	// Notes are remarks for the person who reads the plan, such as a minor of the matrix that has no release in the
	// catalogue, or a release whose nodes boot another kernel than its Driver Toolkit is for.
	Notes []string `json:"-"`

	toolkits map[string][]version.OCP         // DTK reference -> the releases it belongs to
	releases map[version.Driver][]version.OCP // those that the matrix has for a driver, ascending
	tags     map[string]bool                  // all that the target has
}

// Count returns how many builds are in the state.
func (p *Plan) Count(s State) int {
	n := 0
	for _, b := range p.Builds {
		if b.State == s {
			n++
		}
	}
	return n
}

// Kernels returns the distinct kernels of the builds, ascending.
func (p *Plan) Kernels() []kernel.Version {
	var ks []kernel.Version
	for _, b := range p.Builds {
		ks = append(ks, b.Kernel)
	}
	slices.SortFunc(ks, kernel.Version.Compare)
	return slices.Compact(ks)
}

// Complete reports whether nothing failed, nothing was skipped, nothing is unbuildable and every release was resolved.
func (p *Plan) Complete() bool {
	return len(p.Unresolved) == 0 && p.Count(Unbuildable) == 0 && p.Count(Failed) == 0 && p.Count(Skipped) == 0
}

// ForDriver returns the plan of one of the drivers: what Make returns for a matrix that has only that one, except for
// OtherArch and Notes, which are of no driver.
func (p *Plan) ForDriver(d version.Driver) *Plan {
	one := &Plan{
		Drivers: []version.Driver{d}, toolkits: p.toolkits, tags: p.tags,
		releases: map[version.Driver][]version.OCP{d: p.releases[d]},
	}
	for _, b := range p.Builds {
		if b.Driver == d {
			one.Builds = append(one.Builds, b)
		}
	}
	for _, u := range p.Unresolved {
		if slices.Contains(p.releases[d], u.Release) {
			one.Unresolved = append(one.Unresolved, u)
		}
	}
	return one
}

// Releases returns the OpenShift releases that the matrix has for a driver, ascending: those of its builds and those
// that are unresolved.
func (p *Plan) Releases(d version.Driver) []version.OCP { return p.releases[d] }

// UnplannedTags returns the tags of a driver in the target that are no build of the plan: images for kernels that have
// left the matrix, the catalogue or, in a plan that was limited, the question. They are in order.
func (p *Plan) UnplannedTags(d version.Driver) []string {
	var others []string
	for tag := range p.tags {
		if strings.HasPrefix(tag, kernel.TagPrefix(d)) &&
			!slices.ContainsFunc(p.Builds, func(b Build) bool { return b.Tag == tag }) {
			others = append(others, tag)
		}
	}
	slices.Sort(others)
	return others
}

// Outcome is what a run, or a look at its image, says of a build beyond the plan.
type Outcome struct {
	State   State
	Digest  string // "sha256:..." of the image, else ""
	Size    int64  // bytes of its manifest, config and layers, else 0
	Created time.Time
	Seconds float64 // wall time of the build, else 0
	Error   string  // why it failed or was skipped, else ""
}

// With returns the plan with what has become of some of its builds, by their index in Builds, and with further releases
// that are unresolved. An outcome of the state Missing says that the target does not hold the image, which makes a
// build without Driver Toolkits Unbuildable. The plan itself does not change.
func (p *Plan) With(outcomes map[int]Outcome, unresolved ...Unresolved) *Plan {
	out := p.clone()
	for i, o := range outcomes {
		b := &out.Builds[i]
		b.State, b.Digest, b.Size, b.Created, b.Seconds, b.Error = o.State, o.Digest, o.Size, o.Created, o.Seconds, o.Error
		if o.State == Missing && o.Error == "" {
			b.markMissing()
		}
	}
	for _, u := range unresolved {
		out.addUnresolved(u)
	}
	return out
}

// WithToolkits returns the plan with the Driver Toolkits of each build in the order that prefer gives them. The plan
// itself does not change.
func (p *Plan) WithToolkits(prefer func(b Build) []string) *Plan {
	out := p.clone()
	for i, b := range p.Builds {
		out.Builds[i].Toolkits = prefer(b)
	}
	return out
}

// WithReasons returns the plan with the reasons that reason gives for what is unresolved. The plan itself does not
// change.
func (p *Plan) WithReasons(reason func(u Unresolved) string) *Plan {
	out := p.clone()
	for i, u := range p.Unresolved {
		out.Unresolved[i].Reason = reason(u)
	}
	return out
}

func (p *Plan) clone() *Plan {
	out := *p
	out.Builds, out.Unresolved = slices.Clone(p.Builds), slices.Clone(p.Unresolved)
	return &out
}

// addUnresolved records a release once per reason and keeps the list sorted.
func (p *Plan) addUnresolved(u Unresolved) {
	if slices.ContainsFunc(p.Unresolved, func(o Unresolved) bool {
		return o.Release == u.Release && o.Toolkit == u.Toolkit && o.Reason == u.Reason
	}) {
		return
	}
	p.Unresolved = append(p.Unresolved, u)
	slices.SortStableFunc(p.Unresolved, func(a, b Unresolved) int {
		return cmp.Or(a.Release.Compare(b.Release), cmp.Compare(a.Toolkit, b.Toolkit))
	})
}

// ReleasesOf returns the releases whose Driver Toolkit is the given one.
func (p *Plan) ReleasesOf(toolkit string) []version.OCP { return p.toolkits[toolkit] }

// Summary says in one line how many builds are in which state.
func (p *Plan) Summary() string {
	parts := []string{}
	for _, s := range []State{Published, Built, Missing, Unbuildable, Failed, Skipped} {
		if n := p.Count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	s := fmt.Sprintf("%s for %s", format.Count(len(p.Builds), "image"), format.Count(len(p.Kernels()), "kernel"))
	if len(parts) > 0 {
		s += ": " + strings.Join(parts, ", ")
	}
	if n := len(p.Unresolved); n > 0 {
		s += fmt.Sprintf("; %s unresolved", format.Count(n, "release"))
	}
	if p.OtherArch > 0 {
		s += fmt.Sprintf("; %s of another architecture left out", format.Count(p.OtherArch, "catalogue entry"))
	}
	return s
}

// ReleaseList joins at most six releases for people and counts the rest; JSON has all.
func ReleaseList(vs []version.OCP) string {
	const most = 6
	var names []string
	for i, v := range vs {
		if i == most {
			return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), len(vs)-most)
		}
		names = append(names, v.String())
	}
	return strings.Join(names, ", ")
}
