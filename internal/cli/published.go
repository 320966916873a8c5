package cli

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

// published is what an image of the target says of itself.
type published struct {
	image   v1.Image
	digest  string // "sha256:..."
	size    int64  // bytes of the manifest, the configuration and the layers
	created time.Time
	labels  map[string]string
}

// look reads what images of the target say of themselves, by tag. It costs two small requests for each. A tag that has
// gone in the meantime is left out.
func look(ctx context.Context, target registry.Target, tags []string) (map[string]published, error) {
	var mu sync.Mutex
	all := map[string]published{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(toolkitReaders)
	for _, tag := range tags {
		g.Go(func() error {
			img, err := target.Image(ctx, tag)
			if registry.Is404(err) {
				return nil
			}
			var one published
			if err == nil {
				one, err = describe(img)
			}
			if err != nil {
				return fmt.Errorf("read the published image %s: %w", target.Reference(tag), registry.Classify(err))
			}
			mu.Lock()
			defer mu.Unlock()
			all[tag] = one
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return all, nil
}

func describe(img v1.Image) (published, error) {
	sum, err := img.Digest()
	if err != nil {
		return published{}, err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return published{}, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return published{}, err
	}
	size := int64(len(raw)) + manifest.Config.Size
	for _, l := range manifest.Layers {
		size += l.Size
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return published{}, err
	}
	return published{img, sum.String(), size, cfg.Created.Time, cfg.Config.Labels}, nil
}

// inspect looks at the images of a plan that are published, fills in what the plan has places for, and returns all that
// was seen, by tag. A build whose image has gone in the meantime becomes a missing one.
func inspect(ctx context.Context, target registry.Target, p *plan.Plan) (map[string]published, error) {
	var tags []string
	for _, b := range p.Builds {
		if b.State == plan.Published || b.State == plan.Built {
			tags = append(tags, b.Tag)
		}
	}
	all, err := look(ctx, target, tags)
	if err != nil {
		return nil, err
	}
	for i := range p.Builds {
		b := &p.Builds[i]
		if b.State != plan.Published && b.State != plan.Built {
			continue
		}
		if seen, ok := all[b.Tag]; ok {
			b.Digest, b.Size, b.Created = seen.digest, seen.size, seen.created
		} else {
			b.Absent()
		}
	}
	return all, nil
}
