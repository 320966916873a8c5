// Package doctor holds the report on what works on this machine: its form, and the checks of tools and disks. The
// checks of credentials and registries are the command's, which makes the same calls as a build.
package doctor

import (
	"time"

	"neuron-kmod/internal/platform/config"
	"neuron-kmod/internal/platform/fault"
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
	c.State, c.Detail, c.Hint = Failed, err.Error(), fault.Of(err)
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
