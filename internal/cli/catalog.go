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
		Short: "Look after the catalogue of Driver Toolkits, and copies of them",
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
	f.StringVar(&r.From, "from", action.ReleaseRepository, "`repository` of OpenShift's release images, or a mirror of it with the same tags; see --images-from")
	f.StringVar(&r.Images, "images-from", "", "read Driver Toolkits and node images in this `REGISTRY/REPOSITORY`, by their digests; by default where the releases say, which is at quay.io")
	f.StringVarP(output, "output", "o", "text", "`format` of the result: text or json")
}

func newCatalogUpdate(a *app) *cobra.Command {
	var (
		r      action.UpdateCatalogRequest
		output string
	)
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Bring new OpenShift releases into the catalogue",
		Long: `Update looks for releases of the matrix's minors that the catalogue does not
have, and adds each with its Driver Toolkits and their kernels. No image is
pulled. Releases that it has are not asked for again, but a release of OpenShift 5
or later with a single Driver Toolkit is looked at once for its second one, and
an entry without a kernel is completed as soon as its Driver Toolkit can be read.
Nothing is taken out. The file is written when something has changed, and sorted.

A Driver Toolkit needs a Red Hat pull secret; without it releases are recorded
without their kernels, which is told, and is no error. A release that cannot be
read is told as well, the others are recorded, and the exit code is 1. One that is
broken for good is left out from then on with --skip.

--from names a mirror of the release images alone. What they are made of is read
where they say, which needs a way to quay.io, or in the mirror that --images-from
names. The catalogue has the images under their own names in any case.`,
		Example: `  neuron-kmod catalog update
  neuron-kmod catalog update --minors 4.22 --pre-releases
  neuron-kmod catalog update --skip 4.20.7
  neuron-kmod catalog update --from registry.example.com/ocp4/openshift4 --images-from registry.example.com/ocp4/openshift4
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
	f.StringSliceVar(&r.Catalog.Minors, "minors", nil, "these minor `releases`, too, beside those of the matrix: 4.20,4.21 (repeatable)")
	f.StringSliceVar(&r.Archs, "arch", []string{"x86_64"}, "`architectures` of releases: x86_64, aarch64, ppc64le, s390x (repeatable)")
	f.BoolVar(&r.PreReleases, "pre-releases", false, "engineering, feature and release candidates, too")
	f.StringSliceVar(&r.Skip, "skip", nil, "leave out these `releases`, which are broken for good: 4.20.7,4.20.8 (repeatable)")
	f.BoolVar(&r.Refresh, "refresh", false, "ask again for releases and kernels that the catalogue has, and correct it")
	f.BoolVar(&r.Catalog.Check, "check", false, "write nothing; exit 1 if the catalogue is not up to date")
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
		Long: `Verify looks at each entry of the matrix's minors: its Driver Toolkit exists, is
the release's, is for the kernel that is recorded, and that is the kernel that
the release's nodes boot. No image is pulled.

What the catalogue says wrongly is corrected in the file: a kernel that the
Driver Toolkit is not for, and a Driver Toolkit that is not the release's. Where
nodes boot another kernel than the Driver Toolkit is for, the entry is marked
with it, and plan and build go by that kernel and say so; the mark is taken away
when it is no longer true. A Driver Toolkit that is gone is listed and left: what
is known of its kernel stays true, and where nothing is, plan tells of the
release. --check writes nothing.

What cannot be known, for want of credentials or of a label, is listed and is no
error. The exit code is 1 where something differed, though it is corrected now,
is missing, or could not be found out now.

Without a way to quay.io it wants --images-from beside --from, as catalog update
does.`,
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
	f.StringSliceVar(&r.Minors, "minors", nil, "these minor `releases` in place of those of the matrix: 4.20,4.21 (repeatable)")
	f.BoolVar(&r.Check, "check", false, "write nothing: neither corrections nor marks")
	return cmd
}
