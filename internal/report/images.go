package report

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

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

// ImagesTable writes the inventory for people: where the images are, a line for each, then the reason of each gap, then
// one line that sums it up.
func ImagesTable(w io.Writer, v *inventory.Inventory) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", v.Repository)
	if len(v.Images) > 0 {
		b.WriteString("\n")
		writeImages(&b, v)
	}
	for _, i := range v.Images {
		if i.Gap() {
			fmt.Fprintf(&b, "\n%s %s on %s: %s\n", i.State, i.Driver, where(i), i.Reason)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", v.Summary())
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the images: %w", err)
	}
	return nil
}

func writeImages(b *strings.Builder, v *inventory.Inventory) {
	tw := tabwriter.NewWriter(b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "DRIVER\tKERNEL\tSTATE\tSIZE\tCREATED\tDIGEST\tTAG\tRELEASES")
	for _, i := range v.Images {
		created, digest := "-", "-"
		if !i.Created.IsZero() {
			created = i.Created.UTC().Format(time.DateOnly)
		}
		if len(i.Digest) >= shortDigest {
			digest = i.Digest[:shortDigest]
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.Driver, cmp.Or(i.Kernel.String(), "-"), i.State, format.Bytes(i.Size),
			created, digest, cmp.Or(i.Tag, "-"), cmp.Or(plan.ReleaseList(i.Releases), "-"))
	}
	tw.Flush() // to a strings.Builder, which takes everything
}

// where names what a gap is for: the kernel, or else the release.
func where(i inventory.Image) string {
	if i.Kernel.IsZero() {
		return "OpenShift " + plan.ReleaseList(i.Releases)
	}
	return i.Kernel.String()
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

// ImagesCSV writes a header and a line for each image, in the form of RFC 4180: releases are separated by spaces, sizes in
// bytes, times in RFC 3339, what is not known is empty.
func ImagesCSV(w io.Writer, v *inventory.Inventory) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	lines := [][]string{{"driver", "kernel", "releases", "state", "reason", "tag", "digest", "size", "created", "pull"}}
	for _, i := range v.Images {
		lines = append(lines, []string{
			i.Driver.String(), i.Kernel.String(), releases(i.Releases), string(i.State), i.Reason, i.Tag, i.Digest, size(i.Size), created(i.Created), i.Pull,
		})
	}
	for _, line := range lines {
		for n := range line {
			line[n] = inert(line[n])
		}
	}
	if err := c.WriteAll(lines); err != nil {
		return fmt.Errorf("write the images as CSV: %w", err)
	}
	return nil
}

func releases(vs []version.OCP) string {
	names := make([]string, len(vs))
	for n, r := range vs {
		names[n] = r.String()
	}
	return strings.Join(names, " ")
}

func size(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func created(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// inert keeps a spreadsheet from taking text for a formula.
// https://owasp.org/www-community/attacks/CSV_Injection
func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// ImagesHTML writes the page. It is written at once, so that a page that cannot be made leaves nothing behind. made is when
// it was made, which the page tells.
func ImagesHTML(w io.Writer, v *inventory.Inventory, made time.Time) error {
	in := page.Input{Inventory: v, Made: made.UTC()}
	if !strings.HasPrefix(v.Repository, "oci:") { // from a directory no cluster can pull
		in.DeviceConfig = func(d version.Driver) (string, error) { return manifest.DeviceConfigPatch(v.Repository, d) }
		in.Module = func(d version.Driver) (string, error) {
			return manifest.Module(manifest.ModuleInput{Place: manifest.DefaultPlace(), Repository: v.Repository, Driver: d})
		}
	}
	var b bytes.Buffer
	if err := page.Write(&b, in); err != nil {
		return err
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
