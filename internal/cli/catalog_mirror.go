package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/platform/progress"
)

// mirrorOptions are the flags of catalog mirror. Of the plan's it has those that
// say which drivers and releases are meant.
type mirrorOptions struct {
	planOptions
	minors      []string // besides the matrix's
	kernelsOnly bool
	kmod        bool // kmod images instead of Driver Toolkits
	force       bool
	jobs        int
	dryRun      bool
	create      bool
	sets        string // "", "-" or a file
}

func newCatalogMirror(a *app) *cobra.Command {
	o := &mirrorOptions{planOptions: planOptions{app: a}}
	cmd := &cobra.Command{
		Use:   "mirror DESTINATION [DRIVER_VERSION|all [OCP_VERSION]]",
		Short: "Copy Driver Toolkits, or kmod images, to where there is no internet",
		Long: `Mirror copies the Driver Toolkits of the wanted releases into one repository, or
into a folder that can be carried. A copy has its original's digest and the
OpenShift release as its tag. With --kmod it copies the published kmod images of
the plan instead, which keep their tags.

DESTINATION is ecr, REGISTRY/REPOSITORY or oci:DIR. What is there is not sent
again, and what images share is sent once. A run that was stopped is finished by
running it again. An image that fails does not stop the others; the exit code is
then 1. Only images for x86_64 are copied.`,
		Example: `  neuron-kmod catalog mirror ecr --create-repository
  neuron-kmod catalog mirror registry.example.com/mirror/driver-toolkit all 4.20 --kernels-only
  neuron-kmod catalog mirror oci:carry/dtk
  neuron-kmod catalog mirror registry.example.com/mirror/driver-toolkit --from oci:carry/dtk
  neuron-kmod catalog mirror registry.example.com/mirror/neuron-kmod --kmod --mirror-set sets.yaml`,
		Args: exactly(1, 3, "a destination, and perhaps a driver version or all, and an OpenShift version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Target = args[0]
			o.setArgs(args[1:])
			return o.run(cmd.Context())
		},
	}
	o.fileFlags(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.minors, "minors", nil, "also the releases of these `minors`, such as 4.22, whatever the matrix says")
	f.BoolVar(&o.kernelsOnly, "kernels-only", false, "one Driver Toolkit for each kernel, one that is there already or that of the newest release: enough to build for all of them")
	f.BoolVar(&o.kmod, "kmod", false, "copy the published kmod images instead of Driver Toolkits")
	f.StringVar(&o.origin, "from", "", "copy from this `place` (ecr, ecr-public, REGISTRY/REPOSITORY or oci:DIR); by default Driver Toolkits from where the catalogue says, kmod images from ecr-public")
	f.StringVar(&o.sets, "mirror-set", "", "also write the ImageDigestMirrorSet, and for kmod images the ImageTagMirrorSet, to this `file`; - is stdout, instead of the table")
	f.BoolVar(&o.force, "force", false, "replace images in the destination whose tag leads to another digest")
	f.BoolVar(&o.create, "create-repository", false, "with destination ecr, create the repository if it is missing: immutable tags, images scanned on push")
	f.BoolVar(&o.dryRun, "dry-run", false, "only tell what would be copied")
	f.IntVar(&o.jobs, "jobs", 2, "`images` to copy at the same time")
	f.StringVarP(&o.output, "output", "o", "table", "`format` of the result: table or json")
	return cmd
}

func (o *mirrorOptions) check() error {
	if err := o.checkOutput("table", "json"); err != nil {
		return err
	}
	kind, _, err := registry.ParseTarget(o.Target)
	switch {
	case err != nil:
		return usage{fmt.Errorf("destination: %w", err)}
	case kind == registry.KindECRPublic:
		return usage{fault.Wrap(errors.New("ecr-public is no destination for copies"), "use ecr, REGISTRY/REPOSITORY or oci:DIR")}
	case o.create && kind != registry.KindECR:
		return usage{errors.New("--create-repository is for destination ecr")}
	case o.sets != "" && kind == registry.KindLayout:
		return usage{errors.New("--mirror-set is for a destination that a cluster can pull from, which a folder is not")}
	case o.sets == "-" && o.output == "json":
		return usage{fault.Wrap(errors.New("--mirror-set - and --output json both write to stdout"), "give --mirror-set a file")}
	case o.sets != "" && o.dryRun:
		return usage{errors.New("--dry-run writes nothing, so --mirror-set does not go with it")}
	case o.kmod && o.kernelsOnly:
		return usage{errors.New("--kernels-only is for Driver Toolkits: there is one kmod image for each kernel anyway")}
	case o.kmod && len(o.minors) > 0:
		return usage{fault.Wrap(errors.New("--minors is for Driver Toolkits"), "which releases have kmod images is said by the matrix")}
	case o.jobs < 1 || o.jobs > 16:
		return usage{fault.Wrap(fmt.Errorf("--jobs is %d", o.jobs), "give a number of images from 1 to 16")}
	case o.origin == registry.KindECRPublic && !o.kmod:
		return usage{fault.Wrap(errors.New("--from ecr-public has no Driver Toolkits"), "with --kmod its kmod images are copied")}
	case o.origin == o.Target:
		return usage{errors.New("--from is the destination")}
	}
	return nil
}

func (o *mirrorOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	in, err := o.input()
	if err != nil {
		return err
	}
	if o.kmod && o.origin == "" {
		o.origin = registry.KindECRPublic
	}
	o.AnonymousPublic = true // ECR Public is only read here
	s, err := o.open()
	if err != nil {
		return err
	}
	repository := s.AWS.Mirror
	if o.kmod {
		repository = s.AWS.Repository
	}
	to, err := s.place(ctx, "destination", o.Target, repository, access{push: true, create: o.create})
	if err != nil {
		return fault.Wrap(fmt.Errorf("destination: %w", err), destinationAdvice(err, o.kmod))
	}
	var from registry.Target
	if o.origin != "" {
		if from, err = s.place(ctx, "--from", o.origin, repository, access{}); err != nil {
			return err
		}
		if err := notEmpty(ctx, from); err != nil {
			return err
		}
	}
	var w *wanted
	if o.kmod {
		w, err = o.kmodImages(ctx, s, in, from)
	} else {
		w, err = o.toolkits(ctx, s, in, from, to)
	}
	if err != nil {
		return err
	}
	w.report.Mirror = to.String()
	return o.copy(ctx, s, to, w)
}

// notEmpty tells a name that was mistyped from a place that lacks an image.
func notEmpty(ctx context.Context, from registry.Target) error {
	tags, err := from.Tags(ctx)
	if err != nil {
		return classifyPlan(fmt.Errorf("--from: %w", err), from.String())
	}
	if len(tags) == 0 {
		return usage{fault.Wrap(fmt.Errorf("--from: there are no images in %s", from), "check the name")}
	}
	return nil
}

// wanted are the images that a mirror has to have.
type wanted struct {
	report    *action.MirrorReport // has the images
	originals []registry.Original
	named     []string      // the repositories that a cluster names the images by
	failed    []mirrorError // what cannot even be asked for
}

// mirrorError is an image that is wanted, and why it cannot be had.
type mirrorError struct {
	image action.MirrorImage
	err   error
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

// copy brings the mirror up to date, and tells what has become of it.
func (o *mirrorOptions) copy(ctx context.Context, s *session, to registry.Target, w *wanted) error {
	copies, err := o.copies(ctx, to, w)
	if copies == nil {
		return err
	}
	for i, c := range copies {
		copies[i].Err = withQuayAdvice(w.originals[i].String(), c.Err)
	}
	w.report.Fill(copies)
	for _, f := range w.failed {
		f.image.State, f.image.Error = registry.CopyFailed, fault.Text(f.err)
		w.report.Images = append(w.report.Images, f.image)
	}
	if werr := o.writeResult(s, to, w); werr != nil {
		return errors.Join(err, werr)
	}
	if err != nil {
		return err
	}
	return verdictOfCopies(w, copies)
}

// copies makes the copies. What it returns beside an error is what has become of them
// all the same; nil if it did not come to that.
func (o *mirrorOptions) copies(ctx context.Context, to registry.Target, w *wanted) ([]registry.Copy, error) {
	bars := progress.NewProgress(o.stderr, o.live && !o.quiet, o.log)
	defer bars.Close()
	bar := bars.Transfer("mirror")
	defer bar.Done()
	copier := &registry.Copier{
		To: to, Jobs: o.jobs, Overwrite: o.force, Done: o.tell,
		Progress: func(p registry.CopyProgress) { bar.Update(p.ImagesDone, p.Images, p.BytesDone, p.Bytes) },
	}
	p, err := copier.Plan(ctx, w.originals)
	if err != nil {
		return nil, classifyPlan(err, to.String())
	}
	var due int
	due, w.report.Due = p.Due()
	if due == 0 || o.dryRun {
		return p.Copies, nil
	}
	if err := checkPush(ctx, to); err != nil {
		return nil, classifyPlan(err, to.String())
	}
	o.log.Info("copying", "images", due, "bytes", format.Bytes(w.report.Due), "to", to)
	return p.Copies, p.Run(ctx)
}

// tell logs what has become of an image.
func (o *mirrorOptions) tell(original registry.Original, c registry.Copy) {
	switch c.State {
	case registry.CopyMade:
		o.log.Info("copied", "tag", original.Tag, "sent", format.Bytes(c.Sent))
	case registry.CopyFailed:
		o.log.Error("not copied", "tag", original.Tag, "error", c.Err, "hint", fault.Of(c.Err))
	}
}

// verdictOfCopies turns what is wrong with a mirror into an exit code: 4 where nothing
// but credentials stands in the way of all of it, else 1.
func verdictOfCopies(w *wanted, copies []registry.Copy) error {
	if w.report.Complete() {
		return nil
	}
	err := errors.New(w.report.Summary())
	if len(w.failed) > 0 || len(copies) == 0 {
		return incomplete{err}
	}
	for _, c := range copies {
		if !registry.IsUnauthorized(c.Err) {
			return incomplete{err}
		}
	}
	return prerequisite{fault.Wrap(fmt.Errorf("nothing can be copied: %w", copies[0].Err), fault.Of(copies[0].Err))}
}
