package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/manifest"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/report"
	"neuron-kmod/internal/version"
)

// toolkits are the Driver Toolkits that to has to have of the wanted releases, each to be
// taken from from, by the digest that the catalogue has, or if that is nil from where
// the catalogue says.
func (o *mirrorOptions) toolkits(ctx context.Context, s *session, in plan.Input, from, to registry.Target) (*wanted, error) {
	entries, others, err := o.entries(in)
	if err != nil {
		return nil, err
	}
	w := &wanted{report: &action.MirrorReport{OtherArch: others}}
	all := toolkit.Copies(in.Catalog, entries)
	if o.kernelsOnly {
		if all, err = o.onePerKernel(ctx, s, in, from, to, all, w); err != nil {
			return nil, err
		}
	}
	sources := map[string]registry.Target{}
	for _, t := range all {
		repository, digest, _ := strings.Cut(t.DTK, "@")
		if sources[repository] == nil {
			w.named = append(w.named, repository)
			if sources[repository] = from; from == nil {
				if sources[repository], err = registry.NewTarget(repository, s.client); err != nil {
					return nil, invalid{fmt.Errorf("%s: Driver Toolkit %s: %w", in.Catalog.Path, t.DTK, err)}
				}
			}
		}
		original := registry.Original{From: sources[repository], Ref: digest, Tag: t.Tag}
		w.originals = append(w.originals, original)
		w.report.Images = append(w.report.Images, action.MirrorImage{
			Tag: t.Tag, Kernel: t.Kernel, Releases: []version.OCP{t.Release}, Source: original.String(),
		})
	}
	return w, nil
}

// entries are the catalogue's for the wanted releases, and the number of those of other
// architectures.
func (o *mirrorOptions) entries(in plan.Input) ([]catalog.Entry, int, error) {
	var selectors []version.Selector
	for _, e := range in.Entries {
		selectors = append(selectors, e.Selectors...)
	}
	for _, m := range o.minors {
		s, err := version.ParseSelector(m)
		if err == nil && s.String() != s.Minor() {
			err = fault.Wrap(fmt.Errorf("%q is one release", m), "name a minor such as "+s.Minor())
		}
		if err == nil {
			err = in.Catalog.Missing(s, in.Arch)
		}
		if err != nil {
			return nil, 0, usage{fmt.Errorf("--minors: %w", err)}
		}
		selectors = append(selectors, s)
	}
	selectors = sorted(selectors) // drivers share minors
	entries, others := in.Catalog.Select(selectors, in.Arch)
	for _, s := range selectors {
		err := in.Catalog.Missing(s, in.Arch)
		switch {
		case err != nil && len(entries) == 0:
			return nil, 0, usage{fault.Wrap(err, "add the release to "+in.Catalog.Path+", or ask for one that is in it; only images for "+in.Arch+" are copied")}
		case err != nil:
			o.log.Warn("the matrix asks for more than the catalogue has", "missing", err)
		}
	}
	return entries, others, nil
}

// onePerKernel leaves one Driver Toolkit for each kernel, rather one that the destination
// has, or the place that it is filled from: a directory may have been filled when another
// release was the newest one of the kernel.
func (o *mirrorOptions) onePerKernel(ctx context.Context, s *session, in plan.Input, from, to registry.Target, all []toolkit.Copy, w *wanted) ([]toolkit.Copy, error) {
	if err := o.findKernels(ctx, s, in, from, all, w); err != nil {
		return nil, err
	}
	var places []map[string]bool
	for _, place := range []registry.Target{to, from} {
		if place == nil {
			continue
		}
		there, err := present(ctx, place, all)
		if err != nil {
			return nil, classifyPlan(fmt.Errorf("look at what is there: %w", err), place.String())
		}
		places = append(places, there)
	}
	return toolkit.OnePerKernel(all, places...), nil
}

// present tells under which tags a place has the Driver Toolkits that belong there.
func present(ctx context.Context, place registry.Target, all []toolkit.Copy) (map[string]bool, error) {
	tags, err := place.Tags(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	there := map[string]bool{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(toolkitReaders)
	for _, t := range all {
		if !tags[t.Tag] {
			continue
		}
		group.Go(func() error {
			has, found, err := place.Published(ctx, t.Tag)
			mu.Lock()
			defer mu.Unlock()
			there[t.Tag] = found && strings.HasSuffix(t.DTK, "@"+has.Digest)
			return err
		})
	}
	return there, group.Wait()
}

// findKernels fills in the kernels that the catalogue does not record: they are read
// from where the images are. One that cannot be found out is a failure of its release.
func (o *mirrorOptions) findKernels(ctx context.Context, s *session, in plan.Input, from registry.Target, all []toolkit.Copy, w *wanted) error {
	var unknown []string
	for _, t := range all {
		if t.Kernel.IsZero() && !slices.Contains(unknown, t.DTK) {
			unknown = append(unknown, t.DTK)
		}
	}
	if from != nil && len(unknown) > 0 {
		if err := s.readFrom(from, in.Catalog); err != nil {
			return err
		}
	}
	found := map[string]plan.Resolved{}
	if len(unknown) > 0 {
		for i, r := range s.resolver()(ctx, unknown) {
			found[unknown[i]] = r
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i, t := range all {
		if r, ok := found[t.DTK]; ok && r.Err == nil {
			all[i].Kernel = r.Kernel
		} else if ok {
			w.failed = append(w.failed, mirrorError{
				action.MirrorImage{Tag: t.Tag, Releases: []version.OCP{t.Release}, Source: t.DTK}, fmt.Errorf("which kernel it is for cannot be found out: %w", r.Err),
			})
		}
	}
	return nil
}

// readFrom lets the kernels of Driver Toolkits be read from a mirror. Out of a directory
// they cannot be.
func (s *session) readFrom(from registry.Target, c *catalog.Catalog) error {
	if strings.HasPrefix(from.String(), "oci:") {
		s.locate = func(context.Context, string) (string, error) {
			return "", fault.Wrap(errors.New("the catalogue does not record its kernel"),
				"record kernels in the catalogue before carrying the folder, or leave --kernels-only out")
		}
		return nil
	}
	m, err := toolkit.NewMirror(s.client, from.String(), mirrorTags(c), s.log)
	if err != nil {
		return usage{fmt.Errorf("--from: %w", err)}
	}
	s.locate = m.Locate
	return nil
}

// kmodImages are the published images of the plan. One that is missing where they are
// copied from is a failure.
func (o *mirrorOptions) kmodImages(ctx context.Context, s *session, in plan.Input, from registry.Target) (*wanted, error) {
	if _, err := s.useMirror(ctx, in.Catalog); err != nil {
		return nil, err
	}
	in.Target, in.Resolve = from, s.resolver()
	p, err := plan.Make(ctx, in)
	if err != nil {
		return nil, classifyPlan(err, o.origin)
	}
	w := &wanted{report: &action.MirrorReport{OtherArch: p.OtherArch}, named: []string{from.String()}}
	if strings.HasPrefix(from.String(), "oci:") { // what the images in the directory are called elsewhere
		w.named = []string{ecr.PublicHost + "/" + s.AWS.PublicRepository}
	}
	for _, n := range p.Notes {
		o.log.Warn("not every node will find an image", "reason", n)
	}
	for _, u := range p.Unresolved {
		image := action.MirrorImage{Tag: u.Release.String(), Releases: []version.OCP{u.Release}, Source: u.Toolkit}
		w.failed = append(w.failed, mirrorError{image, fmt.Errorf("which kernel the release has cannot be found out: %s", u.Reason)})
	}
	for _, b := range p.Builds {
		image := action.MirrorImage{Tag: b.Tag, Driver: b.Driver.String(), Kernel: b.Kernel, Releases: b.Releases, Source: b.Image}
		if b.State != plan.Published {
			reason := errors.New("it is not published in " + from.String())
			if b.Error != "" {
				reason = errors.New(b.Error)
			}
			w.failed = append(w.failed, mirrorError{image, reason})
			continue
		}
		w.originals = append(w.originals, registry.Original{From: from, Ref: b.Tag, Tag: b.Tag})
		w.report.Images = append(w.report.Images, image)
	}
	return w, nil
}

// writeResult writes the mirror sets and the report.
func (o *mirrorOptions) writeResult(s *session, to registry.Target, w *wanted) error {
	if o.sets != "" {
		if err := o.writeSets(to, w); err != nil {
			return err
		}
	}
	switch {
	case o.sets == "-":
		o.log.Info(w.report.Summary())
		for _, m := range w.report.Images {
			if m.Error != "" {
				o.log.Error(string(m.State), "tag", m.Tag, "error", m.Error)
			}
		}
		return nil
	case o.output == "json":
		return report.MirrorJSON(s.stdout, w.report)
	}
	return report.MirrorTable(s.stdout, w.report)
}

func (o *mirrorOptions) writeSets(to registry.Target, w *wanted) error {
	sets := manifest.Sets{Name: "neuron-driver-toolkit", Sources: w.named, Mirror: to.String()}
	if o.kmod {
		sets.Name, sets.Tags = "neuron-kmod", true
	}
	var text bytes.Buffer
	if err := sets.WriteYAML(&text); err != nil {
		return err
	}
	if o.sets == "-" {
		_, err := o.stdout.Write(text.Bytes())
		return err
	}
	if err := renameio.WriteFile(o.sets, text.Bytes(), 0o644); err != nil {
		return usage{fmt.Errorf("--mirror-set: %w", err)}
	}
	return nil
}
