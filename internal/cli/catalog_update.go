package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/catalogsync"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// catalogUpdateOptions are the flags of catalog update.
type catalogUpdateOptions struct {
	catalogOptions
	archs       []string
	skip        []string // releases
	preReleases bool
	refresh     bool
}

func newCatalogUpdate(a *app) *cobra.Command {
	o := &catalogUpdateOptions{catalogOptions: catalogOptions{app: a}}
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
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.minors, "minors", nil, "these minor `releases`, too, beside those of the matrix: 4.20,4.21 (repeatable)")
	f.StringSliceVar(&o.archs, "arch", []string{arch}, "`architectures` of releases: x86_64, aarch64, ppc64le, s390x (repeatable)")
	f.BoolVar(&o.preReleases, "pre-releases", false, "engineering, feature and release candidates, too")
	f.StringSliceVar(&o.skip, "skip", nil, "leave out these `releases`, which are broken for good: 4.20.7,4.20.8 (repeatable)")
	f.BoolVar(&o.refresh, "refresh", false, "ask again for releases and kernels that the catalogue has, and correct it")
	f.BoolVar(&o.check, "check", false, "write nothing; exit 1 if the catalogue is not up to date")
	return cmd
}

func (o *catalogUpdateOptions) run(ctx context.Context) error {
	if err := checkFormat(o.output, "text", "json"); err != nil {
		return err
	}
	scope, err := o.scope()
	if err != nil {
		return err
	}
	c, err := o.openCatalog()
	if err != nil {
		return err
	}
	s, err := o.open()
	if err != nil {
		return err
	}
	u, err := o.update(ctx, s, c, scope)
	if err != nil {
		return err
	}
	r := updated{
		Catalog: c.Path, Changes: append([]catalogsync.Change{}, u.Changes...), Unreadable: append([]catalogsync.Trouble{}, u.Unreadable...),
		Vanished: append([]catalogsync.Trouble{}, u.Vanished...), Refused: append([]catalogsync.Trouble{}, u.Refused...),
		Missing: append([]version.Selector{}, u.Missing...),
	}
	if r.Drift, err = c.Differs(); err != nil {
		return invalid{err}
	}
	if !o.check {
		if r.Written, err = save(c); err != nil {
			return err
		}
	}
	o.warn(u)
	if err := o.write(r); err != nil {
		return err
	}
	return r.verdict(o.check)
}

// update asks the releases, and shows how far it is.
func (o *catalogUpdateOptions) update(ctx context.Context, s *session, c *catalog.File, scope catalogsync.Scope) (*catalogsync.Update, error) {
	keeper, steps, err := o.keeper(s)
	if err != nil {
		return nil, err
	}
	defer steps.Close()
	u, err := keeper.Update(ctx, &c.Catalog, scope, o.refresh)
	return u, classifyKeeping(err)
}

func (o *catalogUpdateOptions) scope() (catalogsync.Scope, error) {
	for _, a := range o.archs {
		if err := catalog.CheckArch(a); err != nil {
			return catalogsync.Scope{}, usage{fmt.Errorf("--arch: %w", err)}
		}
	}
	named, err := o.named()
	if err != nil {
		return catalogsync.Scope{}, err
	}
	var skip []version.OCP
	for _, text := range o.skip {
		v, err := version.ParseOCP(text)
		if err != nil {
			return catalogsync.Scope{}, usage{fault.Wrap(fmt.Errorf("--skip: %w", err), "name releases in full, such as --skip 4.20.7")}
		}
		skip = append(skip, v)
	}
	selectors, err := o.ofMatrix(len(named) > 0)
	return catalogsync.Scope{Selectors: sorted(append(selectors, named...)), Archs: o.archs, PreReleases: o.preReleases, Skip: skip}, err
}

// warn tells what a person should know who does not read the result.
func (o *catalogUpdateOptions) warn(u *catalogsync.Update) {
	for _, m := range u.Missing {
		if slices.Contains(o.skip, m.String()) {
			o.log.Warn("--skip names a release that is not there", "release", m, "repository", o.from)
			continue
		}
		o.log.Warn("there is no such release yet", "release", m, "repository", o.from)
	}
	if len(u.Refused) > 0 {
		first := u.Refused[0]
		o.log.Warn("kernels are not recorded, because their Driver Toolkits cannot be read with these credentials",
			"toolkits", len(u.Refused), "reason", fault.Text(withQuayAdvice(cmp.Or(o.images, first.DTK), first.Err())))
	}
	for _, t := range u.Unreadable {
		what := "a release cannot be read"
		if t.DTK != "" {
			what = "the Driver Toolkit of a release cannot be read"
		}
		o.log.Error(what, "release", t.Version, "arch", t.Arch, "reason", t.Reason)
	}
}

// updated is the result of catalog update.
type updated struct {
	Catalog    string                `json:"catalog"`
	Drift      bool                  `json:"drift"`   // whether the file was not as it should be
	Written    bool                  `json:"written"` // whether it is now
	Changes    []catalogsync.Change  `json:"changes"`
	Unreadable []catalogsync.Trouble `json:"unreadable"`
	Refused    []catalogsync.Trouble `json:"kernel_unknown"`
	Vanished   []catalogsync.Trouble `json:"vanished"`
	Missing    []version.Selector    `json:"no_release"`
}

func (o *catalogUpdateOptions) write(r updated) error {
	if o.output == "json" {
		return o.writeJSON(r)
	}
	var sb strings.Builder
	tw := tabwriter.NewWriter(&sb, 0, 4, 2, ' ', 0)
	for _, c := range r.Changes {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", c.What, nameOf(c.Version, c.Arch, c.Component), kernelText(c.Kernel.String()), was(c))
	}
	for _, t := range r.Unreadable {
		fmt.Fprintf(tw, "unreadable\t%s\t%s\n", nameOf(t.Version, t.Arch, t.Component), t.Reason)
	}
	for _, t := range r.Vanished {
		fmt.Fprintf(tw, "vanished\t%s\t%s\n", nameOf(t.Version, t.Arch, t.Component), t.Reason)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(sb.String()) {
		fmt.Fprintln(o.stdout, strings.TrimRight(line, " \n"))
	}
	_, err := fmt.Fprintln(o.stdout, r.summary())
	return err
}

func (o *catalogOptions) writeJSON(v any) error {
	enc := json.NewEncoder(o.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// nameOf names an entry, without what is usual.
func nameOf(v version.OCP, of, component string) string {
	name := v.String()
	if of != arch {
		name += " " + of
	}
	if component != "" {
		name += " " + component
	}
	return name
}

func kernelText(k string) string {
	if k == "" {
		return "(kernel not known)"
	}
	return k
}

// was tells what an entry had before.
func was(c catalogsync.Change) string {
	var parts []string
	if !c.WasKernel.IsZero() {
		parts = append(parts, "was "+c.WasKernel.String())
	}
	if c.WasDTK != "" {
		parts = append(parts, "another Driver Toolkit")
	}
	return strings.Join(parts, ", ")
}

// summary says in one line what was found and done.
func (r updated) summary() string {
	n := map[string]int{}
	for _, c := range r.Changes {
		n[c.What]++
	}
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	add(n[catalogsync.Added], "added")
	add(n[catalogsync.Changed], "changed")
	add(n[catalogsync.Single], "with a single Driver Toolkit")
	if n[catalogsync.Learnt] > 0 {
		parts = append(parts, format.Count(n[catalogsync.Learnt], "kernel")+" learnt")
	}
	if r.Drift && len(r.Changes) == 0 {
		parts = append(parts, "order or layout of the file")
	}
	unreadable := r.unreadable()
	if !r.Drift && len(unreadable) == 0 {
		parts = append(parts, "up to date")
	} else if !r.Drift {
		parts = append(parts, "nothing new in what could be read")
	}
	for _, what := range unreadable {
		parts = append(parts, what+" unreadable")
	}
	add(len(r.Vanished), "vanished")
	add(len(r.Refused), "without a kernel for want of credentials")
	text := r.Catalog + ": " + strings.Join(parts, ", ")
	if r.Drift && !r.Written {
		text += "; nothing was written"
	}
	return text
}

// unreadable counts the releases and the Driver Toolkits that could not be read.
func (r updated) unreadable() []string {
	releases, toolkits := 0, map[string]bool{}
	for _, t := range r.Unreadable {
		if t.DTK == "" {
			releases++
		} else {
			toolkits[t.DTK] = true
		}
	}
	var parts []string
	if releases > 0 {
		parts = append(parts, format.Count(releases, "release"))
	}
	if len(toolkits) > 0 {
		parts = append(parts, format.Count(len(toolkits), "Driver Toolkit"))
	}
	return parts
}

// verdict turns what is wrong into the exit code 1.
func (r updated) verdict(check bool) error {
	switch {
	case len(r.Unreadable) > 0:
		advice := "run it again later, when what the releases are made of can be read: at quay.io, or in the mirror that --images-from names"
		if i := slices.IndexFunc(r.Unreadable, func(t catalogsync.Trouble) bool { return t.DTK == "" }); i >= 0 {
			advice = fmt.Sprintf("run it again later; a release that is broken for good is left out with --skip %s", r.Unreadable[i].Version)
		}
		return incomplete{fault.Wrap(fmt.Errorf("%s could not be read", strings.Join(r.unreadable(), " and ")), advice)}
	case check && r.Drift:
		return incomplete{fault.Wrap(errors.New(r.Catalog+" is not up to date"), "run `neuron-kmod catalog update`")}
	}
	return nil
}
