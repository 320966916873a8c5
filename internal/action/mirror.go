package action

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/manifest"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// MirrorRequest asks for copies of Driver Toolkits, or of kmod images, in one repository or directory.
type MirrorRequest struct {
	Selection   Selection
	Destination string   // "ecr", REGISTRY/REPOSITORY or oci:DIR
	From        string   // where to copy from; "" for where the catalogue says, or ecr-public for kmod images
	Minors      []string // beside the matrix's; not for kmod images
	KernelsOnly bool     // one Driver Toolkit for each kernel
	Kmod        bool     // kmod images instead of Driver Toolkits
	Force       bool     // replace images in the destination whose tag leads to another digest
	Create      bool     // create the repository in ECR if it is missing
	DryRun      bool     // only say what would be copied
	Jobs        int      // images to copy at the same time
	Sets        bool     // also return the mirror sets
}

// MirrorResult is what a run has done to a mirror.
type MirrorResult struct {
	Report *MirrorReport
	Sets   *manifest.Sets // by which a cluster uses the mirror; nil unless asked for
}

// check finds what does not go together before anything is read.
func (r MirrorRequest) check() error {
	kind, _, err := registry.ParseTarget(r.Destination)
	switch {
	case err != nil:
		return fmt.Errorf("destination: %w", err)
	case kind == registry.KindECRPublic:
		return fault.Wrap(errors.New("ecr-public is not a valid destination"), "use ecr, REGISTRY/REPOSITORY or oci:DIR")
	case r.Create && kind != registry.KindECR:
		return errors.New("--create-repository is for destination ecr")
	case r.Sets && kind == registry.KindLayout:
		return errors.New("--mirror-set requires a destination that a cluster can pull from, which a directory is not")
	case r.Sets && r.DryRun:
		return errors.New("--dry-run writes nothing, so --mirror-set does not go with it")
	case r.Kmod && r.KernelsOnly:
		return errors.New("--kernels-only is for Driver Toolkits: there is one kmod image for each kernel anyway")
	case r.Kmod && len(r.Minors) > 0:
		return fault.Wrap(errors.New("--minors is for Driver Toolkits"),
			"the matrix decides which releases have kmod images")
	case r.Jobs < 1 || r.Jobs > 16:
		return fault.Wrap(fmt.Errorf("--jobs is %d", r.Jobs), "give a number of images from 1 to 16")
	case r.From == registry.KindECRPublic && !r.Kmod:
		return fault.Wrap(errors.New("--from ecr-public has no Driver Toolkits"), "use --kmod to copy its kmod images")
	case r.From == r.Destination:
		return errors.New("--from is the destination")
	}
	return nil
}

// mirrorPlan is what a mirror has to have, and where it comes from.
type mirrorPlan struct {
	session   *session
	request   MirrorRequest
	files     plan.Input
	to        registry.Target
	from      registry.Target // nil: from where the catalogue says
	images    []MirrorImage   // the wanted ones, in the order of originals
	originals []registry.Original
	named     []string      // the repositories that a cluster names the images by
	failed    []MirrorImage // what cannot even be asked for, with its error
	otherArch int           // entries of the catalogue that were left out
}

// Mirror brings a mirror up to date. A result beside an error says what became of the images all the same; the error
// is of the kind fault.Prerequisite where nothing but credentials stands in the way of all of them. It blocks for
// minutes.
func Mirror(ctx context.Context, env Env, r MirrorRequest) (*MirrorResult, error) {
	if err := r.check(); err != nil {
		return nil, fault.AsUsage(err)
	}
	files, err := r.Selection.input()
	if err != nil {
		return nil, err
	}
	if r.Kmod && r.From == "" {
		r.From = registry.KindECRPublic
	}
	// ECR Public is only read here.
	s, err := open(env, access{target: r.Destination, origin: r.From, readOnly: true})
	if err != nil {
		return nil, err
	}
	m := &mirrorPlan{session: s, request: r, files: files}
	repository, variable := s.env.Settings.AWS.Mirror, "DTK_ECR_REPOSITORY_NAME"
	if r.Kmod {
		repository, variable = s.env.Settings.AWS.Repository, "KMOD_ECR_REPOSITORY_NAME"
	}
	m.to, err = s.openTarget(ctx, "destination", r.Destination, repository, use{push: true, create: r.Create})
	if errors.Is(err, ecr.ErrNoRepository) {
		err = fault.Wrap(err, "create it with --create-repository, or name another one in "+variable)
	}
	if err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	if r.From != "" {
		if m.from, err = s.openTarget(ctx, "--from", r.From, repository, use{}); err != nil {
			return nil, err
		}
		tags, err := m.from.Tags(ctx)
		if err != nil {
			return nil, classifyPlan(fmt.Errorf("--from: %w", err), m.from.String())
		}
		if len(tags) == 0 { // a name that was mistyped, and not a place that lacks an image
			err := fmt.Errorf("--from: there are no images in %s", m.from)
			return nil, fault.AsUsage(fault.Wrap(err, "check the name"))
		}
	}
	if r.Kmod {
		err = m.addKmodImages(ctx)
	} else {
		err = m.addToolkits(ctx)
	}
	if err != nil {
		return nil, err
	}
	return m.run(ctx)
}

func (m *mirrorPlan) run(ctx context.Context) (*MirrorResult, error) {
	log := m.session.env.Log
	bars := m.session.env.Progress()
	defer bars.Close()
	bar := bars.Transfer("mirror")
	defer bar.Done()
	copier := &registry.Copier{
		To: m.to, Jobs: m.request.Jobs, Overwrite: m.request.Force,
		Done: func(original registry.Original, c registry.Copy) {
			switch c.State {
			case registry.CopyMade:
				log.Info("copied", "tag", original.Tag, "sent", format.Bytes(c.Sent))
			case registry.CopyFailed:
				log.Error("not copied", "tag", original.Tag, "error", c.Err, "hint", fault.Of(c.Err))
			}
		},
		Progress: func(p registry.CopyProgress) { bar.Update(p.ImagesDone, p.Images, p.BytesDone, p.Bytes) },
	}
	p, err := copier.Plan(ctx, m.originals)
	if err != nil {
		return nil, classifyPlan(err, m.to.String())
	}
	report := &MirrorReport{Mirror: m.to.String(), Images: m.images, OtherArch: m.otherArch}
	due, bytes := p.Due()
	report.Due = bytes
	if due > 0 && !m.request.DryRun {
		if err := checkPush(ctx, m.to); err != nil {
			return nil, classifyPlan(err, m.to.String())
		}
		log.Info("copying", "images", due, "bytes", format.Bytes(bytes), "to", m.to)
		err = p.Run(ctx)
	}
	copies := p.Copies
	for i, c := range copies {
		copies[i].Err = withQuayAdvice(m.originals[i].String(), c.Err)
	}
	report.Fill(copies)
	report.Images = append(report.Images, m.failed...)
	result := &MirrorResult{Report: report}
	if m.request.Sets {
		result.Sets = &manifest.Sets{Name: "neuron-driver-toolkit", Sources: m.named, Mirror: m.to.String()}
		if m.request.Kmod {
			result.Sets.Name, result.Sets.Tags = "neuron-kmod", true
		}
	}
	if err != nil || report.Complete() {
		return result, err
	}
	err = errors.New(report.Summary())
	unauthorized := func(c registry.Copy) bool { return registry.IsUnauthorized(c.Err) }
	if len(m.failed) > 0 || len(copies) == 0 || count(copies, unauthorized) < len(copies) {
		return result, fault.AsIncomplete(err)
	}
	// Nothing but credentials stands in the way of all of it.
	err = fmt.Errorf("cannot copy any image: %w", copies[0].Err)
	return result, fault.AsPrerequisite(fault.Wrap(err, fault.Of(copies[0].Err)))
}

// isLayout reports whether a target is a directory.
func isLayout(t registry.Target) bool { return strings.HasPrefix(t.String(), "oci:") }

// MirrorImage is one image of a mirror and what has become of it.
type MirrorImage struct {
	Tag      string             `json:"tag"`
	Driver   string             `json:"driver,omitempty"` // of a kmod image
	Kernel   kernel.Version     `json:"kernel"`           // "" if it is not known
	Releases []version.OCP      `json:"releases"`         // the OpenShift releases that it is for
	Source   string             `json:"source"`           // where it is copied from
	State    registry.CopyState `json:"state"`
	Digest   string             `json:"digest"` // "" if the original could not be read
	Size     int64              `json:"size"`   // bytes of manifest, configuration and layers
	Sent     int64              `json:"sent"`   // bytes of those that this run has sent
	Error    string             `json:"error"`  // why it failed or was skipped, else ""
}

// MirrorReport is what a run has done to a mirror.
type MirrorReport struct {
	Mirror string        `json:"mirror"` // the repository or directory
	Images []MirrorImage `json:"images"`
	Due    int64         `json:"due"` // bytes that had to be sent when the run began, what images share counted once
	// OtherArch counts the catalogue entries of wanted releases that are of another architecture, and left out.
	OtherArch int `json:"other_arch"`
}

// Fill puts in what became of the images, in their order.
func (r *MirrorReport) Fill(copies []registry.Copy) {
	for i, c := range copies {
		m := &r.Images[i]
		m.State, m.Digest, m.Size, m.Sent, m.Error = c.State, c.Digest, c.Size, c.Sent, fault.Text(c.Err)
	}
}

// Count returns how many images are in a state.
func (r *MirrorReport) Count(s registry.CopyState) int {
	return count(r.Images, func(m MirrorImage) bool { return m.State == s })
}

// Complete reports whether nothing has failed and nothing was skipped.
func (r *MirrorReport) Complete() bool {
	return r.Count(registry.CopyFailed)+r.Count(registry.CopySkipped) == 0
}

// Summary says in one line how many images are in which state, and what was sent.
func (r *MirrorReport) Summary() string {
	text := format.Count(len(r.Images), "image")
	if counts := StateCounts(r.Count, registry.CopyThere, registry.CopyMade, registry.CopyDue, registry.CopyFailed,
		registry.CopySkipped); counts != "" {
		text += ": " + counts
	}
	if r.Count(registry.CopyDue) > 0 {
		text += fmt.Sprintf("; %s to send", SizeOrZero(r.Due))
	} else {
		var sent int64
		for _, m := range r.Images {
			sent += m.Sent
		}
		text += fmt.Sprintf("; %s sent", SizeOrZero(sent))
	}
	if r.OtherArch > 0 {
		text += fmt.Sprintf("; %s of another architecture left out", format.Count(r.OtherArch, "catalogue entry"))
	}
	return text
}

// SizeOrZero is format.Bytes, which has a dash for nothing.
func SizeOrZero(n int64) string {
	if n == 0 {
		return "0 B"
	}
	return format.Bytes(n)
}

// addToolkits adds the Driver Toolkits of the wanted releases, each by the digest that the catalogue has.
func (m *mirrorPlan) addToolkits(ctx context.Context) error {
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
			return fault.AsUsage(fmt.Errorf("--minors: %w", err))
		}
		selectors = append(selectors, s)
	}
	selectors = sortedSelectors(selectors) // drivers share minors
	entries, others := c.Select(selectors, m.files.Arch)
	for _, s := range selectors {
		err := c.Missing(s, m.files.Arch)
		if err != nil && len(entries) == 0 {
			return fault.AsUsage(fault.Wrap(err,
				"add the release to "+c.Path+", or ask for one that is in it; only images for "+m.files.Arch+" are copied"))
		}
		if err != nil {
			m.session.env.Log.Warn("the catalogue does not have all releases of the matrix", "missing", err)
		}
	}
	m.otherArch = others
	all := toolkit.Copies(c, entries)
	if m.request.KernelsOnly {
		var err error
		if all, err = m.onePerKernel(ctx, all); err != nil {
			return err
		}
	}
	sources := map[string]registry.Target{}
	for _, t := range all {
		repository, digest, _ := strings.Cut(t.DTK, "@")
		if sources[repository] == nil {
			m.named = append(m.named, repository)
			source := m.from
			if source == nil {
				var err error
				if source, err = registry.NewTarget(repository, m.session.client); err != nil {
					return fault.AsInvalid(fmt.Errorf("%s: Driver Toolkit %s: %w", c.Path, t.DTK, err))
				}
			}
			sources[repository] = source
		}
		original := registry.Original{From: sources[repository], Ref: digest, Tag: t.Tag}
		m.originals = append(m.originals, original)
		m.images = append(m.images, MirrorImage{
			Tag: t.Tag, Kernel: t.Kernel, Releases: []version.OCP{t.Release}, Source: original.String(),
		})
	}
	return nil
}

// onePerKernel leaves one Driver Toolkit for each kernel, rather one that the destination has, or the place that it
// is filled from: a directory may have been filled when another release was the newest one of the kernel.
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

// withKernels reads the kernels that the catalogue does not record. One that cannot be read is a failed image.
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
	// They are read where they are copied from; out of a directory they cannot be.
	source := &toolkits{session: m.session, locate: asNamed}
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
