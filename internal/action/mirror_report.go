package action

import (
	"fmt"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// MirrorImage is one image of a mirror and what has become of it.
type MirrorImage struct {
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

// MirrorReport is what a run has done to a mirror.
type MirrorReport struct {
	Mirror string        `json:"mirror"` // the repository or directory
	Images []MirrorImage `json:"images"`
	Due    int64         `json:"due"` // bytes that had to be sent when the run began, what images share counted once

	// OtherArch counts the catalogue entries of wanted releases that were left out because they are of another
	// architecture.
	OtherArch int `json:"other_arch"`
}

// Fill puts in what became of the images, in their order.
func (r *MirrorReport) Fill(copies []registry.Copy) {
	for i, c := range copies {
		m := &r.Images[i]
		m.State, m.Digest, m.Size, m.Sent, m.Error = c.State, c.Digest, c.Size, c.Sent, fault.Text(c.Err)
	}
}

// Count returns how many images are in a state.
func (r *MirrorReport) Count(s registry.CopyState) int {
	n := 0
	for _, m := range r.Images {
		if m.State == s {
			n++
		}
	}
	return n
}

// Complete reports whether nothing has failed and nothing was skipped.
func (r *MirrorReport) Complete() bool {
	return r.Count(registry.CopyFailed)+r.Count(registry.CopySkipped) == 0
}

// Summary says in one line how many images are in which state, and what was sent.
func (r *MirrorReport) Summary() string {
	var parts []string
	for _, s := range []registry.CopyState{registry.CopyThere, registry.CopyMade, registry.CopyDue, registry.CopyFailed, registry.CopySkipped} {
		if n := r.Count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	text := format.Count(len(r.Images), "image")
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	if r.Count(registry.CopyDue) > 0 {
		text += fmt.Sprintf("; %s to send", sizeOrZero(r.Due))
	} else {
		text += fmt.Sprintf("; %s sent", sizeOrZero(r.sent()))
	}
	if r.OtherArch > 0 {
		text += fmt.Sprintf("; %s of another architecture left out", format.Count(r.OtherArch, "catalogue entry"))
	}
	return text
}

func (r *MirrorReport) sent() (n int64) {
	for _, m := range r.Images {
		n += m.Sent
	}
	return n
}

// sizeOrZero is format.Bytes, which has a dash for nothing.
func sizeOrZero(n int64) string {
	if n == 0 {
		return "0 B"
	}
	return format.Bytes(n)
}
