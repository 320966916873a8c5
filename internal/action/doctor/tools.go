package doctor

import (
	"cmp"
	"runtime/debug"
)

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

// version returns that of a module, or Go's own for "".
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
