package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"neuron-kmod/internal/action/doctor"
)

// DoctorTable writes the report for people.
func DoctorTable(w io.Writer, r doctor.Report) error {
	var sb strings.Builder
	tw := tabwriter.NewWriter(&sb, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "SETTING\tVALUE\tOVERRIDE")
	for _, s := range r.Settings {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", s.Name, printable(cmp.Or(s.Value, "-")), s.Override)
	}
	tw.Flush()                    // to a strings.Builder, which takes everything
	const indent = "            " // below the detail
	group := ""
	for _, c := range r.Checks {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(&sb, "\n%s\n", strings.ToUpper(group))
		}
		detail := strings.ReplaceAll(printable(strings.TrimSpace(c.Detail)), "\n", "\n"+indent)
		fmt.Fprintf(&sb, "  %-8s  %s: %s\n", c.State, printable(c.Name), detail)
		var lines []string
		if c.Source != "" {
			line := "from " + c.Source
			if c.ValidUntil != nil {
				line += ", until " + c.ValidUntil.UTC().Format(time.RFC3339)
			}
			lines = append(lines, line)
		}
		if c.Hint != "" {
			lines = append(lines, "hint: "+c.Hint)
		}
		if c.Install != nil {
			lines = append(lines, "RHEL, CentOS, Fedora: "+c.Install.RHEL, "Ubuntu, Debian: "+c.Install.Debian,
				"macOS: "+c.Install.MacOS)
		}
		for _, line := range lines {
			fmt.Fprintf(&sb, "%s%s\n", indent, printable(line))
		}
	}
	verdict := "A build can be tried. Checks: none failed"
	if failed := r.Count(doctor.Failed); failed > 0 {
		verdict = fmt.Sprintf("A build would fail. Checks: %d failed", failed)
	}
	fmt.Fprintf(&sb, "\n%s, %d with a warning, %d in all.\n", verdict, r.Count(doctor.Warning), len(r.Checks))
	return write(w, "the report", sb.String())
}

// printable takes out of text what a terminal would obey: some of it is the words of a registry or of an engine.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
