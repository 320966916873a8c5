package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/catalogsync"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
)

// catalogVerifyOptions are the flags of catalog verify.
type catalogVerifyOptions struct{ catalogOptions }

func newCatalogVerify(a *app) *cobra.Command {
	o := &catalogVerifyOptions{catalogOptions: catalogOptions{app: a}}
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
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.minors, "minors", nil, "these minor `releases` in place of those of the matrix: 4.20,4.21 (repeatable)")
	f.BoolVar(&o.check, "check", false, "write nothing: neither corrections nor marks")
	return cmd
}

func (o *catalogVerifyOptions) run(ctx context.Context) error {
	if err := checkFormat(o.output, "text", "json"); err != nil {
		return err
	}
	selectors, err := o.named()
	if err != nil {
		return err
	}
	if len(selectors) == 0 {
		if selectors, err = o.ofMatrix(false); err != nil {
			return err
		}
	}
	c, err := catalog.OpenExisting(o.Catalog)
	if err != nil {
		return invalid{err}
	}
	s, err := o.open()
	if err != nil {
		return err
	}
	before := slices.SortedFunc(slices.Values(c.Entries), catalog.Entry.Compare)
	r := verified{Catalog: c.Path}
	if r.Entries, err = o.verify(ctx, s, c, catalogsync.Scope{Selectors: sorted(selectors), PreReleases: true}); err != nil {
		return err
	}
	r.changes = changesOf(before, c.Entries)
	if r.changes != (changes{}) && !o.check {
		if r.Written, err = save(c); err != nil {
			return err
		}
	}
	if err := o.write(r); err != nil {
		return err
	}
	return r.verdict()
}

// verify asks, and shows how far it is.
func (o *catalogVerifyOptions) verify(ctx context.Context, s *session, c *catalog.File, scope catalogsync.Scope) ([]catalogsync.Finding, error) {
	keeper, steps, err := o.keeper(s)
	if err != nil {
		return nil, err
	}
	defer steps.Close()
	findings, err := keeper.Verify(ctx, &c.Catalog, scope)
	return append([]catalogsync.Finding{}, findings...), registry.Classify(err)
}

// changes counts what a verification has changed in a catalogue.
type changes struct {
	marks    int // have come, changed or gone
	kernels  int // gave way to those of the Driver Toolkits
	toolkits int // gave way to those of the releases
}

// changesOf compares lists of the same entries, in order.
func changesOf(before, after []catalog.Entry) (n changes) {
	for i, e := range after {
		was := before[i]
		if e.NodeKernel != was.NodeKernel {
			n.marks++
		}
		switch {
		case e.DTK != was.DTK:
			n.toolkits++
		case e.Kernel != was.Kernel:
			n.kernels++
		}
	}
	return n
}

func (n changes) String() string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{n.toolkits, "Driver Toolkit"}, {n.kernels, "kernel"}, {n.marks, "mark"}} {
		if part.n > 0 {
			parts = append(parts, format.Count(part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}

// verified is the result of catalog verify.
type verified struct {
	Catalog string                `json:"catalog"`
	Written bool                  `json:"written"` // whether corrections and marks were written
	Entries []catalogsync.Finding `json:"entries"`

	changes changes // what is not as it was, written or not
}

// count returns how many entries are in a state.
func (r verified) count(s catalogsync.State) int {
	n := 0
	for _, f := range r.Entries {
		if f.State == s {
			n++
		}
	}
	return n
}

func (o *catalogVerifyOptions) write(r verified) error {
	if o.output == "json" {
		return o.writeJSON(r)
	}
	for _, f := range r.Entries {
		for _, reason := range f.Reasons {
			fmt.Fprintf(o.stdout, "%-8s  %s: %s\n", f.State, nameOf(f.Version, f.Arch, f.Component), reason)
		}
	}
	_, err := fmt.Fprintln(o.stdout, r.summary())
	return err
}

func (r verified) summary() string {
	var parts []string
	for _, s := range []catalogsync.State{catalogsync.OK, catalogsync.Mismatch, catalogsync.Gone, catalogsync.Failed, catalogsync.Unknown} {
		if n := r.count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	text := r.Catalog + ": no entry of these releases"
	if len(parts) > 0 {
		text = r.Catalog + ": " + strings.Join(parts, ", ")
	}
	switch {
	case r.Written:
		text += fmt.Sprintf("; %s written", r.changes)
	case r.changes != (changes{}):
		text += fmt.Sprintf("; %s not written", r.changes)
	}
	return text
}

// verdict turns what is wrong into the exit code 1. Where nothing could be checked the service has failed.
func (r verified) verdict() error {
	wrong, failed := r.count(catalogsync.Mismatch)+r.count(catalogsync.Gone), r.count(catalogsync.Failed)
	switch {
	case wrong > 0:
		return incomplete{fault.Wrap(fmt.Errorf("%d of %d entries of %s were not as they should be", wrong, len(r.Entries), r.Catalog), r.advice())}
	case failed > 0 && failed == len(r.Entries):
		return fault.Wrap(fmt.Errorf("no entry of %s could be checked", r.Catalog), "the reasons are above; run it again later")
	case failed > 0:
		return incomplete{fmt.Errorf("%d of %d entries of %s could not be checked now", failed, len(r.Entries), r.Catalog)}
	case len(r.Entries) == 0:
		return incomplete{fault.Wrap(errors.New(r.Catalog+" has no entry of these releases"), "run `neuron-kmod catalog update`")}
	}
	return nil
}

// advice says what is left to do about entries that were wrong.
func (r verified) advice() string {
	const lasting = "where nodes boot another kernel, plan goes by that and warns; where a Driver Toolkit is missing, a build takes another one for the same kernel"
	switch {
	case r.Written:
		return "what the file said wrongly is corrected in it; " + lasting
	case r.changes != (changes{}):
		return "without --check the file is corrected and marked"
	}
	return lasting
}
