package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/catalog"
	"neuron-kmod/internal/hint"
	"neuron-kmod/internal/registry"
	"neuron-kmod/internal/upkeep"
)

// catalogVerifyOptions are the flags of catalog verify.
type catalogVerifyOptions struct{ catalogOptions }

func newCatalogVerify(a *app) *cobra.Command {
	o := &catalogVerifyOptions{catalogOptions: catalogOptions{app: a}}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare the catalogue with the Driver Toolkits and the nodes' kernels",
		Long: `Verify looks at each entry of the matrix's minors: its Driver Toolkit exists, is
for the kernel that is recorded, and that is the kernel that the release's nodes
boot. Where nodes boot another one, the entry is marked with it, and plan and
build warn; the mark is taken away when it is no longer true. No image is pulled.

What cannot be known, for want of credentials or of a label, is listed and is no
error. The exit code is 1 where something differs, is missing, or could not be
found out now.`,
		Example: `  neuron-kmod catalog verify
  neuron-kmod catalog verify --minors 4.20 --check -o json`,
		Args: exactly(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.minors, "minors", nil, "these minor `releases` in place of those of the matrix: 4.20,4.21 (repeatable)")
	f.BoolVar(&o.check, "check", false, "do not write marks into the catalogue")
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
	if _, err := catalog.Load(o.Catalog); err != nil {
		return invalid{err}
	}
	c, err := o.openCatalog()
	if err != nil {
		return err
	}
	s, err := o.open()
	if err != nil {
		return err
	}
	before := slices.SortedFunc(slices.Values(c.Entries), catalog.Entry.Compare)
	r := verified{Catalog: c.Path}
	if r.Entries, err = o.verify(ctx, s, c, upkeep.Scope{Selectors: sorted(selectors), PreReleases: true}); err != nil {
		return err
	}
	if r.marks = marks(before, c.Entries); r.marks > 0 && !o.check {
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
func (o *catalogVerifyOptions) verify(ctx context.Context, s *session, c *catalog.File, scope upkeep.Scope) ([]upkeep.Finding, error) {
	keeper, steps, err := o.keeper(s)
	if err != nil {
		return nil, err
	}
	defer steps.Close()
	findings, err := keeper.Verify(ctx, &c.Catalog, scope)
	return append([]upkeep.Finding{}, findings...), registry.Classify(err)
}

// marks counts the marks that have come, changed or gone; both lists are of the
// same entries, in order.
func marks(before, after []catalog.Entry) int {
	n := 0
	for i, e := range after {
		if e.NodeKernel != before[i].NodeKernel {
			n++
		}
	}
	return n
}

// verified is the result of catalog verify.
type verified struct {
	Catalog string           `json:"catalog"`
	Written bool             `json:"written"` // whether marks were written
	Entries []upkeep.Finding `json:"entries"`

	marks int // that are not as they were
}

// count returns how many entries are in a state.
func (r verified) count(s upkeep.State) int {
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
	for _, s := range []upkeep.State{upkeep.OK, upkeep.Mismatch, upkeep.Gone, upkeep.Failed, upkeep.Unknown} {
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
		text += fmt.Sprintf("; %s written", count(r.marks, "mark"))
	case r.marks > 0:
		text += fmt.Sprintf("; %s not written", count(r.marks, "mark"))
	}
	return text
}

// verdict turns what is wrong into the exit code 1.
func (r verified) verdict() error {
	wrong, failed := r.count(upkeep.Mismatch)+r.count(upkeep.Gone), r.count(upkeep.Failed)
	switch {
	case wrong > 0:
		return incomplete{hint.Wrap(fmt.Errorf("%d of %d entries of %s are not as they should be", wrong, len(r.Entries), r.Catalog),
			"`neuron-kmod catalog update --refresh` corrects Driver Toolkits and kernels; where nodes boot another kernel, plan warns")}
	case failed > 0:
		return incomplete{fmt.Errorf("%d of %d entries of %s could not be checked now", failed, len(r.Entries), r.Catalog)}
	case len(r.Entries) == 0:
		return incomplete{hint.Wrap(errors.New(r.Catalog+" has no entry of these releases"), "run `neuron-kmod catalog update`")}
	}
	return nil
}
