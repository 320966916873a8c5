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

// usualArch is not told beside an entry.
const usualArch = "x86_64"

// entryName names an entry of the catalogue, without what is usual.
func entryName(v version.OCP, arch, component string) string {
	name := v.String()
	if arch != usualArch {
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
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", c.What, entryName(c.Version, c.Arch, c.Component),
			cmp.Or(c.Kernel.String(), "(kernel not known)"), previousText(c))
	}
	for _, t := range u.Unreadable {
		fmt.Fprintf(tw, "unreadable\t%s\t%s\n", entryName(t.Version, t.Arch, t.Component), t.Reason)
	}
	for _, t := range u.Vanished {
		fmt.Fprintf(tw, "vanished\t%s\t%s\n", entryName(t.Version, t.Arch, t.Component), t.Reason)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(sb.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
	_, err := fmt.Fprintln(w, updatedSummary(u))
	return err
}

// previousText says what an entry had before.
func previousText(c catalogsync.Change) string {
	var parts []string
	if !c.WasKernel.IsZero() {
		parts = append(parts, "was "+c.WasKernel.String())
	}
	if c.WasDTK != "" {
		parts = append(parts, "another Driver Toolkit")
	}
	return strings.Join(parts, ", ")
}

// updatedSummary says in one line what was found and done.
func updatedSummary(u *action.Updated) string {
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
	return text
}

// VerifiedText writes what a verification of the catalogue has found, for people.
func VerifiedText(w io.Writer, v *action.Verified) error {
	for _, f := range v.Entries {
		for _, reason := range f.Reasons {
			fmt.Fprintf(w, "%-8s  %s: %s\n", f.State, entryName(f.Version, f.Arch, f.Component), reason)
		}
	}
	_, err := fmt.Fprintln(w, verifiedSummary(v))
	return err
}

func verifiedSummary(v *action.Verified) string {
	var parts []string
	for _, s := range []catalogsync.State{catalogsync.OK, catalogsync.Mismatch, catalogsync.Gone, catalogsync.Failed, catalogsync.Unknown} {
		if n := v.Count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	text := v.Catalog + ": no entry of these releases"
	if len(parts) > 0 {
		text = v.Catalog + ": " + strings.Join(parts, ", ")
	}
	switch {
	case v.Written:
		text += fmt.Sprintf("; %s written", correctionsText(v.Corrections))
	case v.Corrections != (action.Corrections{}):
		text += fmt.Sprintf("; %s not written", correctionsText(v.Corrections))
	}
	return text
}

func correctionsText(c action.Corrections) string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{c.Toolkits, "Driver Toolkit"}, {c.Kernels, "kernel"}, {c.Marks, "mark"}} {
		if part.n > 0 {
			parts = append(parts, format.Count(part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}
