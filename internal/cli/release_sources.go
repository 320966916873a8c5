package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/release"
	"neuron-kmod/internal/version"
)

// sources makes the archives that the GPL asks for: the driver's source as it was compiled for the images, and that of
// their BusyBox.
func (r *releaser) sources(ctx context.Context, v version.Driver, images []kmod, busyBox []string) ([]release.Archive, error) {
	modified, err := r.modifiedSource(ctx, v, images)
	if err != nil {
		return nil, err
	}
	archives := []release.Archive{modified}
	getter := &release.BusyBox{HTTP: r.session.httpClient(), Cache: filepath.Join(r.CacheDir, "sources"), Log: r.log}
	for _, version := range busyBox {
		a, err := getter.Source(ctx, version)
		if err != nil {
			return nil, err
		}
		archives = append(archives, a)
	}
	return archives, nil
}

func (r *releaser) modifiedSource(ctx context.Context, v version.Driver, images []kmod) (release.Archive, error) {
	files, err := r.parts()
	if err != nil {
		return release.Archive{}, err
	}
	fetcher := &driver.Fetcher{
		HTTP: r.session.httpClient(), Source: r.DriverSource, Cache: filepath.Join(r.CacheDir, "drivers"), Log: r.log,
	}
	rpm, err := fetcher.Fetch(ctx, v)
	if err != nil {
		return release.Archive{}, err
	}
	source, err := driver.Unpack(ctx, rpm, v, r.workspace.Path("source-"+v.String()))
	if err != nil {
		return release.Archive{}, err
	}
	dir, err := r.workspace.Mkdir("release-" + v.String())
	if err != nil {
		return release.Archive{}, err
	}
	return release.ModifiedSource(ctx, release.SourceInput{
		Source: source, Script: files.script, Dir: dir, Modules: r.modules(images),
		Earlier: func(ctx context.Context) (io.ReadCloser, error) {
			return r.github.OpenAsset(ctx, release.Name(v), release.ModifiedSourceFile(v))
		},
	})
}

// kmod is a published image, for a kernel.
type kmod struct {
	name   string
	kernel kernel.Version
	published
}

// modules are the modules in the images, whose source is owed.
func (r *releaser) modules(images []kmod) []release.Module {
	var all []release.Module
	for _, one := range images {
		digest := one.labels[image.LabelSourceDigest]
		if digest == "" {
			r.log.Warn("an image does not say from which source it was made; the release has the source that it would be made from now",
				"image", one.name, "hint", "`neuron-kmod build --force` makes it anew")
		}
		all = append(all, release.Module{Kernel: one.kernel, Source: digest})
	}
	return all
}

// busyBoxes returns the versions of BusyBox in the images, in order: the one that the label says or, for an image of
// other tools, the one that the binary says. The licence asks for the source whatever the labels are.
func busyBoxes(ctx context.Context, images []kmod) ([]string, error) {
	versions := map[string]bool{}
	for _, one := range images {
		v := one.labels[image.LabelBusyBoxVersion]
		if v == "" {
			info, err := image.CheckBase(ctx, image.Base{Name: one.name, Image: one.image})
			if err != nil {
				return nil, fmt.Errorf("find out which BusyBox is in %s: %w", one.name, registry.Classify(err))
			}
			v = info.BusyBox
		}
		if v != "" {
			versions[v] = true
		}
	}
	return slices.Sorted(maps.Keys(versions)), nil
}
