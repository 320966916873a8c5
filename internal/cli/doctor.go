package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/internal/report"
)

// doctorOptions are the flags of doctor: those of build that decide whether one
// would work.
type doctorOptions struct{ buildOptions }

func newDoctor(a *app) *cobra.Command {
	o := &doctorOptions{buildOptions{planOptions: planOptions{app: a}}}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check tools, credentials and registries, and say what to do",
		Long: `Doctor makes the checks that build makes before it downloads anything, all of
them, and says for each what was found and what to do. It changes nothing: whether
images can be pushed is found out by beginning an upload and cancelling it.

The exit code is 4 if a build would fail, else 0.`,
		Example: `  neuron-kmod doctor
  neuron-kmod doctor --target quay.io/me/neuron-kmod -o json`,
		Args:        exactly(0, 0, "no argument"),
		Annotations: map[string]string{anyEnvironment: "told as a check that failed"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.placeFlags(cmd)
	o.engineFlags(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "table", "`format` of the report: table or json")
	return cmd
}

func (o *doctorOptions) run(ctx context.Context) error {
	err := o.checkOutput("table", "json")
	if err != nil {
		return err
	}
	found := doctor.NewReport(o.Describe(), o.checks(ctx))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if o.output == "json" {
		err = report.JSON(o.stdout, "the report", found)
	} else {
		err = report.DoctorTable(o.stdout, found)
	}
	if err != nil {
		return err
	}
	if !found.OK {
		return prerequisite{errors.New("a build would fail")}
	}
	return nil
}
