package action

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/manifest"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
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
		return fault.Wrap(errors.New("--minors is for Driver Toolkits"), "the matrix decides which releases have kmod images")
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

// Mirror brings a mirror up to date. A result beside an error says what became of the images all the same; the error is of
// the kind fault.Prerequisite where nothing but credentials stands in the way of all of them. It blocks for minutes.
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
	if err := m.openEnds(ctx); err != nil {
		return nil, err
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

// openEnds opens the destination, and the place to copy from if one is named.
func (m *mirrorPlan) openEnds(ctx context.Context) (err error) {
	s, r := m.session, m.request
	repository := s.env.Settings.AWS.Mirror
	if r.Kmod {
		repository = s.env.Settings.AWS.Repository
	}
	m.to, err = s.openTarget(ctx, "destination", r.Destination, repository, use{push: true, create: r.Create})
	if err != nil {
		return fault.Wrap(fmt.Errorf("destination: %w", err), destinationAdvice(err, r.Kmod))
	}
	if r.From == "" {
		return nil
	}
	if m.from, err = s.openTarget(ctx, "--from", r.From, repository, use{}); err != nil {
		return err
	}
	tags, err := m.from.Tags(ctx)
	if err != nil {
		return classifyPlan(fmt.Errorf("--from: %w", err), m.from.String())
	}
	if len(tags) == 0 { // a name that was mistyped, and not a place that lacks an image
		return fault.AsUsage(fault.Wrap(fmt.Errorf("--from: there are no images in %s", m.from), "check the name"))
	}
	return nil
}

func destinationAdvice(err error, kmod bool) string {
	variable := "DTK_ECR_REPOSITORY_NAME"
	if kmod {
		variable = "KMOD_ECR_REPOSITORY_NAME"
	}
	if errors.Is(err, ecr.ErrNoRepository) {
		return "create it with --create-repository, or name another one in " + variable
	}
	return ""
}

// run makes the copies, and says what became of them.
func (m *mirrorPlan) run(ctx context.Context) (*MirrorResult, error) {
	report := &MirrorReport{Mirror: m.to.String(), Images: m.images, OtherArch: m.otherArch}
	copies, due, err := m.copyImages(ctx)
	if copies == nil {
		return nil, err
	}
	report.Due = due
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
	if err == nil {
		err = m.verdict(report, copies)
	}
	return result, err
}

// copyImages makes the copies, and returns how many bytes had to be sent. Copies beside an error are what has become of them
// all the same; nil if it did not come to that.
func (m *mirrorPlan) copyImages(ctx context.Context) ([]registry.Copy, int64, error) {
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
		return nil, 0, classifyPlan(err, m.to.String())
	}
	due, bytes := p.Due()
	if due == 0 || m.request.DryRun {
		return p.Copies, bytes, nil
	}
	if err := checkPush(ctx, m.to); err != nil {
		return nil, 0, classifyPlan(err, m.to.String())
	}
	log.Info("copying", "images", due, "bytes", format.Bytes(bytes), "to", m.to)
	return p.Copies, bytes, p.Run(ctx)
}

// verdict returns the error that says what is wrong with a mirror: of the kind fault.Prerequisite where nothing but
// credentials stands in the way of all of it, else fault.Incomplete.
func (m *mirrorPlan) verdict(report *MirrorReport, copies []registry.Copy) error {
	if report.Complete() {
		return nil
	}
	err := errors.New(report.Summary())
	if len(m.failed) > 0 || len(copies) == 0 {
		return fault.AsIncomplete(err)
	}
	for _, c := range copies {
		if !registry.IsUnauthorized(c.Err) {
			return fault.AsIncomplete(err)
		}
	}
	return fault.AsPrerequisite(fault.Wrap(fmt.Errorf("cannot copy any image: %w", copies[0].Err), fault.Of(copies[0].Err)))
}

// isLayout reports whether a target is a directory.
func isLayout(t registry.Target) bool { return strings.HasPrefix(t.String(), "oci:") }
