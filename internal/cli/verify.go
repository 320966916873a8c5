package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/action"
)

func newVerify(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify IMAGE",
		Short: "Check that a kmod image is one that KMM can load",
		Long: `Verify reads an image, REGISTRY/REPOSITORY:TAG or oci:DIR:TAG, and checks that
it holds the module that its labels promise, in the place where modprobe looks:
driver version, kernel, depmod files and platform.`,
		Example: `  neuron-kmod verify quay.io/me/neuron-kmod:2.24.7.0-5.14.0-570.96.1.el9_6.x86_64`,
		Args:    exactly(1, 1, "one image"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := action.Verify(cmd.Context(), a.env(), args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s\n  digest  %s\n  driver  %s\n  kernel  %s\n", r.Reference, r.Digest, r.Driver,
				r.Kernel)
			return err
		},
	}
}
