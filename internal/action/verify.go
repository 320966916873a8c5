package action

import (
	"bytes"
	"context"
	"fmt"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/kmod/module"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// VerifyResult is what a good kmod image is.
type VerifyResult struct {
	Reference string
	Digest    string // "sha256:..."
	Driver    version.Driver
	Kernel    kernel.Version
}

// Verify checks that an image, REGISTRY/REPOSITORY:TAG or oci:DIR:TAG, is one that KMM can load. An image that is not good
// is an error of the kind fault.Incomplete. It blocks on the network.
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
