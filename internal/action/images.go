package action

import (
	"context"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/plan/inventory"
	"neuron-kmod/internal/platform/progress"
)

// ImagesRequest asks what is published and what is missing.
type ImagesRequest struct {
	Selection     Selection
	Target        string
	ToolkitMirror string
	All           bool // also images that no release needs; not with a limited selection
}

// Images returns what is published for a selection, and what is missing, with reasons that may be shown to everybody. It
// blocks on the network.
func Images(ctx context.Context, env Env, r ImagesRequest) (*inventory.Inventory, error) {
	s, err := open(env, access{target: r.Target, mirror: r.ToolkitMirror, readOnly: true})
	if err != nil {
		return nil, err
	}
	in, err := s.planInput(ctx, r.Selection, use{})
	if err != nil {
		return nil, err
	}
	p, err := in.makePlan(ctx, nil)
	if err != nil {
		return nil, err
	}
	p = p.WithReasons(publicReason)
	var unplanned []string
	if !r.Selection.Limited() {
		for _, d := range p.Drivers {
			unplanned = append(unplanned, p.UnplannedTags(d)...)
		}
	}
	wanted := p.Count(plan.Published)
	if r.All {
		wanted += len(unplanned)
	}
	bars := env.Progress()
	defer bars.Close()
	counted := &countedReads{target: in.target, total: int64(wanted), task: bars.Start("read", "images", "")}
	v, err := readInventory(ctx, counted, p, unplanned, r.All)
	counted.task.Done(err)
	return v, err
}

// readInventory looks at each image of a plan that is published, and with all at those that no release needs.
func readInventory(ctx context.Context, images *countedReads, p *plan.Plan, unplanned []string, all bool) (*inventory.Inventory, error) {
	p, _, err := statPlan(ctx, images, p)
	if err != nil {
		return nil, err
	}
	v := inventory.New(p, images.target.String())
	v.Unplanned = len(unplanned)
	if !all {
		return v, nil
	}
	seen, err := statImages(ctx, images, unplanned)
	if err != nil {
		return nil, err
	}
	for _, d := range p.Drivers {
		for _, tag := range p.UnplannedTags(d) {
			info, found := seen[tag]
			if !found {
				continue
			}
			// Other programs' images say nothing of a kernel, or what is none.
			k, _ := kernel.Parse(info.labels[image.LabelKernel])
			v.AddUnplanned(inventory.Image{Driver: d, Kernel: k, Tag: tag, Digest: info.digest, Size: info.size, Created: info.created})
		}
	}
	return v, nil
}

// countedReads is a target that tells a task how many images have been read.
type countedReads struct {
	target registry.Target
	task   progress.Task
	total  int64
	done   atomic.Int64
}

// Image implements imageReader.
func (c *countedReads) Image(ctx context.Context, tag string) (v1.Image, error) {
	img, err := c.target.Image(ctx, tag)
	c.task.Update(c.done.Add(1), c.total)
	return img, err
}

// Reference implements imageReader.
func (c *countedReads) Reference(tag string) string { return c.target.Reference(tag) }
