package cli

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/report"
)

func newCatalogMirror(a *app) *cobra.Command {
	var (
		r            action.MirrorRequest
		output, sets string
	)
	cmd := &cobra.Command{
		Use:   "mirror DESTINATION [DRIVER_VERSION|all [OCP_VERSION]]",
		Short: "Copy Driver Toolkits, or kmod images, to where there is no internet",
		Long: `Mirror copies the Driver Toolkits of the wanted releases into one repository, or
into a folder that can be carried. A copy has its original's digest and the
OpenShift release as its tag. With --kmod it copies the published kmod images of
the plan instead, which keep their tags.

DESTINATION is ecr, REGISTRY/REPOSITORY or oci:DIR. What is there is not sent
again, and what images share is sent once. A run that was stopped is finished by
running it again. An image that fails does not stop the others; the exit code is
then 1. Only images for x86_64 are copied.`,
		Example: `  neuron-kmod catalog mirror ecr --create-repository
  neuron-kmod catalog mirror registry.example.com/mirror/driver-toolkit all 4.20 --kernels-only
  neuron-kmod catalog mirror oci:carry/dtk
  neuron-kmod catalog mirror registry.example.com/mirror/driver-toolkit --from oci:carry/dtk
  neuron-kmod catalog mirror registry.example.com/mirror/neuron-kmod --kmod --mirror-set sets.yaml`,
		Args: exactly(1, 3, "a destination, and perhaps a driver version or all, and an OpenShift version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Destination, r.Sets = args[0], sets != ""
			setSelection(&r.Selection, args[1:])
			return a.mirror(cmd, r, output, sets)
		},
	}
	a.fileFlags(cmd, &r.Selection.Matrix, &r.Selection.Catalog)
	f := cmd.Flags()
	f.StringSliceVar(&r.Minors, "minors", nil, "also the releases of these `minors`, such as 4.22, whatever the matrix says")
	f.BoolVar(&r.KernelsOnly, "kernels-only", false, "one Driver Toolkit for each kernel, one that is there already or that of the newest release: enough to build for all of them")
	f.BoolVar(&r.Kmod, "kmod", false, "copy the published kmod images instead of Driver Toolkits")
	f.StringVar(&r.From, "from", "", "copy from this `place` (ecr, ecr-public, REGISTRY/REPOSITORY or oci:DIR); by default Driver Toolkits from where the catalogue says, kmod images from ecr-public")
	f.StringVar(&sets, "mirror-set", "", "also write the ImageDigestMirrorSet, and for kmod images the ImageTagMirrorSet, to this `file`; - is stdout, instead of the table")
	f.BoolVar(&r.Force, "force", false, "replace images in the destination whose tag leads to another digest")
	f.BoolVar(&r.Create, "create-repository", false, "with destination ecr, create the repository if it is missing: immutable tags, images scanned on push")
	f.BoolVar(&r.DryRun, "dry-run", false, "only tell what would be copied")
	f.IntVar(&r.Jobs, "jobs", 2, "`images` to copy at the same time")
	f.StringVarP(&output, "output", "o", "table", "`format` of the result: table or json")
	return cmd
}

func (a *app) mirror(cmd *cobra.Command, r action.MirrorRequest, output, sets string) error {
	if err := checkOutput(output, "table", "json"); err != nil {
		return err
	}
	if sets == "-" && output == "json" {
		return fault.AsUsage(fault.Wrap(errors.New("--mirror-set - and --output json both write to stdout"), "give --mirror-set a file"))
	}
	result, err := action.Mirror(cmd.Context(), a.env(), r)
	if result == nil {
		return err
	}
	if werr := a.writeMirror(result, output, sets); werr != nil {
		return errors.Join(err, werr)
	}
	return err
}

// writeMirror writes the mirror sets and the report.
func (a *app) writeMirror(result *action.MirrorResult, output, sets string) error {
	if result.Sets != nil {
		if err := a.writeSets(result, sets); err != nil {
			return err
		}
	}
	switch {
	case sets == "-":
		a.log.Info(result.Report.Summary())
		for _, m := range result.Report.Images {
			if m.Error != "" {
				a.log.Error(string(m.State), "tag", m.Tag, "error", m.Error)
			}
		}
		return nil
	case output == "json":
		return report.MirrorJSON(a.stdout, result.Report)
	}
	return report.MirrorTable(a.stdout, result.Report)
}

// writeSets writes the mirror sets to a file, or as - to stdout.
func (a *app) writeSets(result *action.MirrorResult, file string) error {
	var text bytes.Buffer
	if err := report.MirrorSets(&text, result); err != nil {
		return err
	}
	if file == "-" {
		_, err := a.stdout.Write(text.Bytes())
		return err
	}
	if err := renameio.WriteFile(file, text.Bytes(), 0o644); err != nil {
		return fault.AsUsage(fmt.Errorf("--mirror-set: %w", err))
	}
	return nil
}
