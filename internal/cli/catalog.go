package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/report"
)

func newCatalog(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalog",
		Short: "Maintain the catalogue of Driver Toolkits, and mirrors of them",
		Args: func(cmd *cobra.Command, args []string) error {
			err := errors.New("catalog needs a command")
			if len(args) > 0 {
				err = fmt.Errorf("there is no command %q", args[0])
			}
			return fault.AsUsage(fault.Wrap(err, "see `"+cmd.CommandPath()+" --help`"))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCatalogMirror(a), newCatalogUpdate(a), newCatalogVerify(a))
	return cmd
}

// catalogFlags are what the commands have in common that compare the catalogue with OpenShift's releases.
func (a *app) catalogFlags(cmd *cobra.Command, r *action.CatalogRequest, output *string) {
	a.fileFlags(cmd, &r.Matrix, &r.Catalog)
	f := cmd.Flags()
	f.StringVar(&r.From, "from", action.ReleaseRepository,
		"`repository` of the OpenShift release images, or a mirror of it with the same tags; see --images-from")
	f.StringVar(&r.Images, "images-from", "", "read Driver Toolkits and node images by digest from this "+
		"`REGISTRY/REPOSITORY` (default: quay.io, as the releases say)")
	f.StringVarP(output, "output", "o", "text", "`format` of the result: text or json")
}

func newCatalogUpdate(a *app) *cobra.Command {
	var (
		r      action.UpdateCatalogRequest
		output string
	)
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Add new OpenShift releases to the catalogue",
		Long: `Update finds the releases of the matrix's minors that are not in the catalogue,
and adds each with its Driver Toolkits and their kernels. It pulls no image and
removes no entry. It does not ask again for what the catalogue has, with two
exceptions: an entry without a kernel is completed once its Driver Toolkit can be
read, and a release of OpenShift 5 or later with one Driver Toolkit is checked
once for a second one. The file is sorted, and written only if it changes.

Reading a Driver Toolkit requires a Red Hat pull secret. Without it, releases are
recorded without their kernels; a warning says so. If a release cannot be read,
the others are recorded and the exit code is 1. Use --skip for a release that
will never be readable.

--from names a mirror of the release images only. The images that releases are
made of are read from quay.io, or from the mirror that --images-from names. The
catalogue always records them under their original names.`,
		Example: `  neuron-kmod catalog update
  neuron-kmod catalog update --minors 4.22 --pre-releases
  neuron-kmod catalog update --skip 4.20.7
  neuron-kmod catalog update --from registry.example.com/openshift4 --images-from registry.example.com/openshift4
  neuron-kmod catalog update --check -o json`,
		Args: exactly(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "text", "json"); err != nil {
				return err
			}
			updated, err := action.UpdateCatalog(cmd.Context(), a.env(), r)
			if err != nil {
				return err
			}
			if output == "json" {
				err = report.JSON(a.stdout, "the result", updated)
			} else {
				err = report.UpdatedText(a.stdout, updated)
			}
			if err != nil {
				return err
			}
			return updated.Verdict(r.Catalog.Check)
		},
	}
	a.catalogFlags(cmd, &r.Catalog, &output)
	f := cmd.Flags()
	f.StringSliceVar(&r.Catalog.Minors, "minors", nil,
		"minor `releases` in addition to those of the matrix: 4.20,4.21 (repeatable)")
	f.StringSliceVar(&r.Archs, "arch", []string{"x86_64"},
		"`architectures` of releases: x86_64, aarch64, ppc64le, s390x (repeatable)")
	f.BoolVar(&r.PreReleases, "pre-releases", false,
		"include engineering candidates, feature candidates and release candidates")
	f.StringSliceVar(&r.Skip, "skip", nil,
		"`releases` to leave out because they will never be readable: 4.20.7,4.20.8 (repeatable)")
	f.BoolVar(&r.Refresh, "refresh", false, "read again what the catalogue has, and correct it")
	f.BoolVar(&r.Catalog.Check, "check", false, "write nothing; exit with 1 if the catalogue is out of date")
	return cmd
}

func newCatalogVerify(a *app) *cobra.Command {
	var (
		r      action.CatalogRequest
		output string
	)
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare the catalogue with the Driver Toolkits and the nodes' kernels",
		Long: `Verify checks each entry of the matrix's minors: its Driver Toolkit exists,
belongs to the release and is for the recorded kernel, and the nodes of the
release boot that kernel. It pulls no image.

It corrects the file: a wrong kernel, and a Driver Toolkit of another release. If
nodes boot another kernel than the Driver Toolkit is for, it marks the entry with
that kernel; plan and build then use it and say so. It removes the mark when it is
no longer true. An entry whose Driver Toolkit is gone is listed and kept. --check
writes nothing.

What cannot be checked without credentials, or because a label is missing, is
listed and is not an error. The exit code is 1 if something was wrong, even if it
is corrected now, is missing, or could not be checked.

Without access to quay.io, use --images-from with --from, as for catalog update.`,
		Example: `  neuron-kmod catalog verify
  neuron-kmod catalog verify --minors 4.20 --check -o json`,
		Args: exactly(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "text", "json"); err != nil {
				return err
			}
			verified, err := action.VerifyCatalog(cmd.Context(), a.env(), r)
			if err != nil {
				return err
			}
			if output == "json" {
				err = report.JSON(a.stdout, "the result", verified)
			} else {
				err = report.VerifiedText(a.stdout, verified)
			}
			if err != nil {
				return err
			}
			return verified.Verdict()
		},
	}
	a.catalogFlags(cmd, &r, &output)
	f := cmd.Flags()
	f.StringSliceVar(&r.Minors, "minors", nil, "minor `releases` instead of those of the matrix: 4.20,4.21 (repeatable)")
	f.BoolVar(&r.Check, "check", false, "write nothing")
	return cmd
}
