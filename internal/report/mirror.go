package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/format"
)

// MirrorSets writes the YAML with which a cluster uses a mirror.
func MirrorSets(w io.Writer, r *action.MirrorResult) error { return r.Sets.WriteYAML(w) }

// MirrorJSON writes the report as one JSON object. Lists are never null.
func MirrorJSON(w io.Writer, r *action.MirrorReport) error {
	out := *r
	out.Images = list(r.Images)
	for i := range out.Images {
		out.Images[i].Releases = list(out.Images[i].Releases)
	}
	return JSON(w, "the report", out)
}

// MirrorTable writes the report for people: one line an image, then what went wrong, then one line that sums it up.
func MirrorTable(w io.Writer, r *action.MirrorReport) error {
	var sb strings.Builder
	if len(r.Images) > 0 {
		tw := tabwriter.NewWriter(&sb, 0, 4, 2, ' ', 0)
		fmt.Fprintln(tw, "TAG\tKERNEL\tSTATE\tSENT\tDIGEST")
		for _, m := range r.Images {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", m.Tag, cmp.Or(m.Kernel.String(), "-"), m.State, sent(m.Sent), cmp.Or(m.Digest, "-"))
		}
		if err := tw.Flush(); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	for _, m := range r.Images {
		if m.State == registry.CopyFailed { // why others were skipped is told once, at the end
			fmt.Fprintf(&sb, "\n%s %s: %s\n", m.State, m.Tag, m.Error)
		}
	}
	fmt.Fprintf(&sb, "\n%s\n", r.Summary())
	if _, err := io.WriteString(w, sb.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// sent is format.Bytes, which has a dash for nothing.
func sent(n int64) string {
	if n == 0 {
		return "0 B"
	}
	return format.Bytes(n)
}
