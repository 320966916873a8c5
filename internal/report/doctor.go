package report

import (
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
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "SETTING\tVALUE\tOVERRIDE")
	for _, s := range r.Settings {
		value := s.Value
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", s.Name, printable(value), s.Override)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var sb strings.Builder
	group := ""
	for _, c := range r.Checks {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(&sb, "\n%s\n", strings.ToUpper(group))
		}
		writeCheck(&sb, c)
	}
	fmt.Fprintf(&sb, "\n%s\n", doctorSummary(r))
	if _, err := io.WriteString(w, sb.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

const indent = "            " // below the detail

// writeCheck writes a check: its state and name, what was found, and below it what to do.
func writeCheck(sb *strings.Builder, c doctor.Check) {
	fmt.Fprintf(sb, "  %-8s  %s: %s\n", c.State, printable(c.Name), strings.ReplaceAll(printable(strings.TrimSpace(c.Detail)), "\n", "\n"+indent))
	for _, line := range facts(c) {
		fmt.Fprintf(sb, "%s%s\n", indent, printable(line))
	}
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

func facts(c doctor.Check) []string {
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
		lines = append(lines, "RHEL, CentOS, Fedora: "+c.Install.RHEL, "Ubuntu, Debian: "+c.Install.Debian, "macOS: "+c.Install.MacOS)
	}
	return lines
}

func doctorSummary(r doctor.Report) string {
	if failed := r.Count(doctor.Failed); failed > 0 {
		return fmt.Sprintf("A build would fail. Checks: %d failed, %d with a warning, %d in all.", failed, r.Count(doctor.Warning), len(r.Checks))
	}
	return fmt.Sprintf("A build can be tried. Checks: none failed, %d with a warning, %d in all.", r.Count(doctor.Warning), len(r.Checks))
}
