package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/report"
)

func newDoctor(a *app) *cobra.Command {
	var (
		r      action.DoctorRequest
		output string
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check tools, credentials and registries, and say what to do",
		Long: `Doctor runs all the checks that build runs before it downloads anything, and says
for each what it found and what to do. It changes nothing: to see whether images
can be pushed, it begins an upload and cancels it.

The exit code is 4 if a build would fail, else 0.`,
		Example: `  neuron-kmod doctor
  neuron-kmod doctor --target quay.io/me/neuron-kmod -o json`,
		Args:        exactly(0, 0, "no argument"),
		Annotations: map[string]string{anyEnvironment: "told as a check that failed"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "table", "json"); err != nil {
				return err
			}
			r.Environment = a.environment
			found, err := action.Doctor(cmd.Context(), a.env(), r)
			if err != nil {
				return err
			}
			if output == "json" {
				err = report.JSON(a.stdout, "the report", found)
			} else {
				err = report.DoctorTable(a.stdout, found)
			}
			if err != nil {
				return err
			}
			if !found.OK {
				return fault.AsPrerequisite(errors.New("a build would fail"))
			}
			return nil
		},
	}
	a.fileFlags(cmd, &r.Matrix, &r.Catalog)
	a.targetFlags(cmd, &r.Target, &r.ToolkitMirror)
	a.engineFlags(cmd, &r.Engine, &r.BaseImage, &r.ContainerDir)
	cmd.Flags().StringVarP(&output, "output", "o", "table", "`format` of the report: table or json")
	return cmd
}
