package mirror

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"neuron-kmod/internal/hint"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/registry"
	"neuron-kmod/internal/version"
)

// Image is one image of a mirror and what has become of it.
type Image struct {
	Tag      string             `json:"tag"`
	Driver   string             `json:"driver,omitempty"` // of a kmod image
	Kernel   kernel.Version     `json:"kernel"`           // "" if it is not known
	Releases []version.OCP      `json:"releases"`         // the OpenShift releases that it is for
	Source   string             `json:"source"`           // where it is copied from
	State    registry.CopyState `json:"state"`
	Digest   string             `json:"digest"` // "" if the original could not be read
	Size     int64              `json:"size"`   // bytes of manifest, configuration and layers
	Sent     int64              `json:"sent"`   // bytes of those that this run has sent
	Error    string             `json:"error"`  // why it failed or was skipped, else ""
}

// Report is what a run has done to a mirror.
type Report struct {
	Mirror string  `json:"mirror"` // the repository or folder
	Images []Image `json:"images"`
	Due    int64   `json:"due"` // bytes that had to be sent when the run began, what images share counted once

	// OtherArch counts the catalogue entries of wanted releases that were left out because they are of another
	// architecture.
	OtherArch int `json:"other_arch"`
}

// Fill puts in what became of the images, in their order.
func (r *Report) Fill(copies []registry.Copy) {
	for i, c := range copies {
		m := &r.Images[i]
		m.State, m.Digest, m.Size, m.Sent, m.Error = c.State, c.Digest, c.Size, c.Sent, hint.Text(c.Err)
	}
}

// Count returns how many images are in a state.
func (r *Report) Count(s registry.CopyState) int {
	n := 0
	for _, m := range r.Images {
		if m.State == s {
			n++
		}
	}
	return n
}

// Complete tells whether nothing has failed and nothing was skipped.
func (r *Report) Complete() bool {
	return r.Count(registry.CopyFailed)+r.Count(registry.CopySkipped) == 0
}

// Summary says in one line how many images are in which state, and what was sent.
func (r *Report) Summary() string {
	var parts []string
	for _, s := range []registry.CopyState{registry.CopyThere, registry.CopyMade, registry.CopyDue, registry.CopyFailed, registry.CopySkipped} {
		if n := r.Count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	text := plural(len(r.Images), "image", "images")
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	if r.Count(registry.CopyDue) > 0 {
		text += fmt.Sprintf("; %s to send", size(r.Due))
	} else {
		text += fmt.Sprintf("; %s sent", size(r.sent()))
	}
	if r.OtherArch > 0 {
		text += fmt.Sprintf("; %s of another architecture left out", plural(r.OtherArch, "catalogue entry", "catalogue entries"))
	}
	return text
}

func (r *Report) sent() (n int64) {
	for _, m := range r.Images {
		n += m.Sent
	}
	return n
}

// WriteJSON writes the report as one JSON object. Lists are never null.
func (r *Report) WriteJSON(w io.Writer) error {
	out := *r
	out.Images = make([]Image, len(r.Images))
	for i, m := range r.Images {
		m.Releases = append([]version.OCP{}, m.Releases...)
		out.Images[i] = m
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("write the report as JSON: %w", err)
	}
	return nil
}

// WriteTable writes the report for a person: one line an image, then what went wrong, then one line that sums it up.
func (r *Report) WriteTable(w io.Writer) error {
	var sb strings.Builder
	if len(r.Images) > 0 {
		tw := tabwriter.NewWriter(&sb, 0, 4, 2, ' ', 0)
		fmt.Fprintln(tw, "TAG\tKERNEL\tSTATE\tSENT\tDIGEST")
		for _, m := range r.Images {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", m.Tag, orDash(m.Kernel.String()), m.State, size(m.Sent), orDash(m.Digest))
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

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// size is plan.Bytes, which has a dash for nothing.
func size(n int64) string {
	if n == 0 {
		return "0 B"
	}
	return plan.Bytes(n)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
