package cli

import (
	"github.com/spf13/cobra"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/report"
)

func newDriver(a *app) *cobra.Command {
	var (
		r      action.DriverRequest
		output string
	)
	cmd := &cobra.Command{
		Use:   "driver DRIVER_VERSION",
		Short: "Show what is known of a driver's package",
		Long: `Driver gets the package of a driver, proves that it is signed by AWS's key or by
that of --driver-key, and shows who signed it, its files, the devices that it is
for, and the patch rules that change it on some kernels.

The digest is of what is signed, so it stays when the package is signed anew. To
pin it, give the driver's entry in the matrix "package": "sha256:...".`,
		Example: `  neuron-kmod driver 2.24.7.0
  neuron-kmod driver 2.24.7.0 --driver-source ./rpms -o json`,
		Args: exactly(1, 1, "a driver version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Driver = args[0]
			if err := checkOutput(output, "text", "json"); err != nil {
				return err
			}
			result, err := action.Driver(cmd.Context(), a.env(), r)
			if err != nil {
				return err
			}
			return report.Driver(a.stdout, output, result)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.DriverSource, "driver-source", a.settings.DriverSource,
		"`URL or directory` that holds the driver's RPMs")
	driverKeyFlag(cmd, &r.DriverKeys)
	f.StringVarP(&output, "output", "o", "text", "`format` of the result: text or json")
	return cmd
}
