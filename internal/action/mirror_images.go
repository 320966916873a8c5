package action

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// addToolkits adds the Driver Toolkits of the wanted releases, each to be taken by the digest that the catalogue has from
// m.from, or if that is nil from where the catalogue says.
func (m *mirrorPlan) addToolkits(ctx context.Context) error {
	entries, err := m.catalogEntries()
	if err != nil {
		return err
	}
	all := toolkit.Copies(m.files.Catalog, entries)
	if m.request.KernelsOnly {
		if all, err = m.onePerKernel(ctx, all); err != nil {
			return err
		}
	}
	sources := map[string]registry.Target{}
	for _, t := range all {
		repository, digest, _ := strings.Cut(t.DTK, "@")
		if sources[repository] == nil {
			m.named = append(m.named, repository)
			if sources[repository] = m.from; m.from == nil {
				if sources[repository], err = registry.NewTarget(repository, m.session.client); err != nil {
					return fault.AsInvalid(fmt.Errorf("%s: Driver Toolkit %s: %w", m.files.Catalog.Path, t.DTK, err))
				}
			}
		}
		original := registry.Original{From: sources[repository], Ref: digest, Tag: t.Tag}
		m.originals = append(m.originals, original)
		m.images = append(m.images, MirrorImage{
			Tag: t.Tag, Kernel: t.Kernel, Releases: []version.OCP{t.Release}, Source: original.String(),
		})
	}
	return nil
}

// catalogEntries are the catalogue's for the wanted releases; those of other architectures are counted.
func (m *mirrorPlan) catalogEntries() ([]catalog.Entry, error) {
	c := m.files.Catalog
	var selectors []version.Selector
	for _, e := range m.files.Entries {
		selectors = append(selectors, e.Selectors...)
	}
	for _, text := range m.request.Minors {
		s, err := version.ParseSelector(text)
		if err == nil && s.String() != s.Minor() {
			err = fault.Wrap(fmt.Errorf("%q is one release", text), "name a minor such as "+s.Minor())
		}
		if err == nil {
			err = c.Missing(s, m.files.Arch)
		}
		if err != nil {
			return nil, fault.AsUsage(fmt.Errorf("--minors: %w", err))
		}
		selectors = append(selectors, s)
	}
	selectors = sortedSelectors(selectors) // drivers share minors
	entries, others := c.Select(selectors, m.files.Arch)
	for _, s := range selectors {
		err := c.Missing(s, m.files.Arch)
		switch {
		case err != nil && len(entries) == 0:
			return nil, fault.AsUsage(fault.Wrap(err,
				"add the release to "+c.Path+", or ask for one that is in it; only images for "+m.files.Arch+" are copied"))
		case err != nil:
			m.session.env.Log.Warn("the catalogue does not have all releases of the matrix", "missing", err)
		}
	}
	m.otherArch = others
	return entries, nil
}

// onePerKernel leaves one Driver Toolkit for each kernel, rather one that the destination has, or the place that it is
// filled from: a directory may have been filled when another release was the newest one of the kernel.
func (m *mirrorPlan) onePerKernel(ctx context.Context, all []toolkit.Copy) ([]toolkit.Copy, error) {
	all, err := m.withKernels(ctx, all)
	if err != nil {
		return nil, err
	}
	var places []map[string]bool
	for _, t := range []registry.Target{m.to, m.from} {
		if t == nil {
			continue
		}
		present, err := presentCopies(ctx, t, all)
		if err != nil {
			return nil, classifyPlan(fmt.Errorf("list the copies: %w", err), t.String())
		}
		places = append(places, present)
	}
	return toolkit.OnePerKernel(all, places...), nil
}

// presentCopies reports by tag whether a target has the Driver Toolkit that belongs there.
func presentCopies(ctx context.Context, t registry.Target, all []toolkit.Copy) (map[string]bool, error) {
	tags, err := t.Tags(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	present := map[string]bool{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelReads)
	for _, c := range all {
		if !tags[c.Tag] {
			continue
		}
		group.Go(func() error {
			has, found, err := t.Stat(ctx, c.Tag)
			mu.Lock()
			defer mu.Unlock()
			present[c.Tag] = found && strings.HasSuffix(c.DTK, "@"+has.Digest)
			return err
		})
	}
	return present, group.Wait()
}

// withKernels fills in the kernels that the catalogue does not record: they are read from where the images are. One that
// cannot be found out is a failure of its release.
func (m *mirrorPlan) withKernels(ctx context.Context, all []toolkit.Copy) ([]toolkit.Copy, error) {
	all = slices.Clone(all)
	var unknown []string
	for _, t := range all {
		if t.Kernel.IsZero() && !slices.Contains(unknown, t.DTK) {
			unknown = append(unknown, t.DTK)
		}
	}
	if len(unknown) == 0 {
		return all, nil
	}
	source, err := m.kernelSource()
	if err != nil {
		return nil, err
	}
	results, err := source.resolver(nil)(ctx, unknown)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for i, t := range all {
		n := slices.Index(unknown, t.DTK)
		switch {
		case n < 0:
		case results[n].Err == nil:
			all[i].Kernel = results[n].Kernel
		default:
			m.fail(MirrorImage{Tag: t.Tag, Releases: []version.OCP{t.Release}, Source: t.DTK},
				fmt.Errorf("cannot find its kernel: %w", results[n].Err))
		}
	}
	return all, nil
}

// kernelSource is where the kernels of Driver Toolkits are read: in m.from, or where the catalogue says. Out of a directory
// they cannot be.
func (m *mirrorPlan) kernelSource() (*toolkits, error) {
	source := &toolkits{session: m.session, locate: func(_ context.Context, dtk string) (string, error) { return dtk, nil }}
	switch {
	case m.from == nil:
	case isLayout(m.from):
		source.locate = func(context.Context, string) (string, error) {
			return "", fault.Wrap(errors.New("the catalogue does not record its kernel"),
				"record the kernels in the catalogue before you carry the directory, or omit --kernels-only")
		}
	default:
		mirror, err := toolkit.NewMirror(m.session.client, m.from.String(), mirrorTags(m.files.Catalog), m.session.env.Log)
		if err != nil {
			return nil, fault.AsUsage(fmt.Errorf("--from: %w", err))
		}
		source.locate = mirror.Locate
	}
	return source, nil
}

// fail adds an image that cannot even be asked for.
func (m *mirrorPlan) fail(image MirrorImage, err error) {
	image.State, image.Error = registry.CopyFailed, fault.Text(err)
	m.failed = append(m.failed, image)
}

// addKmodImages adds the published images of the plan. One that is missing where they are copied from is a failure.
func (m *mirrorPlan) addKmodImages(ctx context.Context) error {
	source, err := m.session.toolkits(ctx, m.files.Catalog)
	if err != nil {
		return err
	}
	in := m.files
	in.Target, in.Resolve = m.from, source.resolver(nil)
	p, err := plan.Make(ctx, in)
	if err != nil {
		return classifyPlan(err, m.request.From)
	}
	m.otherArch, m.named = p.OtherArch, []string{m.from.String()}
	if isLayout(m.from) { // what the images in the directory are called elsewhere
		m.named = []string{ecr.PublicHost + "/" + m.session.env.Settings.AWS.PublicRepository}
	}
	m.session.warnOf(p)
	for _, u := range p.Unresolved {
		m.fail(MirrorImage{Tag: u.Release.String(), Releases: []version.OCP{u.Release}, Source: u.Toolkit},
			fmt.Errorf("cannot find the kernel of the release: %s", u.Reason))
	}
	for _, b := range p.Builds {
		image := MirrorImage{Tag: b.Tag, Driver: b.Driver.String(), Kernel: b.Kernel, Releases: b.Releases, Source: b.Image}
		if b.State != plan.Published {
			reason := errors.New("it is not published in " + m.from.String())
			if b.Error != "" {
				reason = errors.New(b.Error)
			}
			m.fail(image, reason)
			continue
		}
		m.originals = append(m.originals, registry.Original{From: m.from, Ref: b.Tag, Tag: b.Tag})
		m.images = append(m.images, image)
	}
	return nil
}
