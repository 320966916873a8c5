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
	Package   string // "sha256:..." of the driver's package, as the image says; "" if it does not
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
		return nil, fault.AsPrerequisite(fmt.Errorf("make a folder for the image: %w", err))
	}
	defer os.RemoveAll(dir)
	// Once it is here, what is wrong is the image's fault and not the registry's.
	local, err := image.Base{Name: reference, Image: img, Digest: digest}.Store(ctx, dir)
	if err != nil {
		return nil, registry.Classify(err)
	}
	r := &VerifyResult{Reference: reference, Digest: digest}
	if err := r.check(ctx, local.Image); err != nil {
		return nil, fault.AsIncomplete(fmt.Errorf("%s is not a good kmod image: %w", reference, err))
	}
	return r, nil
}

// check holds an image against its own labels, down to the module's version and vermagic, and notes what they say.
func (r *VerifyResult) check(ctx context.Context, img v1.Image) error {
	cfg, err := img.ConfigFile()
	if err != nil {
		return err
	}
	labels := cfg.Config.Labels
	if r.Driver, err = version.ParseDriver(labels[image.LabelDriver]); err != nil {
		return fmt.Errorf("label %s: %w", image.LabelDriver, err)
	}
	if r.Kernel, err = kernel.Parse(labels[image.LabelKernel]); err != nil {
		return fmt.Errorf("label %s: %w", image.LabelKernel, err)
	}
	if err := image.Verify(ctx, img, r.Driver, r.Kernel); err != nil {
		return err
	}
	r.Package = labels[image.LabelPackageDigest]
	data, err := image.Module(ctx, img, r.Kernel)
	if err != nil {
		return err
	}
	info, err := module.Inspect(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return fmt.Errorf("inspect %s: %w", image.ModulePath(r.Kernel), err)
	}
	return info.Check(r.Driver, r.Kernel)
}
