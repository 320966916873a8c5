package action

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
)

// imageInfo is what an image of the target says of itself.
type imageInfo struct {
	image   v1.Image
	digest  string // "sha256:..."
	size    int64  // bytes of the manifest, the configuration and the layers
	created time.Time
	labels  map[string]string
}

// imageReader reads an image by its tag, as registry.Target does.
type imageReader interface {
	Image(ctx context.Context, tag string) (v1.Image, error)
	Reference(tag string) string
}

// statImages reads what images of the target say of themselves, by tag. It costs two small requests for each. A tag that
// has gone in the meantime is left out.
func statImages(ctx context.Context, target imageReader, tags []string) (map[string]imageInfo, error) {
	var mu sync.Mutex
	all := map[string]imageInfo{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelReads)
	for _, tag := range tags {
		g.Go(func() error {
			img, err := target.Image(ctx, tag)
			if registry.Is404(err) {
				return nil
			}
			var info imageInfo
			if err == nil {
				info, err = readInfo(img)
			}
			if err != nil {
				return fmt.Errorf("read the published image %s: %w", target.Reference(tag), registry.Classify(err))
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
	return imageInfo{image: img, digest: sum.String(), size: size, created: cfg.Created.Time, labels: cfg.Config.Labels}, nil
}

// statPlan looks at the images of a plan that are published. It returns the plan with their digests, sizes and times, and
// all that was seen, by tag. A build whose image has gone in the meantime becomes a missing one.
func statPlan(ctx context.Context, target imageReader, p *plan.Plan) (*plan.Plan, map[string]imageInfo, error) {
	var tags []string
	for _, b := range p.Builds {
		if b.Present() {
			tags = append(tags, b.Tag)
		}
	}
	seen, err := statImages(ctx, target, tags)
	if err != nil {
		return nil, nil, err
	}
	outcomes := map[int]plan.Outcome{}
	for i, b := range p.Builds {
		if !b.Present() {
			continue
		}
		if info, ok := seen[b.Tag]; ok {
			outcomes[i] = plan.Outcome{State: b.State, Digest: info.digest, Size: info.size, Created: info.created, Seconds: b.Seconds}
		} else {
			outcomes[i] = plan.Outcome{State: plan.Missing}
		}
	}
	return p.With(outcomes), seen, nil
}
