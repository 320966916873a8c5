package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/plan/inventory"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/progress"
	"neuron-kmod/internal/report"
	"neuron-kmod/internal/report/page"
)

// unread is the public reason for a Driver Toolkit that could be readable the next time. The log has the error, which
// names hosts and files of this machine.
const unread = "its Driver Toolkit could not be read"

// imagesOptions are the flags of images.
type imagesOptions struct {
	planOptions
	check bool // a gap is an error
	all   bool // also images that no release needs
}

func newImages(a *app) *cobra.Command {
	o := &imagesOptions{planOptions: planOptions{app: a}}
	cmd := &cobra.Command{
		Use:   "images [DRIVER_VERSION|all [OCP_VERSION]]",
		Short: "Show which images are published and which are missing",
		Long: `Images lists what is published in the target for the releases of the matrix, and
what is missing, with the reason. Nothing in it names this machine, so it may be
shown to everybody; the log on stderr tells more of what could not be read.

With -o html it is one page that works from a file, a web server or GitHub Pages
and loads nothing: releases by drivers, a search by release or kernel, and the
manifests to copy.`,
		Example: `  neuron-kmod images --target quay.io/me/neuron-kmod
  neuron-kmod images all 4.20 --target quay.io/me/neuron-kmod --check
  neuron-kmod images --target quay.io/me/neuron-kmod -o html > index.html`,
		Args: exactly(0, 2, "at most a driver version and an OpenShift version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.setArgs(args)
			return o.run(cmd.Context())
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.check, "check", false, "exit with 1 if an image is missing or a release's kernel is not known")
	f.BoolVar(&o.all, "all", false, "also list published images that no release of the matrix needs")
	f.Lookup("output").Usage = "`format` of the result: table, json, csv or html"
	return cmd
}

func (o *imagesOptions) run(ctx context.Context) error {
	if err := o.checkOutput("table", "json", "csv", "html"); err != nil {
		return err
	}
	if o.all && o.limited() {
		return usage{fault.Wrap(errors.New("--all does not go with an OpenShift version or --kernel"), "leave one of them out")}
	}
	o.AnonymousPublic = true // who only reads ECR Public needs no credentials
	s, err := o.open()
	if err != nil {
		return err
	}
	v, err := o.inventory(ctx, s)
	if err != nil {
		return err
	}
	if err := o.write(v); err != nil {
		return err
	}
	if o.check && v.Gaps() > 0 {
		return incomplete{errors.New(v.Summary())}
	}
	return nil
}

// limited reports whether the plan has fewer than all releases of its drivers, so that it does not know what is unplanned.
func (o *imagesOptions) limited() bool { return o.release != "" || len(o.kernels) > 0 }

// inventory makes the plan and looks at each image of it that is published.
func (o *imagesOptions) inventory(ctx context.Context, s *session) (*inventory.Inventory, error) {
	reasons := &unreadable{Resolver: s.resolver(), passing: map[string]error{}}
	p, target, err := o.plan(ctx, s, access{resolve: reasons.resolve})
	if err != nil {
		return nil, err
	}
	for i := range p.Unresolved {
		if reasons.passing[p.Unresolved[i].Toolkit] != nil {
			p.Unresolved[i].Reason = unread
		}
	}
	var others []string
	if !o.limited() {
		for _, d := range p.Drivers {
			others = append(others, p.Others(d)...)
		}
	}
	wanted := p.Count(plan.Published)
	if o.all {
		wanted += len(others)
	}
	bars := progress.NewProgress(o.stderr, o.live && !o.quiet, o.log)
	defer bars.Close()
	watched := &watchedTarget{Target: target, total: int64(wanted), task: bars.Start("read", "images", "")}
	v, err := o.look(ctx, watched, p, others)
	watched.task.Done(err)
	return v, err
}

func (o *imagesOptions) look(ctx context.Context, target registry.Target, p *plan.Plan, others []string) (*inventory.Inventory, error) {
	if _, err := inspect(ctx, target, p); err != nil {
		return nil, err
	}
	v := inventory.New(p, target.String())
	v.Unplanned = len(others)
	if !o.all {
		return v, nil
	}
	seen, err := look(ctx, target, others)
	if err != nil {
		return nil, err
	}
	for _, d := range p.Drivers {
		for _, tag := range p.Others(d) {
			one, found := seen[tag]
			if !found {
				continue
			}
			// Other programs' images say nothing of a kernel, or what is none.
			k, _ := kernel.Parse(one.labels[image.LabelKernel])
			v.AddUnplanned(inventory.Image{Driver: d, Kernel: k, Tag: tag, Digest: one.digest, Size: one.size, Created: one.created})
		}
	}
	return v, nil
}

// watchedTarget tells a task how many images have been looked at.
type watchedTarget struct {
	registry.Target
	task  progress.Task
	total int64
	done  atomic.Int64
}

func (w *watchedTarget) Image(ctx context.Context, tag string) (v1.Image, error) {
	img, err := w.Target.Image(ctx, tag)
	w.task.Update(w.done.Add(1), w.total)
	return img, err
}

func (o *imagesOptions) write(v *inventory.Inventory) error {
	switch o.output {
	case "json":
		return report.ImagesJSON(o.stdout, v)
	case "csv":
		return report.ImagesCSV(o.stdout, v)
	case "html":
		return o.writePage(v)
	}
	return report.ImagesTable(o.stdout, v)
}

// writePage writes the page at once, so that a page that cannot be made leaves nothing behind.
func (o *imagesOptions) writePage(v *inventory.Inventory) error {
	made := o.Created
	if made.IsZero() {
		made = time.Now()
	}
	in := page.Input{Inventory: v, Made: made.UTC()}
	if !strings.HasPrefix(v.Repository, "oci:") { // from a directory no cluster can pull
		m := manifests{repository: v.Repository}
		in.DeviceConfig, in.Module = m.deviceConfig, m.module
	}
	var b bytes.Buffer
	if err := page.Write(&b, in); err != nil {
		return err
	}
	if _, err := o.stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
