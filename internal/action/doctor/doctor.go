// Package doctor holds the report on what works on this machine: its form, and the checks of tools and disks. The
// checks of credentials and registries are the command's, which makes the same calls as a build.
package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

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

// replaced are the tools of the script that this program has replaced (R1.2), and what does their work now.
var replaced = []struct{ tool, library, module string }{
	{"aws", "the AWS SDK", "github.com/aws/aws-sdk-go-v2"},
	{"jq", "Go's encoding/json", ""},
	{"rpm2cpio", "go-rpmutils", "github.com/sassoftware/go-rpmutils"},
	{"cpio", "the program's own reader", ""},
	{"wget, curl", "Go's net/http and go-retryablehttp", "github.com/hashicorp/go-retryablehttp"},
	{"gh", "Go's net/http", ""},
}

// Replaced returns a check for each tool that need not be installed. info is the program's own; nil leaves versions
// out. look is false where tools are not looked at: on a GitHub Actions runner they are installed (R1.2).
func Replaced(info *debug.BuildInfo, look bool) []Check {
	var checks []Check
	for _, r := range replaced {
		c := Check{Group: "tools", Name: r.tool, State: BuiltIn, Version: version(info, r.module)}
		c.Detail = r.library
		if r.module != "" && c.Version != "" {
			c.Detail += " " + c.Version
		}
		if !look {
			c = c.Skip("not looked for on a GitHub Actions runner; " + r.library + " is built in")
		}
		checks = append(checks, c)
	}
	return checks
}

func version(info *debug.BuildInfo, module string) string {
	if info == nil {
		return ""
	}
	if module == "" {
		return info.GoVersion
	}
	for _, m := range info.Deps {
		if m.Path == module {
			if m.Replace != nil {
				m = m.Replace
			}
			return m.Version
		}
	}
	return ""
}

// installs are how the container engines are installed.
var installs = map[string]Install{
	"podman": {
		RHEL:   "sudo dnf install podman",
		Debian: "sudo apt-get install podman",
		MacOS:  "brew install podman && podman machine init --now",
	},
	"docker": {
		RHEL:   "see https://docs.docker.com/engine/install/rhel/, or sudo dnf install podman",
		Debian: "see https://docs.docker.com/engine/install/debian/, or sudo apt-get install podman",
		MacOS:  "brew install --cask docker, or brew install podman && podman machine init --now",
	},
}

// Engine returns the check of the container engine, the one tool that has to be there. path and version are of the
// program that was found; absent says that none was, err that it does not work.
func Engine(name, path, version string, absent bool, err error) Check {
	c := Check{Group: "tools", Name: name, State: OK, Version: version, Detail: cmp.Or(version, "found")}
	if path != "" {
		c.Detail += " (" + path + ")"
	}
	if err == nil {
		return c
	}
	c = c.Fail(err)
	if how, known := installs[name]; known && absent {
		c.Detail, c.Install = "not installed", &how
	}
	return c
}

// A Driver Toolkit is at most about 2 GB as it is sent, and takes up to three times that in the engine's store while
// it arrives. Two of them are there at once: one in use, one arriving.
const (
	storedToolkit  = 6 << 30
	arrivingLayers = 2 << 30
)

// Store returns the check of the free disk where the engine keeps images.
func Store(dir string) Check {
	return room(Check{Group: "engine", Name: "room for images"}, dir, storedToolkit)
}

// Temporary returns the check of the free disk where layers are kept while they arrive.
func Temporary(dir string) Check {
	return room(Check{Group: "engine", Name: "room for downloads"}, dir, arrivingLayers)
}

// room fails c where dir has no room for one Driver Toolkit, and warns where it has none for two.
func room(c Check, dir string, one uint64) Check {
	if dir == "" {
		return c.Skip("the engine does not say where it keeps images")
	}
	free, err := free(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return c.Skip(dir + " is not on this machine, as in a podman machine: its disk cannot be seen from here")
	}
	if err != nil {
		return c.Fail(fmt.Errorf("free disk of %s: %w", dir, err))
	}
	c.State, c.Detail = OK, fmt.Sprintf("%d GB free in %s", free>>30, dir)
	switch {
	case free < one:
		c.State, c.Hint = Failed, fmt.Sprintf("one Driver Toolkit needs up to %d GB there: make room", one>>30)
	case free < 2*one:
		c.State, c.Hint = Warning, fmt.Sprintf("two Driver Toolkits need up to %d GB there", 2*one>>30)
	}
	return c
}

// free returns the bytes that this user may still write to the disk of dir, or of the nearest directory above that is
// there. A dir of which not even the first directory is there is fs.ErrNotExist.
func free(dir string) (uint64, error) {
	for at := dir; ; at = filepath.Dir(at) {
		var s unix.Statfs_t
		err := unix.Statfs(at, &s)
		if err == nil && at == filepath.Dir(at) && dir != at {
			return 0, fs.ErrNotExist
		}
		if err == nil {
			return uint64(s.Bavail) * uint64(s.Bsize), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			return 0, err
		}
	}
}
