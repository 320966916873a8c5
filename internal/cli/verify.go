package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/kmod/module"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/version"
)

func newVerify(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify IMAGE",
		Short: "Check that a kmod image is one that KMM can load",
		Long: `Verify reads an image, REGISTRY/REPOSITORY:TAG or oci:DIR:TAG, and checks that
it holds the module its labels promise, where modprobe looks for it: the driver's
version, the kernel, depmod's files, the platform.`,
		Example: `  neuron-kmod verify quay.io/me/neuron-kmod:2.24.7.0-5.14.0-570.96.1.el9_6.x86_64`,
		Args:    exactly(1, 1, "one image"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), a, args[0])
		},
	}
}

func runVerify(ctx context.Context, a *app, reference string) error {
	a.AnonymousPublic = true // who only reads ECR Public needs no credentials
	s, err := a.open()
	if err != nil {
		return err
	}
	img, digest, err := s.image(ctx, reference)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(a.TempDir, "neuron-kmod-verify-")
	if err != nil {
		return prerequisite{fmt.Errorf("make a folder for the image: %w", err)}
	}
	defer os.RemoveAll(dir)
	// Once it is here, what is wrong is the image's fault and not the registry's.
	local, err := image.Base{Name: reference, Image: img, Digest: digest}.Store(ctx, dir)
	if err != nil {
		return registry.Classify(err)
	}
	driver, kernelVersion, err := check(ctx, local.Image)
	if err != nil {
		return incomplete{fmt.Errorf("%s is not a good kmod image: %w", reference, err)}
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n  digest  %s\n  driver  %s\n  kernel  %s\n", reference, digest, driver, kernelVersion)
	return err
}

// check holds an image against its own labels, down to the module's version and
// vermagic.
func check(ctx context.Context, img v1.Image) (version.Driver, kernel.Version, error) {
	d, k, err := labelled(img)
	if err != nil {
		return d, k, err
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

// labelled reads from an image's labels which driver and kernel it is for.
func labelled(img v1.Image) (version.Driver, kernel.Version, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return version.Driver{}, kernel.Version{}, err
	}
	d, err := version.ParseDriver(cfg.Config.Labels[image.LabelDriver])
	if err != nil {
		return version.Driver{}, kernel.Version{}, fmt.Errorf("label %s: %w", image.LabelDriver, err)
	}
	k, err := kernel.Parse(cfg.Config.Labels[image.LabelKernel])
	if err != nil {
		return version.Driver{}, kernel.Version{}, fmt.Errorf("label %s: %w", image.LabelKernel, err)
	}
	return d, k, nil
}
