package cli

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"neuron-kmod/container"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/kmod/pipeline"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/workspace"
)

// parts are the files that describe an image: the built-in ones, or those of
// --container-dir.
type parts struct {
	containerfile []byte
	script        string // build-module.sh
	licenses      fs.FS
	base          string // the image that the Containerfile's FROM names
}

// parts reads the files. What is wrong with them is found before anything is
// pulled.
func (o *buildOptions) parts() (parts, error) {
	var files fs.FS = container.Files
	fail := func(err error) (parts, error) {
		return parts{}, usage{fmt.Errorf("--base-image %q: %w", o.BaseImage, err)}
	}
	if o.containerDir != "" {
		files = os.DirFS(o.containerDir)
		fail = func(err error) (parts, error) {
			return parts{}, usage{fmt.Errorf("--container-dir %s: %w", o.containerDir, err)}
		}
	}
	containerfile, err := fs.ReadFile(files, "Containerfile")
	if err != nil {
		return fail(err)
	}
	script, err := fs.ReadFile(files, "build-module.sh")
	if err != nil {
		return fail(err)
	}
	if _, err := fs.ReadDir(files, "licenses"); err != nil {
		return fail(err)
	}
	licenses, err := fs.Sub(files, "licenses")
	if err != nil {
		return fail(err)
	}
	base, err := image.BaseReference("Containerfile", containerfile, map[string]string{image.ArgBase: o.BaseImage})
	if err != nil {
		return fail(err)
	}
	return parts{containerfile, string(script), licenses, base}, nil
}

// recipe gets what every image is made from; the base image must have what KMM
// runs in it.
func (o *buildOptions) recipe(ctx context.Context, s *session, ws *workspace.Workspace, p parts) (pipeline.Recipe, error) {
	base, info, err := o.base(ctx, s, ws, p.base)
	if err != nil {
		return pipeline.Recipe{}, err
	}
	return pipeline.Recipe{
		Base: base, BusyBox: info.BusyBox, Containerfile: p.containerfile, Script: p.script,
		CopyLicenses: func(dst string) error {
			if err := os.CopyFS(dst, p.licenses); err != nil {
				return fmt.Errorf("copy the licences to %s: %w", filepath.Base(dst), err)
			}
			return nil
		},
	}, nil
}

// base gets the image that the Containerfile's FROM names into the run's directory, checks that it has what KMM
// runs in it, and warns where its BusyBox is not the version that R5.2 names.
func (o *buildOptions) base(ctx context.Context, s *session, ws *workspace.Workspace, reference string) (image.Base, image.BaseInfo, error) {
	fail := func(err error) (image.Base, image.BaseInfo, error) {
		return image.Base{}, image.BaseInfo{}, fmt.Errorf("get the base image: %w", err)
	}
	img, digest, err := s.image(ctx, reference)
	if err != nil {
		return fail(err)
	}
	dir, err := ws.Mkdir("base")
	if err != nil {
		return fail(err)
	}
	base, err := image.Base{Name: reference, Image: img, Digest: digest}.Store(ctx, dir)
	if err != nil {
		return fail(registry.Classify(err))
	}
	info, err := image.CheckBase(ctx, base)
	if err != nil {
		return fail(prerequisite{err})
	}
	for _, w := range info.Warnings {
		o.log.Warn(w)
	}
	return base, info, nil
}
