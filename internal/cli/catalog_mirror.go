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
		Short: "Copy Driver Toolkits or kmod images for use without internet access",
		Long: `Mirror copies Driver Toolkits into one repository, or into a directory that you
can carry. A copy keeps the digest of its original; its tag is the OpenShift
release. With --kmod it copies the published kmod images instead, which keep their
tags.

DESTINATION is ecr, REGISTRY/REPOSITORY or oci:DIR. What is already there is not
sent again, and layers that images share are sent once. To finish a run that was
interrupted, run it again. An image that fails does not stop the others; the exit
code is then 1. Only images for x86_64 are copied.`,
		Example: `  neuron-kmod catalog mirror ecr --create-repository
  neuron-kmod catalog mirror registry.example.com/mirror/driver-toolkit all 4.20 --kernels-only
  neuron-kmod catalog mirror oci:carry/dtk
  neuron-kmod catalog mirror registry.example.com/mirror/driver-toolkit --from oci:carry/dtk
  neuron-kmod catalog mirror registry.example.com/mirror/neuron-kmod --kmod --mirror-set sets.yaml`,
		Args: exactly(1, 3, "a destination, and optionally a driver version or all, and an OpenShift version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Destination, r.Sets = args[0], sets != ""
			setSelection(&r.Selection, args[1:])
			return a.mirror(cmd, r, output, sets)
		},
	}
	a.fileFlags(cmd, &r.Selection.Matrix, &r.Selection.Catalog)
	f := cmd.Flags()
	f.StringSliceVar(&r.Minors, "minors", nil, "`minors` in addition to those of the matrix, such as 4.22")
	f.BoolVar(&r.KernelsOnly, "kernels-only", false,
		"one Driver Toolkit per kernel, which is enough to build; prefer one that the destination has, else the newest")
	f.BoolVar(&r.Kmod, "kmod", false, "copy published kmod images instead of Driver Toolkits")
	f.StringVar(&r.From, "from", "", "`source` to copy from: ecr, ecr-public, REGISTRY/REPOSITORY or oci:DIR (default: "+
		"the repositories in the catalogue; for kmod images ecr-public)")
	f.StringVar(&sets, "mirror-set", "", "also write the ImageDigestMirrorSet, and for kmod images the "+
		"ImageTagMirrorSet, to this `file`; - writes it to stdout instead of the table")
	f.BoolVar(&r.Force, "force", false, "replace images in the destination whose tag leads to another digest")
	f.BoolVar(&r.Create, "create-repository", false,
		"with destination ecr, create the repository if it does not exist, with immutable tags and scan on push")
	f.BoolVar(&r.DryRun, "dry-run", false, "only show what would be copied")
	f.IntVar(&r.Jobs, "jobs", 2, "`images` to copy at the same time")
	f.StringVarP(&output, "output", "o", "table", "`format` of the result: table or json")
	return cmd
}

func (a *app) mirror(cmd *cobra.Command, r action.MirrorRequest, output, sets string) error {
	if err := checkOutput(output, "table", "json"); err != nil {
		return err
	}
	if sets == "-" && output == "json" {
		return fault.AsUsage(fault.Wrap(errors.New("--mirror-set - and --output json both write to stdout"),
			"give --mirror-set a file"))
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
