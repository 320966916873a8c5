package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// Resolver finds the kernels of Driver Toolkits. It returns one Resolved for each reference it is given, in the same
// order; one failure never loses the others. An error means that nothing was to be asked at all: it ends Make.
type Resolver func(ctx context.Context, toolkits []string) ([]Resolved, error)

// Resolved is the kernel of one Driver Toolkit, or why there is none.
type Resolved struct {
	Kernel kernel.Version
	Err    error
}

// Target is the part of a registry target that a plan asks.
type Target interface {
	Tags(ctx context.Context) (map[string]bool, error)
	Reference(tag string) string
}

// Input is what a plan is made from.
type Input struct {
	Entries []matrix.Entry   // drivers and their selectors, filtered already
	Catalog *catalog.Catalog //
	Arch    string           // "x86_64"
	Kernels []kernel.Version // only these kernels; empty means all
	Resolve Resolver         // asked only for entries without a recorded kernel
	Target  Target           //
}

// KernelError says that no wanted release boots a kernel that was asked for.
type KernelError struct {
	Kernel kernel.Version
	Have   []kernel.Version
}

func (e *KernelError) Error() string {
	return fmt.Sprintf("no wanted release boots kernel %s; there are: %s", e.Kernel, join(e.Have))
}

func join[T fmt.Stringer](vs []T) string {
	names := make([]string, len(vs))
	for i, v := range vs {
		names[i] = v.String()
	}
	return strings.Join(names, ", ")
}

// Make joins the input into a plan. It asks the resolver only for toolkits whose kernel the catalogue does not record,
// and the target for one listing, both at the same time. It blocks on the network. Releases that cannot be resolved are
// in Plan.Unresolved, not in the error.
func Make(ctx context.Context, in Input) (*Plan, error) {
	p := &Plan{toolkits: map[string][]version.OCP{}, releases: map[version.Driver][]version.OCP{}}
	wanted, err := p.match(in)
	if err != nil {
		return nil, err
	}
	known := recorded(in)
	var refused error // for an answer that does not hang on who is faster, what the target says comes first
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if p.tags, err = in.Target.Tags(gctx); err != nil {
			return fmt.Errorf("list the published images: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		refused = known.ask(gctx, in, wanted)
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if refused != nil {
		return nil, refused
	}
	for _, d := range wanted {
		for _, e := range d.entries {
			p.releases[d.driver] = append(p.releases[d.driver], e.Version)
		}
		p.releases[d.driver] = slices.Compact(p.releases[d.driver])
		p.addDriver(d, known, in)
	}
	if err := p.keepKernels(in.Kernels); err != nil {
		return nil, err
	}
	p.setStates(in.Target)
	return p, nil
}

// wantedDriver is one driver and the catalogue entries of its releases.
type wantedDriver struct {
	driver  version.Driver
	entries []catalog.Entry
}

// match finds each driver's releases in the catalogue, and notes the selectors that match none.
func (p *Plan) match(in Input) ([]wantedDriver, error) {
	var wanted []wantedDriver
	var all []version.Selector
	for _, e := range in.Entries {
		entries, _ := in.Catalog.Select(e.Selectors, in.Arch)
		wanted = append(wanted, wantedDriver{e.Driver, entries})
		p.Drivers = append(p.Drivers, e.Driver)
		for _, s := range e.Selectors {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	var missing []error
	for _, s := range all {
		if err := in.Catalog.Missing(s, in.Arch); err != nil {
			missing = append(missing, err)
		}
	}
	if len(missing) == len(all) {
		return nil, fault.Wrap(missing[0], "add the release to "+in.Catalog.Path+", or ask for one that is in it")
	}
	for _, err := range missing {
		p.Notes = append(p.Notes, err.Error())
	}
	_, p.OtherArch = in.Catalog.Select(all, in.Arch)
	return wanted, nil
}

// addDriver adds the builds of one driver, ascending by kernel. A release counts for the kernel that its nodes boot.
func (p *Plan) addDriver(w wantedDriver, known kernels, in Input) {
	byKernel := map[kernel.Version]*Build{}
	newestFirst := slices.Clone(w.entries)
	slices.SortStableFunc(newestFirst, func(a, b catalog.Entry) int { return b.Version.Compare(a.Version) })
	for _, e := range newestFirst {
		if !slices.Contains(p.toolkits[e.DTK], e.Version) {
			p.toolkits[e.DTK] = append(p.toolkits[e.DTK], e.Version)
		}
		k, err := known.of(e)
		booted := k
		if !e.NodeKernel.IsZero() && e.NodeKernel != k { // what the nodes boot is known, whatever is of the toolkit
			booted = e.NodeKernel
			p.noteNodes(e, k)
		} else if err != nil {
			p.addUnresolved(Unresolved{Release: e.Version, Toolkit: e.DTK, Reason: fault.Text(err), Err: err})
			continue
		}
		b := byKernel[booted]
		if b == nil {
			b = &Build{Driver: w.driver, Kernel: booted}
			byKernel[booted] = b
		}
		if !slices.Contains(b.Releases, e.Version) {
			b.Releases = append(b.Releases, e.Version)
		}
		if booted == k && !slices.Contains(b.Toolkits, e.DTK) {
			b.Toolkits = append(b.Toolkits, e.DTK)
		}
	}
	builds := make([]Build, 0, len(byKernel))
	for _, b := range byKernel {
		if len(b.Toolkits) == 0 {
			b.Toolkits = known.toolkits(in, b.Kernel)
		}
		slices.SortFunc(b.Releases, version.OCP.Compare)
		builds = append(builds, *b)
	}
	slices.SortFunc(builds, func(a, b Build) int { return a.Kernel.Compare(b.Kernel) })
	p.Builds = append(p.Builds, builds...)
}

func (p *Plan) keepKernels(only []kernel.Version) error {
	if len(only) == 0 {
		return nil
	}
	have := p.Kernels()
	for _, k := range only {
		// A kernel that is not found among unresolved releases may be theirs: the plan tells of them, and is not complete.
		if !slices.Contains(have, k) && len(p.Unresolved) == 0 {
			return fault.Wrap(&KernelError{k, have},
				"give the kernel as `uname -r` prints it, for example --kernel "+exampleKernel(have))
		}
	}
	p.Builds = slices.DeleteFunc(p.Builds, func(b Build) bool { return !slices.Contains(only, b.Kernel) })
	return nil
}

func exampleKernel(have []kernel.Version) string {
	if len(have) == 0 {
		return "5.14.0-570.96.1.el9_6.x86_64"
	}
	return have[len(have)-1].String()
}

// setStates names each build's image and says whether it is published. Two kernels of one driver that KMM maps to one
// tag cannot both be served.
func (p *Plan) setStates(t Target) {
	owner := map[string]kernel.Version{}
	for i := range p.Builds {
		b := &p.Builds[i]
		tag, err := kernel.Tag(b.Driver, b.Kernel)
		if err != nil {
			b.State, b.Error = Failed, err.Error()
			continue
		}
		b.Tag, b.Image = tag, t.Reference(tag)
		if other, taken := owner[tag]; taken {
			b.State, b.Error = Failed, fmt.Sprintf("kernel %s needs the same tag", other)
			continue
		}
		owner[tag] = b.Kernel
		if p.tags[tag] {
			b.State = Published
		} else {
			b.markMissing()
		}
	}
}
