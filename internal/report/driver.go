package report

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/platform/format"
)

// driverJSON is the JSON form of what is known of a driver's package.
type driverJSON struct {
	Driver  string       `json:"driver"`
	Package string       `json:"package"` // the file's name
	Digest  string       `json:"digest"`
	Signer  signerJSON   `json:"signer"`
	Built   time.Time    `json:"built,omitzero"`
	Files   []fileJSON   `json:"files"`
	Devices []deviceJSON `json:"devices"`
	Rules   []ruleJSON   `json:"rules"`
}

type signerJSON struct {
	Fingerprint string    `json:"fingerprint"`
	UserID      string    `json:"user_id"`
	Signed      time.Time `json:"signed"`
	HeaderOnly  bool      `json:"header_only"` // the header, whose digests the files have; else header and payload
}

type fileJSON struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

type deviceJSON struct {
	Name string `json:"name"`
	ID   string `json:"id"` // "0x7364"
}

type ruleJSON struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	From   string `json:"rhel_from"`   // the first release it is for, "" for all before
	Before string `json:"rhel_before"` // the first one after those, "" for none
	Found  int    `json:"found"`       // how often its text occurs
	Fits   bool   `json:"fits"`
	Reason string `json:"reason"`
}

// Driver writes what is known of a driver's package as "json" or as text.
func Driver(w io.Writer, form string, r *action.DriverResult) error {
	if form == "json" {
		return JSON(w, "the driver's package", newDriverJSON(r))
	}
	return driverText(w, r)
}

func newDriverJSON(r *action.DriverResult) driverJSON {
	proof := r.Package.Proof
	out := driverJSON{
		Driver: r.Package.Version.String(), Package: filepath.Base(r.Package.Path), Digest: proof.Digest, Built: r.Made,
		Signer: signerJSON{proof.Key.Fingerprint, proof.Key.UserID, proof.Signed, proof.HeaderOnly},
		Files:  []fileJSON{}, Devices: []deviceJSON{}, Rules: []ruleJSON{},
	}
	for _, f := range r.Description.Files {
		out.Files = append(out.Files, fileJSON(f))
	}
	for _, d := range r.Description.Devices {
		out.Devices = append(out.Devices, deviceJSON{d.Name, deviceID(d)})
	}
	for _, d := range r.Description.Rules {
		out.Rules = append(out.Rules, ruleJSON{
			Name: d.Rule.Name, File: d.Rule.File, From: rhelRelease(d.Rule.RHEL.From), Before: rhelRelease(d.Rule.RHEL.Before),
			Found: d.Found, Fits: d.Fits(), Reason: d.Rule.Reason,
		})
	}
	return out
}

func deviceID(d driver.Device) string { return fmt.Sprintf("%#04x", d.ID) }

// rhelRelease is empty for the bound that is none.
func rhelRelease(r kernel.Release) string {
	if r == (kernel.Release{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d", r.Major, r.Minor)
}

func driverText(w io.Writer, r *action.DriverResult) error {
	proof, d := r.Package.Proof, r.Description
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-8s%s\n", label, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(&b, filepath.Base(r.Package.Path))
	line("digest", "%s", proof.Digest)
	covers := "header and payload"
	if proof.HeaderOnly {
		covers = "the header, which has the digests of all files"
	}
	line("signed", "%s, %s by %s", covers, proof.Signed.Format(time.DateOnly), proof.Key)
	if !r.Made.IsZero() {
		line("built", "%s", r.Made.Format(time.DateOnly))
	}
	var size int64
	for _, f := range d.Files {
		size += f.Size
	}
	line("files", "%d, %s", len(d.Files), format.Bytes(size))
	label := "devices"
	for _, device := range d.Devices {
		line(label, "%s %s", deviceID(device), device.Name)
		label = ""
	}
	label = "rules"
	for _, due := range d.Rules {
		line(label, "%s", ruleText(due))
		label = ""
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ruleText says on which kernels a rule changes what, and whether it can.
func ruleText(d driver.DueRule) string {
	text := d.Rule.Name + " in " + d.Rule.File + " for RHEL"
	if from := rhelRelease(d.Rule.RHEL.From); from != "" {
		text += " from " + from
	}
	if before := rhelRelease(d.Rule.RHEL.Before); before != "" {
		text += " before " + before
	}
	if !d.Fits() {
		text += fmt.Sprintf("; it does not fit: its text is there %s", format.Count(d.Found, "time"))
	}
	return text
}
