package cli

import (
	"github.com/spf13/cobra"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/report"
)

func newRelease(a *app) *cobra.Command {
	var (
		r      action.ReleaseRequest
		output string
	)
	cmd := &cobra.Command{
		Use:   "release DRIVER_VERSION|all",
		Short: "Create or update the GitHub release of a driver",
		Long: `Release creates or updates the GitHub release neuron-driver-VERSION. Its notes
list the images that are published in the target, for all releases of the matrix;
its assets are the sources that the GPL asks for. What is up to date is not
written again.

It needs GITHUB_REPOSITORY (OWNER/NAME), and GITHUB_TOKEN or GH_TOKEN with the
permission contents: write.`,
		Example: `  neuron-kmod release all --target quay.io/me/neuron-kmod
  neuron-kmod release 2.24.7.0 --dry-run`,
		Args: exactly(1, 1, "a driver version or all"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Driver, r.BaseImage = args[0], a.settings.BaseImage
			if err := checkOutput(output, "table", "json"); err != nil {
				return err
			}
			result, err := action.Release(cmd.Context(), a.env(), r)
			if err != nil {
				return err
			}
			if err := a.writeReleases(result, output, r.DryRun); err != nil {
				return err
			}
			if !r.DryRun {
				if err := a.workflow.AddSummary(report.ReleasesMarkdown(result)); err != nil {
					return err
				}
			}
			return result.Verdict(false)
		},
	}
	a.fileFlags(cmd, &r.Matrix, &r.Catalog)
	a.targetFlags(cmd, &r.Target, &r.ToolkitMirror)
	f := cmd.Flags()
	f.BoolVar(&r.DryRun, "dry-run", false, "print the notes and, with a token, what would change; change nothing")
	f.StringVar(&r.DriverSource, "driver-source", a.settings.DriverSource,
		"`URL or directory` that holds the driver's RPMs")
	f.StringVar(&r.ContainerDir, "container-dir", "",
		"`directory` with build-module.sh to use instead of the built-in one")
	f.StringVarP(&output, "output", "o", "table", "`format` of the result: table or json")
	return cmd
}

func (a *app) writeReleases(r *action.ReleaseResult, output string, dryRun bool) error {
	switch {
	case output == "json":
		return report.ReleasesJSON(a.stdout, r, dryRun)
	case dryRun:
		return report.ReleaseNotes(a.stdout, r)
	}
	return report.ReleasesTable(a.stdout, r)
}
