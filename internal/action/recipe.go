package action

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
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/workspace"
)

// imageFiles are the files that describe an image: the built-in ones, or those of --container-dir.
type imageFiles struct {
	containerfile []byte
	script        string // build-module.sh
	licenses      fs.FS
	base          string // the image that the Containerfile's FROM names
}

// readImageFiles reads the files in dir, or the built-in ones for "". What is wrong with them is found before anything is
// pulled.
func readImageFiles(dir, baseImage string) (imageFiles, error) {
	var files fs.FS = container.Files
	fail := func(err error) (imageFiles, error) {
		return imageFiles{}, fault.AsUsage(fmt.Errorf("--base-image %q: %w", baseImage, err))
	}
	if dir != "" {
		files = os.DirFS(dir)
		fail = func(err error) (imageFiles, error) {
			return imageFiles{}, fault.AsUsage(fmt.Errorf("--container-dir %s: %w", dir, err))
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
	base, err := image.BaseReference(containerfile, map[string]string{image.ArgBase: baseImage})
	if err != nil {
		return fail(err)
	}
	return imageFiles{containerfile: containerfile, script: string(script), licenses: licenses, base: base}, nil
}

// recipe gets what every image is made from; the base image must have what KMM runs in it.
func (s *session) recipe(ctx context.Context, ws *workspace.Workspace, files imageFiles) (pipeline.Recipe, error) {
	base, info, err := s.baseImage(ctx, ws, files.base)
	if err != nil {
		return pipeline.Recipe{}, err
	}
	return pipeline.Recipe{
		Base: base, BusyBox: info.BusyBox, Containerfile: files.containerfile, Script: files.script,
		CopyLicenses: func(dst string) error {
			if err := os.CopyFS(dst, files.licenses); err != nil {
				return fmt.Errorf("copy the licences to %s: %w", filepath.Base(dst), err)
			}
			return nil
		},
	}, nil
}

// baseImage gets the image that the Containerfile's FROM names into the run's directory, checks that it has what KMM runs
// in it, and warns where its BusyBox is not the version that R5.2 names.
func (s *session) baseImage(ctx context.Context, ws *workspace.Workspace, reference string) (image.Base, image.BaseInfo, error) {
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
		return fail(fault.AsPrerequisite(err))
	}
	for _, w := range info.Warnings {
		s.env.Log.Warn(w)
	}
	return base, info, nil
}
