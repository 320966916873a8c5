package doctor

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/config"
	"neuron-kmod/internal/hint"
)

var update = flag.Bool("update", false, "rewrite golden files")

// example has a check of each kind.
func example() Report {
	end := time.Date(2026, 11, 24, 12, 0, 0, 0, time.FixedZone("", 3600))
	failed := Check{Group: "registries", Name: "target takes images"}.Fail(hint.Wrap(errors.New("refused\nfor a reason"), "ask for it"))
	return NewReport([]config.Setting{{Name: "environment", Value: "local", Override: "GITHUB_ACTIONS"}, {Name: "AWS region", Override: "AWS_REGION"}}, []Check{
		{Group: "tools", Name: "aws", State: BuiltIn, Detail: "the AWS SDK v1.48.0", Version: "v1.48.0"},
		Engine("podman", "", "", true, errors.New("not found")),
		{Group: "credentials", Name: "AWS identity", State: OK, Detail: "arn", Source: "profile work", Identity: "arn", ValidUntil: &end},
		{Group: "credentials", Name: "base image", State: Warning, Detail: "anonymous", Hint: "log in"},
		failed,
		Check{Group: "registries", Name: "mirror"}.Skip("not tried: no AWS"),
	})
}

// R1.2, R8.1: the report reads well for a person, and its JSON keeps its form.
func TestReport(t *testing.T) {
	for name, write := range map[string]func(*strings.Builder) error{
		"table.txt":   func(sb *strings.Builder) error { return example().WriteTable(sb) },
		"report.json": func(sb *strings.Builder) error { return example().WriteJSON(sb) },
	} {
		var got strings.Builder
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if example().OK || !NewReport(nil, []Check{{State: Warning}, {State: Skipped}}).OK {
		t.Error("a report is ok if and only if no check failed")
	}
	var decoded Report
	data, err := json.Marshal(example())
	if err == nil {
		err = json.Unmarshal(data, &decoded)
	}
	if err != nil || len(decoded.Checks) != len(example().Checks) {
		t.Errorf("JSON read back: %v, %+v", err, decoded)
	}
}

// What a registry or an engine says reaches no terminal as a command.
func TestTablePrintable(t *testing.T) {
	const hostile = "\x1b[2J\u202e\r\x07said"
	c := Check{Group: "registries", Name: hostile, Source: hostile}.Fail(hint.Wrap(errors.New(hostile), hostile))
	var got strings.Builder
	if err := NewReport([]config.Setting{{Name: "AWS profile", Value: hostile}}, []Check{c}).WriteTable(&got); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(got.String(), "\x1b\u202e\r\x07") || strings.Count(got.String(), "said") != 5 {
		t.Errorf("%q", got.String())
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
	if c := Engine("podman", "", "", false, hint.Wrap(errors.New("broken"), "mend it")); c.State != Failed || c.Detail != "broken" || c.Hint != "mend it" || c.Install != nil {
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
