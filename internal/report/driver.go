package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/platform/format"
)

// Driver writes what is known of a driver's package as "json" or as text.
func Driver(w io.Writer, form string, r *action.DriverResult) error {
	if form == "json" {
		return JSON(w, "the driver's package", r)
	}
	return driverText(w, r)
}

func driverText(w io.Writer, r *action.DriverResult) error {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-8s%s\n", label, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(&b, r.Package)
	line("digest", "%s", r.Digest)
	covers := "header and payload"
	if r.Signer.HeaderOnly {
		covers = "the header, which has the digests of all files"
	}
	line("signed", "%s, %s by %s (%s)",
		covers, r.Signer.Signed.Format(time.DateOnly), r.Signer.Fingerprint, r.Signer.UserID)
	if !r.Built.IsZero() {
		line("built", "%s", r.Built.Format(time.DateOnly))
	}
	var size int64
	for _, f := range r.Files {
		size += f.Size
	}
	line("files", "%d, %s", len(r.Files), format.Bytes(size))
	label := "devices"
	for _, device := range r.Devices {
		line(label, "%s %s", device.ID, device.Name)
		label = ""
	}
	label = "rules"
	for _, rule := range r.Rules {
		line(label, "%s", ruleText(rule))
		label = ""
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ruleText says on which kernels a rule changes what, and whether it can.
func ruleText(r action.DriverRule) string {
	text := r.Name + " in " + r.File + " for RHEL"
	if r.From != "" {
		text += " from " + r.From
	}
	if r.Before != "" {
		text += " before " + r.Before
	}
	if !r.Fits {
		text += "; it does not fit: its text is there " + format.Count(r.Found, "time")
	}
	return text
}
