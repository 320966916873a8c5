package action

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/kmod/module"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/plan/inventory"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// ImagesRequest asks what is published and what is missing.
type ImagesRequest struct {
	Selection     Selection
	Target        string
	ToolkitMirror string
	All           bool // also images that no release needs; not with a limited selection
}

// Images returns what is published for a selection, and what is missing, with reasons that may be shown to everybody.
// It blocks on the network.
func Images(ctx context.Context, env Env, r ImagesRequest) (v *inventory.Inventory, err error) {
	in, p, err := openPlan(ctx, env, r.Selection, access{target: r.Target, mirror: r.ToolkitMirror, readOnly: true})
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
	task := bars.Start("read", "images", "")
	defer func() { task.Done(err) }()
	var done atomic.Int64
	update := func() { task.Update(done.Add(1), int64(wanted)) }
	if p, _, err = statPlan(ctx, in.target, p, update); err != nil {
		return nil, err
	}
	v = inventory.New(p, in.target.String())
	v.Unplanned = len(unplanned)
	if !r.All {
		return v, nil
	}
	seen, err := statImages(ctx, in.target, unplanned, update)
	if err != nil {
		return nil, err
	}
	for _, d := range p.Drivers {
		for _, tag := range p.UnplannedTags(d) {
			if info, found := seen[tag]; found {
				v.AddUnplanned(inventory.Image{
					Driver: d, Kernel: info.kernel, Tag: tag, Digest: info.digest, Size: info.size, Created: info.created,
				})
			}
		}
	}
	return v, nil
}

// imageInfo is what an image of the target says of itself.
type imageInfo struct {
	name    string         // how the target names it
	kernel  kernel.Version // that it is for; zero where it does not say
	image   v1.Image
	digest  string // "sha256:..."
	size    int64  // bytes of the manifest, the configuration and the layers
	created time.Time
	labels  map[string]string
}

// statImages reads what images of the target say of themselves, by tag. It costs two small requests for each. A tag
// that has gone in the meantime is left out. done, if not nil, is called for each, from several goroutines.
func statImages(
	ctx context.Context, target registry.Target, tags []string, done func(),
) (map[string]imageInfo, error) {
	var mu sync.Mutex
	all := map[string]imageInfo{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelReads)
	for _, tag := range tags {
		g.Go(func() error {
			img, err := target.Image(ctx, tag)
			if done != nil {
				done()
			}
			if registry.Is404(err) {
				return nil
			}
			var info imageInfo
			if err == nil {
				info, err = readInfo(img)
			}
			info.name = target.Reference(tag)
			if err != nil {
				return fmt.Errorf("read the published image %s: %w", info.name, registry.Classify(err))
			}
			mu.Lock()
			defer mu.Unlock()
			all[tag] = info
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return all, nil
}

func readInfo(img v1.Image) (imageInfo, error) {
	sum, err := img.Digest()
	if err != nil {
		return imageInfo{}, err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return imageInfo{}, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return imageInfo{}, err
	}
	size := int64(len(raw)) + manifest.Config.Size
	for _, l := range manifest.Layers {
		size += l.Size
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return imageInfo{}, err
	}
	// Other programs' images say nothing of a kernel, or what is none.
	k, _ := kernel.Parse(cfg.Config.Labels[image.LabelKernel])
	return imageInfo{
		kernel: k, image: img, digest: sum.String(), size: size, created: cfg.Created.Time, labels: cfg.Config.Labels,
	}, nil
}

// statPlan looks at the images of a plan that are published. It returns the plan with their digests, sizes and times,
// and all that was seen, by tag. A build whose image has gone in the meantime becomes a missing one.
func statPlan(
	ctx context.Context, target registry.Target, p *plan.Plan, done func(),
) (*plan.Plan, map[string]imageInfo, error) {
	var tags []string
	for _, b := range p.Builds {
		if b.Present() {
			tags = append(tags, b.Tag)
		}
	}
	seen, err := statImages(ctx, target, tags, done)
	if err != nil {
		return nil, nil, err
	}
	outcomes := map[int]plan.Outcome{}
	for i, b := range p.Builds {
		if info, ok := seen[b.Tag]; ok {
			outcomes[i] = plan.Outcome{
				State: b.State, Digest: info.digest, Size: info.size, Created: info.created, Seconds: b.Seconds,
			}
		} else if b.Present() {
			outcomes[i] = plan.Outcome{State: plan.Missing}
		}
	}
	return p.With(outcomes), seen, nil
}

// VerifyResult is what a good kmod image is.
type VerifyResult struct {
	Reference string
	Digest    string // "sha256:..."
	Driver    version.Driver
	Kernel    kernel.Version
}

// Verify checks that an image, REGISTRY/REPOSITORY:TAG or oci:DIR:TAG, is one that KMM can load. An image that is not
// good is an error of the kind fault.Incomplete. It blocks on the network.
func Verify(ctx context.Context, env Env, reference string) (*VerifyResult, error) {
	s, err := open(env, access{target: env.Settings.Target, readOnly: true})
	if err != nil {
		return nil, err
	}
	img, digest, err := s.image(ctx, reference)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(env.Settings.TempDir, "neuron-kmod-verify-")
	if err != nil {
		return nil, fault.AsPrerequisite(fmt.Errorf("make a directory for the image: %w", err))
	}
	defer os.RemoveAll(dir)
	// Once it is here, what is wrong is the image's fault and not the registry's.
	local, err := image.Base{Name: reference, Image: img, Digest: digest}.Store(ctx, dir)
	if err != nil {
		return nil, registry.Classify(err)
	}
	r := &VerifyResult{Reference: reference, Digest: digest}
	if r.Driver, r.Kernel, err = verifyImage(ctx, local.Image); err != nil {
		return nil, fault.AsIncomplete(fmt.Errorf("%s is not a good kmod image: %w", reference, err))
	}
	return r, nil
}

// verifyImage holds an image against its own labels, down to the module's version and vermagic.
func verifyImage(ctx context.Context, img v1.Image) (version.Driver, kernel.Version, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return version.Driver{}, kernel.Version{}, err
	}
	d, err := version.ParseDriver(cfg.Config.Labels[image.LabelDriver])
	if err != nil {
		return d, kernel.Version{}, fmt.Errorf("label %s: %w", image.LabelDriver, err)
	}
	k, err := kernel.Parse(cfg.Config.Labels[image.LabelKernel])
	if err != nil {
		return d, k, fmt.Errorf("label %s: %w", image.LabelKernel, err)
	}
	if err := image.Verify(ctx, img, d, k); err != nil {
		return d, k, err
	}
	data, err := image.Module(ctx, img, k)
	if err != nil {
		return d, k, err
	}
	info, err := module.Inspect(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return d, k, fmt.Errorf("inspect %s: %w", image.ModulePath(k), err)
	}
	return d, k, info.Check(d, k)
}
