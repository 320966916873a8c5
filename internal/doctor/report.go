// Package doctor holds the report on what works on this machine: its form, and the checks of tools and disks. The
// checks of credentials and registries are the command's, which makes the same calls as a build.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"neuron-kmod/internal/config"
	"neuron-kmod/internal/hint"
)

// State is what a check has found.
type State string

const (
	OK      State = "ok"
	BuiltIn State = "built in" // a library of the program does what the tool would
	Warning State = "warning"  // a build works, but not as well as it could
	Failed  State = "failed"   // a build would fail
	Skipped State = "skipped"  // not needed, or not tried because of another check; Detail says which
)

// Check is one thing that was looked at. Nothing in it is a secret.
type Check struct {
	Group      string     `json:"group"` // "files", "tools", "engine", "credentials" or "registries"
	Name       string     `json:"name"`
	State      State      `json:"state"`
	Detail     string     `json:"detail"`
	Hint       string     `json:"hint,omitempty"`        // what to do
	Version    string     `json:"version,omitempty"`     // of a tool, or of the library instead of it
	Source     string     `json:"source,omitempty"`      // where credentials are from
	Identity   string     `json:"identity,omitempty"`    // whose credentials they are
	ValidUntil *time.Time `json:"valid_until,omitempty"` // absent if they do not end, or do not say
	Install    *Install   `json:"install,omitempty"`     // of a tool that is missing
}

// Install is how to get a tool.
type Install struct {
	RHEL   string `json:"rhel"`
	Debian string `json:"debian"`
	MacOS  string `json:"macos"`
}

// Fail makes c the check that failed with err.
func (c Check) Fail(err error) Check {
	c.State, c.Detail, c.Hint = Failed, err.Error(), hint.Of(err)
	return c
}

// Skip makes c a check that was not made.
func (c Check) Skip(why string) Check {
	c.State, c.Detail = Skipped, why
	return c
}

// Report is all that was looked at, in the order in which a person reads it.
type Report struct {
	OK       bool             `json:"ok"` // nothing failed: a build can be tried
	Settings []config.Setting `json:"settings"`
	Checks   []Check          `json:"checks"`
}

// NewReport returns the report on checks.
func NewReport(settings []config.Setting, checks []Check) Report {
	r := Report{Settings: settings, Checks: checks}
	r.OK = r.Count(Failed) == 0
	return r
}

// Count returns how many checks are in the state.
func (r Report) Count(s State) int {
	n := 0
	for _, c := range r.Checks {
		if c.State == s {
			n++
		}
	}
	return n
}

// WriteJSON writes the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write the report as JSON: %w", err)
	}
	return nil
}

// WriteTable writes the report for a person.
func (r Report) WriteTable(w io.Writer) error {
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
		c.write(&sb)
	}
	fmt.Fprintf(&sb, "\n%s\n", r.summary())
	if _, err := io.WriteString(w, sb.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

const indent = "            " // below the detail

// write writes a check: its state and name, what was found, and below it what to do.
func (c Check) write(sb *strings.Builder) {
	fmt.Fprintf(sb, "  %-8s  %s: %s\n", c.State, printable(c.Name), strings.ReplaceAll(printable(strings.TrimSpace(c.Detail)), "\n", "\n"+indent))
	for _, line := range c.facts() {
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

func (c Check) facts() []string {
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

func (r Report) summary() string {
	if failed := r.Count(Failed); failed > 0 {
		return fmt.Sprintf("A build would fail. Checks: %d failed, %d with a warning, %d in all.", failed, r.Count(Warning), len(r.Checks))
	}
	return fmt.Sprintf("A build can be tried. Checks: none failed, %d with a warning, %d in all.", r.Count(Warning), len(r.Checks))
}
