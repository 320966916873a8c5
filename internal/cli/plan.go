package cli

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/report"
)

// githubMatrix is the format of plan for the jobs of a workflow.
const githubMatrix = "github-matrix"

func newPlan(a *app) *cobra.Command {
	var (
		r      action.PlanRequest
		output string
		force  bool
	)
	cmd := &cobra.Command{
		Use:   "plan [DRIVER_VERSION|all [OCP_VERSION]]",
		Short: "Show what build would do, and why",
		Example: `  neuron-kmod plan --target quay.io/me/neuron-kmod
  neuron-kmod plan 2.24.7.0 4.20 --target quay.io/me/neuron-kmod
  neuron-kmod plan all 4.20.16 --target oci:images -o json`,
		Args: exactly(0, 2, "at most a driver version and an OpenShift version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			setSelection(&r.Selection, args)
			if err := checkOutput(output, "table", "json", githubMatrix); err != nil {
				return err
			}
			p, err := action.Plan(cmd.Context(), a.env(), r)
			if err != nil {
				return err
			}
			if output != githubMatrix {
				if err := report.Plan(a.stdout, output, p); err != nil {
					return err
				}
				return action.Complete(p)
			}
			// That releases are unresolved fails nothing here: the jobs build what can be built, and the release says what is
			// missing.
			var matrix bytes.Buffer
			jobs, err := report.JobMatrix(&matrix, p, force)
			if err != nil {
				return err
			}
			if _, err := a.stdout.Write(matrix.Bytes()); err != nil {
				return err
			}
			return errors.Join(
				a.workflow.SetOutput("matrix", strings.TrimSpace(matrix.String())),
				a.workflow.SetOutput("jobs", strconv.Itoa(jobs)),
			)
		},
	}
	a.fileFlags(cmd, &r.Selection.Matrix, &r.Selection.Catalog)
	a.targetFlags(cmd, &r.Target, &r.ToolkitMirror)
	kernelFlag(cmd, &r.Selection.Kernels)
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "table",
		"`format` of the result: table, json, or github-matrix for a job matrix in GitHub Actions")
	f.BoolVar(&force, "force", a.settings.Force, "with -o github-matrix, include published images too (FORCE_BUILD)")
	return cmd
}

// fileFlags name the two files.
func (a *app) fileFlags(cmd *cobra.Command, matrix, catalog *string) {
	f := cmd.Flags()
	f.StringVar(matrix, "matrix", a.settings.Matrix, "`file` that lists the OpenShift versions for each driver")
	f.StringVar(catalog, "catalog", a.settings.Catalog, "`file` that lists the Driver Toolkit of each OpenShift release")
}

// targetFlags name the target, and the mirror of Driver Toolkits.
func (a *app) targetFlags(cmd *cobra.Command, target, mirror *string) {
	f := cmd.Flags()
	f.StringVar(target, "target", a.settings.Target,
		"where to publish images: ecr, ecr-public, `REGISTRY/REPOSITORY` or oci:DIR")
	f.StringVar(mirror, "toolkit-mirror", "",
		"prefer Driver Toolkits from this `REGISTRY/REPOSITORY`; `catalog mirror` fills it")
}

func kernelFlag(cmd *cobra.Command, kernels *[]string) {
	cmd.Flags().StringSliceVar(kernels, "kernel", nil, "only this `kernel`, as uname -r prints it (repeatable)")
}

// setSelection takes a driver and an OpenShift version from a command's arguments.
func setSelection(s *action.Selection, args []string) {
	s.Driver = "all"
	if len(args) > 0 {
		s.Driver = args[0]
	}
	if len(args) > 1 {
		s.OCP = args[1]
	}
}
