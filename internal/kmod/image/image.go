// Package image makes a kmod image out of a Containerfile, a directory of files and a base image, and checks that an
// image is one that KMM can use.
//
// It knows OCI images and Containerfiles. It does not know where images come from or go to (package registry), how a
// module is compiled (package module), or which images are needed (package plan). It never runs a program: it makes the
// image of the built-in Containerfile itself ([Assemble]), and hands any other Containerfile to an engine
// ([EngineBuild]).
package image

import (
	"context"
	"fmt"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"neuron-kmod/internal/platform/fault"
)

// The one platform kmod images are made for (R5.3).
const (
	imageOS   = "linux"
	imageArch = "amd64"
)

// Base is the image a kmod image is built on.
type Base struct {
	// Name is the reference as the user wrote it, with its tag: "public.ecr.aws/docker/library/busybox:stable-musl".
	Name string
	// Image is the linux/amd64 image itself; of an index, the caller has picked it. Its layers are read several times, see
	// [Base.Store].
	Image v1.Image
	// Digest is what Name stood for when it was resolved, "sha256:...". It may be the digest of the index that Image was
	// picked from.
	Digest string
}

// Spec is everything an image is made of.
type Spec struct {
	Base Base
	// Containerfile is the text of the file, at most 1 MiB.
	Containerfile []byte
	// Context is the directory that COPY reads. The image's entries get mode 0755 (directories, and files with an execute
	// bit) or 0644, so that the umask of whoever builds is not part of the image.
	Context string
	// Args are the values of ARG instructions (--build-arg), for an engine.
	Args map[string]string
	// Labels are set last and win over the Containerfile's (--label); they are all that Assemble sets.
	Labels map[string]string
	// Created is the image's and its files' time, cut to seconds. The same Spec with the same Created makes the same
	// bytes.
	Created time.Time
}

// Store downloads the base into dir, an OCI layout that it makes, and returns the base as it is read from there.
// CheckBase, Assemble and a later push each read the layers; after Store only the first reading costs a download. The
// returned Base works as long as dir exists.
func (b Base) Store(ctx context.Context, dir string) (Base, error) {
	if err := ctx.Err(); err != nil {
		return Base{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Base{}, fmt.Errorf("storing base image %s: %w", b.Name, err)
	}
	stored, err := storeLayout(b.Image, dir)
	if err != nil {
		return Base{}, fmt.Errorf("storing base image %s: %w", b.Name, err)
	}
	b.Image = stored
	return b, nil
}

func storeLayout(img v1.Image, dir string) (v1.Image, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	path, err := layout.FromPath(dir)
	if err != nil {
		path, err = layout.Write(dir, emptyIndex)
	}
	if err != nil {
		return nil, err
	}
	if err := path.AppendImage(img); err != nil {
		return nil, err
	}
	return path.Image(digest)
}

// checkPlatform returns the configuration of img, and an error where img is not for linux/amd64.
func checkPlatform(name string, img v1.Image) (*v1.ConfigFile, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of %s: %w", name, err)
	}
	if cfg.OS != imageOS || cfg.Architecture != imageArch {
		return nil, fault.Wrap(
			fmt.Errorf("%s is for %s/%s, not %s/%s", name, cfg.OS, cfg.Architecture, imageOS, imageArch),
			"name an image (or an index that has one) for linux/amd64: Neuron devices exist on no other platform")
	}
	return cfg, nil
}
