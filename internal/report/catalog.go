package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/openshift/catalogsync"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// entryName names an entry of the catalogue, without what is usual.
func entryName(v version.OCP, arch, component string) string {
	name := v.String()
	if arch != "x86_64" {
		name += " " + arch
	}
	if component != "" {
		name += " " + component
	}
	return name
}

// UpdatedText writes what an update of the catalogue has found and done, for people.
func UpdatedText(w io.Writer, u *action.Updated) error {
	var sb strings.Builder
	tw := tabwriter.NewWriter(&sb, 0, 4, 2, ' ', 0)
	for _, c := range u.Changes {
		var previous []string
		if !c.WasKernel.IsZero() {
			previous = append(previous, "was "+c.WasKernel.String())
		}
		if c.WasDTK != "" {
			previous = append(previous, "another Driver Toolkit")
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", c.What, entryName(c.Version, c.Arch, c.Component),
			cmp.Or(c.Kernel.String(), "(kernel not known)"), strings.Join(previous, ", "))
	}
	for _, t := range u.Unreadable {
		fmt.Fprintf(tw, "unreadable\t%s\t%s\n", entryName(t.Version, t.Arch, t.Component), t.Reason)
	}
	for _, t := range u.Vanished {
		fmt.Fprintf(tw, "vanished\t%s\t%s\n", entryName(t.Version, t.Arch, t.Component), t.Reason)
	}
	tw.Flush() // to a strings.Builder, which takes everything
	for line := range strings.Lines(sb.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
	n := map[string]int{}
	for _, c := range u.Changes {
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
	if n[catalogsync.KernelResolved] > 0 {
		parts = append(parts, format.Count(n[catalogsync.KernelResolved], "kernel")+" learnt")
	}
	if u.Drift && len(u.Changes) == 0 {
		parts = append(parts, "order or layout of the file")
	}
	unreadable := u.UnreadableCounts()
	if !u.Drift && len(unreadable) == 0 {
		parts = append(parts, "up to date")
	} else if !u.Drift {
		parts = append(parts, "nothing new in what could be read")
	}
	for _, what := range unreadable {
		parts = append(parts, what+" unreadable")
	}
	add(len(u.Vanished), "vanished")
	add(len(u.Refused), "without a kernel (no credentials)")
	text := u.Catalog + ": " + strings.Join(parts, ", ")
	if u.Drift && !u.Written {
		text += "; nothing was written"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// VerifiedText writes what a verification of the catalogue has found, for people.
func VerifiedText(w io.Writer, v *action.Verified) error {
	for _, f := range v.Entries {
		for _, reason := range f.Reasons {
			fmt.Fprintf(w, "%-8s  %s: %s\n", f.State, entryName(f.Version, f.Arch, f.Component), reason)
		}
	}
	counts := action.StateCounts(v.Count, catalogsync.OK, catalogsync.Mismatch, catalogsync.Gone, catalogsync.Failed,
		catalogsync.Unknown)
	text := v.Catalog + ": " + cmp.Or(counts, "no entry of these releases")
	c := v.Corrections
	var corrections []string
	for _, part := range []struct {
		n    int
		what string
	}{{c.Toolkits, "Driver Toolkit"}, {c.Kernels, "kernel"}, {c.Marks, "mark"}} {
		if part.n > 0 {
			corrections = append(corrections, format.Count(part.n, part.what))
		}
	}
	switch {
	case v.Written:
		text += "; " + strings.Join(corrections, ", ") + " written"
	case len(corrections) > 0:
		text += "; " + strings.Join(corrections, ", ") + " not written"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
