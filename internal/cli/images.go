package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/report"
)

func newImages(a *app) *cobra.Command {
	var (
		r      action.ImagesRequest
		output string
		check  bool
	)
	cmd := &cobra.Command{
		Use:   "images [DRIVER_VERSION|all [OCP_VERSION]]",
		Short: "Show which images are published and which are missing",
		Long: `Images lists which images of the matrix are published in the target, and which
are missing and why. The result does not name this machine, so you can publish
it; the log on stderr has the details of what could not be read.

With -o html it prints one page that loads nothing else and works from a file, a
web server or GitHub Pages: a table of releases by drivers, a search by release
or kernel, and the manifests to copy.`,
		Example: `  neuron-kmod images --target quay.io/me/neuron-kmod
  neuron-kmod images all 4.20 --target quay.io/me/neuron-kmod --check
  neuron-kmod images --target quay.io/me/neuron-kmod -o html > index.html`,
		Args: exactly(0, 2, "at most a driver version and an OpenShift version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			setSelection(&r.Selection, args)
			if err := checkOutput(output, "table", "json", "csv", "html"); err != nil {
				return err
			}
			if r.All && r.Selection.Limited() {
				return fault.AsUsage(fault.Wrap(errors.New("--all does not go with an OpenShift version or --kernel"),
					"omit one of them"))
			}
			v, err := action.Images(cmd.Context(), a.env(), r)
			if err != nil {
				return err
			}
			made := a.settings.Created
			if made.IsZero() {
				made = time.Now()
			}
			if err := report.Images(a.stdout, output, v, made); err != nil {
				return err
			}
			if check && v.Gaps() > 0 {
				return fault.AsIncomplete(errors.New(v.Summary()))
			}
			return nil
		},
	}
	a.fileFlags(cmd, &r.Selection.Matrix, &r.Selection.Catalog)
	a.targetFlags(cmd, &r.Target, &r.ToolkitMirror)
	kernelFlag(cmd, &r.Selection.Kernels)
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "table", "`format` of the result: table, json, csv or html")
	f.BoolVar(&check, "check", false, "exit with 1 if an image is missing or the kernel of a release is unknown")
	f.BoolVar(&r.All, "all", false, "also list published images that no release in the matrix needs")
	return cmd
}
