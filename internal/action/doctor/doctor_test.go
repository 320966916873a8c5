package doctor

import (
	"errors"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"neuron-kmod/internal/platform/fault"
)

// A report is ok if and only if no check failed.
func TestReport(t *testing.T) {
	if NewReport(nil, []Check{{State: Failed}}).OK || !NewReport(nil, []Check{{State: Warning}, {State: Skipped}}).OK {
		t.Error("a report is ok if and only if no check failed")
	}
}

// R1.2: each tool of the script is there as a library, with its version; on a runner it is not looked at.
func TestReplaced(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
		{Path: "github.com/aws/aws-sdk-go-v2", Version: "v1.48.0"},
		{Path: "github.com/sassoftware/go-rpmutils", Version: "v0", Replace: &debug.Module{Version: "v0.4.0"}},
	}}
	versions := map[string]string{"aws": "v1.48.0", "jq": "go1.26.8", "rpm2cpio": "v0.4.0", "cpio": "go1.26.8", "wget, curl": "", "gh": "go1.26.8"}
	for _, look := range []bool{true, false} {
		checks := Replaced(info, look)
		if len(checks) != len(versions) {
			t.Errorf("%d checks, want %d", len(checks), len(versions))
		}
		for _, c := range checks {
			want := BuiltIn
			if !look {
				want = Skipped
			}
			if c.State != want || c.Version != versions[c.Name] {
				t.Errorf("look %v: %+v", look, c)
			}
		}
	}
	if c := Replaced(nil, true)[0]; c.State != BuiltIn || c.Version != "" {
		t.Errorf("without build information: %+v", c)
	}
}

// R1.2: an engine that is missing comes with how to install it on each system; one that does not work, with its error.
func TestEngine(t *testing.T) {
	if c := Engine("podman", "/usr/bin/podman", "4.3.1", false, nil); c.State != OK || c.Detail != "4.3.1 (/usr/bin/podman)" || c.Install != nil {
		t.Errorf("found: %+v", c)
	}
	for _, name := range []string{"podman", "docker"} {
		c := Engine(name, "", "", true, errors.New("not found"))
		if c.State != Failed || c.Install == nil || c.Install.RHEL == "" || c.Install.Debian == "" || c.Install.MacOS == "" {
			t.Errorf("missing: %+v", c)
		}
	}
	if c := Engine("podman", "", "", false, fault.Wrap(errors.New("broken"), "mend it")); c.State != Failed || c.Detail != "broken" || c.Hint != "mend it" || c.Install != nil {
		t.Errorf("broken: %+v", c)
	}
}

// R1.2: room for one Driver Toolkit has to be there, room for two should.
func TestRoom(t *testing.T) {
	dir := t.TempDir()
	have, err := free(dir)
	if err != nil || have == 0 {
		t.Fatalf("free: %d, %v", have, err)
	}
	for one, want := range map[uint64]State{1: OK, have - have/4: Warning, have * 2: Failed} {
		c := room(Check{}, filepath.Join(dir, "not/yet/there"), one)
		if c.State != want || (c.Hint == "") != (want == OK) {
			t.Errorf("one needs %d of %d: %+v", one, have, c)
		}
	}
	if c := Store("/no-such-folder-of-another-machine/storage"); c.State != Skipped || !strings.Contains(c.Detail, "not on this machine") {
		t.Errorf("elsewhere: %+v", c)
	}
	if c := Store(""); c.State != Skipped {
		t.Errorf("unknown: %+v", c)
	}
	if c := Temporary(dir); c.Name == "" || c.State == Skipped {
		t.Errorf("temporary: %+v", c)
	}
}
