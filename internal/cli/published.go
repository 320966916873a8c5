package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/image"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/registry"
)

// inspect reads what the published images of a plan say of themselves: digests
// and sizes, which it fills in, and the versions of BusyBox, which it returns in
// order. It costs two small requests for each image.
func (s *session) inspect(ctx context.Context, target registry.Target, p *plan.Plan) ([]string, error) {
	var mu sync.Mutex
	versions := map[string]bool{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(toolkitReaders)
	for i := range p.Builds {
		b := &p.Builds[i]
		if b.State != plan.Published && b.State != plan.Built {
			continue
		}
		g.Go(func() error {
			img, err := target.Image(ctx, b.Tag)
			var busyBox string
			if err == nil {
				b.Digest, b.Size, busyBox, err = describe(ctx, b.Image, img)
			}
			if err != nil {
				return fmt.Errorf("read the published image %s: %w", b.Image, registry.Classify(err))
			}
			mu.Lock()
			defer mu.Unlock()
			if busyBox != "" {
				versions[busyBox] = true
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(versions)), nil
}

// describe returns an image's digest, the bytes of its manifest, configuration
// and layers, and the version of its BusyBox.
func describe(ctx context.Context, name string, img v1.Image) (digest string, size int64, busyBox string, err error) {
	sum, err := img.Digest()
	if err != nil {
		return "", 0, "", err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return "", 0, "", err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return "", 0, "", err
	}
	size = int64(len(raw)) + manifest.Config.Size
	for _, l := range manifest.Layers {
		size += l.Size
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return "", 0, "", err
	}
	busyBox, err = busyBoxOf(ctx, name, img, cfg)
	return sum.String(), size, busyBox, err
}

// busyBoxOf returns the version of BusyBox in an image: its label, or for an
// image of other tools what its binary says. The licence asks for the source
// whatever the labels are.
func busyBoxOf(ctx context.Context, name string, img v1.Image, cfg *v1.ConfigFile) (string, error) {
	if v := cfg.Config.Labels[image.LabelBusyBoxVersion]; v != "" {
		return v, nil
	}
	info, err := image.CheckBase(ctx, image.Base{Name: name, Image: img})
	if err != nil {
		return "", fmt.Errorf("which BusyBox is in it: %w", err)
	}
	return info.BusyBox, nil
}
