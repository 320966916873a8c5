package report

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/manifest"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/plan/inventory"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/report/page"
	"neuron-kmod/internal/version"
)

// shortDigest is how many characters of a digest a table shows, "sha256:" among them.
const shortDigest = 19

// Images writes an inventory as "json", "csv", "html" or as a table. made is when a page was made, which it tells.
func Images(w io.Writer, format string, v *inventory.Inventory, made time.Time) error {
	switch format {
	case "json":
		return ImagesJSON(w, v)
	case "csv":
		return ImagesCSV(w, v)
	case "html":
		return ImagesHTML(w, v, made)
	}
	return ImagesTable(w, v)
}

// ImagesTable writes the inventory for people: where the images are, a line for each, then the reason of each gap,
// then one line that sums it up.
func ImagesTable(w io.Writer, v *inventory.Inventory) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", v.Repository)
	if len(v.Images) > 0 {
		b.WriteString("\n")
		tw := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
		fmt.Fprintln(tw, "DRIVER\tKERNEL\tSTATE\tSIZE\tCREATED\tDIGEST\tTAG\tRELEASES")
		for _, i := range v.Images {
			created := "-"
			if !i.Created.IsZero() {
				created = i.Created.UTC().Format(time.DateOnly)
			}
			digest := i.Digest[:min(len(i.Digest), shortDigest)]
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.Driver, cmp.Or(i.Kernel.String(), "-"), i.State,
				format.Bytes(i.Size), created, cmp.Or(digest, "-"), cmp.Or(i.Tag, "-"),
				cmp.Or(plan.ReleaseList(i.Releases), "-"))
		}
		tw.Flush() // to a strings.Builder, which takes everything
	}
	for _, i := range v.Images {
		if i.Gap() {
			where := cmp.Or(i.Kernel.String(), "OpenShift "+plan.ReleaseList(i.Releases))
			fmt.Fprintf(&b, "\n%s %s on %s: %s\n", i.State, i.Driver, where, i.Reason)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", v.Summary())
	return write(w, "the images", b.String())
}

// ImagesJSON writes the inventory as one JSON object. Lists are never null.
func ImagesJSON(w io.Writer, v *inventory.Inventory) error {
	out := *v
	out.Drivers, out.Images = list(v.Drivers), list(v.Images)
	for n := range out.Images {
		out.Images[n].Releases = list(out.Images[n].Releases)
	}
	return JSON(w, "the images", out)
}

// ImagesCSV writes a header and a line for each image, in the form of RFC 4180: releases are separated by spaces,
// sizes in bytes, times in RFC 3339, what is not known is empty.
func ImagesCSV(w io.Writer, v *inventory.Inventory) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	lines := [][]string{{"driver", "kernel", "releases", "state", "reason", "tag", "digest", "size", "created", "pull"}}
	for _, i := range v.Images {
		var size, created string
		if i.Size > 0 {
			size = strconv.FormatInt(i.Size, 10)
		}
		if !i.Created.IsZero() {
			created = i.Created.UTC().Format(time.RFC3339)
		}
		lines = append(lines, []string{
			i.Driver.String(), i.Kernel.String(), page.Join(i.Releases, " "), string(i.State), i.Reason, i.Tag, i.Digest,
			size, created, i.Pull,
		})
	}
	for _, line := range lines {
		for n, field := range line {
			// A spreadsheet must not take text for a formula: https://owasp.org/www-community/attacks/CSV_Injection
			if field != "" && strings.ContainsRune("=+-@\t\r", rune(field[0])) {
				line[n] = "'" + field
			}
		}
	}
	if err := c.WriteAll(lines); err != nil {
		return fmt.Errorf("write the images as CSV: %w", err)
	}
	return nil
}

// ImagesHTML writes the page. It is written at once, so that a page that cannot be made leaves nothing behind. made
// is when it was made, which the page tells.
func ImagesHTML(w io.Writer, v *inventory.Inventory, made time.Time) error {
	in := page.Input{Inventory: v, Made: made.UTC()}
	if !strings.HasPrefix(v.Repository, "oci:") { // from a directory no cluster can pull
		in.DeviceConfig = func(d version.Driver) (string, error) { return manifest.DeviceConfigPatch(v.Repository, d) }
		in.Module = func(d version.Driver) (string, error) {
			return manifest.Module(manifest.ModuleInput{Place: manifest.DefaultPlace(), Repository: v.Repository, Driver: d})
		}
	}
	var b strings.Builder
	if err := page.Write(&b, in); err != nil {
		return err
	}
	return write(w, "the page", b.String())
}

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
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", m.Tag, cmp.Or(m.Kernel.String(), "-"), m.State,
				action.SizeOrZero(m.Sent), cmp.Or(m.Digest, "-"))
		}
		tw.Flush() // to a strings.Builder, which takes everything
	}
	for _, m := range r.Images {
		if m.State == registry.CopyFailed { // why others were skipped is told once, at the end
			fmt.Fprintf(&sb, "\n%s %s: %s\n", m.State, m.Tag, m.Error)
		}
	}
	fmt.Fprintf(&sb, "\n%s\n", r.Summary())
	return write(w, "the report", sb.String())
}
