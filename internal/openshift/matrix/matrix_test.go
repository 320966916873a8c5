package matrix_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/jsonfile"
)

const sample = `[
  {"driver": "2.24.7.0", "ocp_versions": ["4.20", "4.21.3", "4.21.4"]},
  {"ocp_versions": ["4.22"], "driver": "2.22.2.0"},
  {"driver": "2.28.1.0", "ocp_versions": ["4.20.16", "4.22"]}
]
`

func mustParseSample(t *testing.T) *matrix.Matrix {
	t.Helper()
	m, err := matrix.Parse("build-matrix.json", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lines writes entries as text, one a line.
func lines(entries []matrix.Entry) []string {
	var out []string
	for _, e := range entries {
		line := e.Driver.String() + ":"
		for _, s := range e.Selectors {
			line += " " + s.String()
		}
		out = append(out, line)
	}
	return out
}

// R2.1: drivers and their ocp_versions.
func TestParse(t *testing.T) {
	m := mustParseSample(t)
	want := []string{"2.24.7.0: 4.20 4.21.3 4.21.4", "2.22.2.0: 4.22", "2.28.1.0: 4.20.16 4.22"}
	if diff := cmp.Diff(want, lines(m.Entries)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if m.Path != "build-matrix.json" {
		t.Errorf("Path = %q", m.Path)
	}
	if got, want := m.Entries[1].Pos.String(), "build-matrix.json:3:40"; got != want {
		t.Errorf("the second driver is at %s, want %s", got, want)
	}
	var drivers []string
	for _, d := range m.Drivers() {
		drivers = append(drivers, d.String())
	}
	if diff := cmp.Diff([]string{"2.24.7.0", "2.22.2.0", "2.28.1.0"}, drivers); diff != "" {
		t.Errorf("drivers (-want +got):\n%s", diff)
	}
}

// R2.1, R8.1: a matrix that is not right is refused with its place and the mend.
func TestParseErrors(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"not JSON":          {"driver: 2.24.7.0", `m.json:1:1: unexpected "d"`},
		"truncated":         {sample[:100], "m.json:3:27: the file ends inside a list that starts in line 3, column 20"},
		"object on top":     {`{"driver": "2.24.7.0", "ocp_versions": ["4.20"]}`, "m.json:1:1: found an object where a list of drivers in [ ] belongs"},
		"null":              {"null", "m.json:1:1: found null where a list of drivers"},
		"no drivers":        {"[]", "m.json:1:1: the list of drivers is empty: add at least one"},
		"entry is text":     {`["2.24.7.0"]`, `m.json:1:2: found the text "2.24.7.0" where an object in { } belongs`},
		"unknown key":       {`[{"driver": "2.24.7.0", "ocp": ["4.20"]}]`, `m.json:1:25: unknown key "ocp": the keys are driver, ocp_versions`},
		"comment key":       {`[{"//": "x", "driver": "2.24.7.0", "ocp_versions": ["4.20"]}]`, `m.json:1:3: unknown key "//"`},
		"key twice":         {`[{"driver": "2.24.7.0", "driver": "2.24.8.0"}]`, `m.json:1:25: the key "driver" is here twice`},
		"no driver":         {`[{"ocp_versions": ["4.20"]}]`, `m.json:1:2: the key "driver" is missing`},
		"no releases":       {`[{"driver": "2.24.7.0"}]`, `m.json:1:2: the key "ocp_versions" is missing`},
		"empty entry":       {`[{}]`, `m.json:1:2: the key "driver" is missing`},
		"driver null":       {`[{"driver": null, "ocp_versions": ["4.20"]}]`, "m.json:1:13: found null where a text"},
		"driver number":     {`[{"driver": 2.24, "ocp_versions": ["4.20"]}]`, "m.json:1:13: found the number 2.24 where a text belongs: put it in double quotes"},
		"driver bracket":    {"[{\"driver\":\n \"2.22.2.0]\", \"ocp_versions\": [\"4.20\"]}]", `m.json:2:2: "2.22.2.0]" is not a driver version: unexpected ']' at character 9`},
		"driver empty":      {`[{"driver": "", "ocp_versions": ["4.20"]}]`, `m.json:1:13: "" is not a driver version: it is empty`},
		"driver is all":     {`[{"driver": "all", "ocp_versions": ["4.20"]}]`, `m.json:1:13: "all" is not a driver version`},
		"releases text":     {`[{"driver": "2.24.7.0", "ocp_versions": "4.20"}]`, `m.json:1:41: found the text "4.20" where a list of OpenShift releases in [ ] belongs`},
		"releases empty":    {`[{"driver": "2.24.7.0", "ocp_versions": []}]`, "m.json:1:41: the list of OpenShift releases is empty: add at least one"},
		"release number":    {`[{"driver": "2.24.7.0", "ocp_versions": [4.20]}]`, "m.json:1:42: found the number 4.20 where a text belongs"},
		"release list":      {`[{"driver": "2.24.7.0", "ocp_versions": [["4.20"]]}]`, "m.json:1:42: found a list where a text"},
		"release wildcard":  {`[{"driver": "2.24.7.0", "ocp_versions": ["4.x"]}]`, `m.json:1:42: "4.x" is not an OpenShift selector: unexpected 'x' at character 3`},
		"release with arch": {`[{"driver": "2.24.7.0", "ocp_versions": ["4.20.16-x86_64"]}]`, `m.json:1:42: "4.20.16-x86_64" is not an OpenShift selector`},
		"release twice":     {"[{\"driver\": \"2.24.7.0\", \"ocp_versions\": [\"4.20\",\n\"4.20\"]}]", "m.json:2:1: 4.20 is here twice: take one out"},
		"release in minor":  {`[{"driver": "2.24.7.0", "ocp_versions": ["4.20", "4.20.16"]}]`, "m.json:1:50: 4.20.16 is here twice, because 4.20 and 4.20.16 both select it: take one out"},
		"minor of release":  {`[{"driver": "2.24.7.0", "ocp_versions": ["4.20.16", "4.20"]}]`, "m.json:1:53: 4.20.16 is here twice, because 4.20.16 and 4.20 both select it"},
		"driver twice": {
			"[{\"driver\": \"2.24.7.0\", \"ocp_versions\": [\"4.20\"]},\n {\"driver\": \"2.24.7.0\", \"ocp_versions\": [\"4.21\"]}]",
			"m.json:2:13: driver 2.24.7.0 is here twice, first in line 1: put all its releases into one entry",
		},
		"byte order mark": {"\ufeff" + sample, "m.json:1:1: the file starts with a byte order mark"},
		"hostile driver":  {`[{"driver": "../../etc", "ocp_versions": ["4.20"]}]`, `m.json:1:13: "../../etc" is not a driver version`},
		"control":         {`[{"driver": "2.24\u001b[31m", "ocp_versions": ["4.20"]}]`, `m.json:1:13: "2.24\x1b[31m" is not a driver version`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := matrix.Parse("m.json", []byte(tt.in))
			if err == nil {
				t.Fatalf("no error but %v, want %q", lines(m.Entries), tt.want)
			}
			if _, ok := errors.AsType[*jsonfile.Error](err); !ok {
				t.Errorf("%T is not a *jsonfile.Error", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error\n  %s\ndoes not hold\n  %s", err, tt.want)
			}
		})
	}
}

// R2.1: build-matrix.json has to exist.
func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.json")
	if _, err := matrix.Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(fault.Of(err), "--matrix") {
		t.Errorf("a missing file: %v, hint %q", err, fault.Of(err))
	}
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := matrix.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if m.Path != path || len(m.Entries) != 3 {
		t.Errorf("loaded %d entries from %s", len(m.Entries), m.Path)
	}
	if err := os.WriteFile(path, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := matrix.Load(path); err == nil || !strings.HasPrefix(err.Error(), path+":1:1: ") {
		t.Errorf("an empty matrix: %v", err)
	}
}

// R2.1: the matrix of the project itself is valid.
func TestShippedMatrix(t *testing.T) {
	m, err := matrix.Load("../../../build-matrix.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"2.24.7.0: 4.20"}, lines(m.Entries)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// R2.1, R2.3, R9.1: DRIVER_VERSION and OCP_VERSION narrow the matrix.
func TestFilter(t *testing.T) {
	tests := []struct {
		driver, ocp string
		want        []string
	}{
		{"all", "", []string{"2.24.7.0: 4.20 4.21.3 4.21.4", "2.22.2.0: 4.22", "2.28.1.0: 4.20.16 4.22"}},
		{"2.24.7.0", "", []string{"2.24.7.0: 4.20 4.21.3 4.21.4"}},
		{"all", "4.20", []string{"2.24.7.0: 4.20", "2.28.1.0: 4.20.16"}},
		{"all", "4.20.16", []string{"2.24.7.0: 4.20.16", "2.28.1.0: 4.20.16"}},
		{"all", "4.20.15", []string{"2.24.7.0: 4.20.15"}},
		{"2.24.7.0", "4.21", []string{"2.24.7.0: 4.21.3 4.21.4"}},
		{"2.24.7.0", "4.21.4", []string{"2.24.7.0: 4.21.4"}},
		{"all", "4.22.0-rc.1", []string{"2.22.2.0: 4.22.0-rc.1", "2.28.1.0: 4.22.0-rc.1"}},
	}
	for _, tt := range tests {
		m := mustParseSample(t)
		got, err := m.Filter(tt.driver, tt.ocp)
		if err != nil {
			t.Errorf("Filter(%q, %q): %v", tt.driver, tt.ocp, err)
			continue
		}
		if diff := cmp.Diff(tt.want, lines(got)); diff != "" {
			t.Errorf("Filter(%q, %q) (-want +got):\n%s", tt.driver, tt.ocp, diff)
		}
		if diff := cmp.Diff(lines(mustParseSample(t).Entries), lines(m.Entries)); diff != "" {
			t.Errorf("Filter(%q, %q) changed the matrix:\n%s", tt.driver, tt.ocp, diff)
		}
	}
}

// R2.3, R8.1: a filter that nothing passes says what there is instead, and what to do.
func TestFilterErrors(t *testing.T) {
	tests := []struct {
		driver, ocp, want, advice string
		notFound                  bool
	}{
		{"2.24.8.0", "", "driver 2.24.8.0 is not in build-matrix.json, which has 2.24.7.0, 2.22.2.0, 2.28.1.0", "add an entry for 2.24.8.0", true},
		{"2.24.8.0", "4.99", "driver 2.24.8.0 is not in", "add an entry", true},
		{"2.24", "", "driver 2.24 is not in build-matrix.json, which has 2.24.7.0", "", true},
		{"2.24.7.0]", "", `"2.24.7.0]" is not a driver version`, `Name "all" or a driver of build-matrix.json: 2.24.7.0, 2.22.2.0, 2.28.1.0.`, false},
		{"", "", `"" is not a driver version: it is empty`, `Name "all"`, false},
		{"ALL", "", `"ALL" is not a driver version`, `Name "all"`, false},
		{"all", "4.19", "OpenShift 4.19 is not in build-matrix.json, which has 4.20.16, 4.20, 4.21.4, 4.21.3, 4.22", "add 4.19 to \"ocp_versions\"", true},
		{"all", "4.21.5", "OpenShift 4.21.5 is not in build-matrix.json, which has 4.21.4, 4.21.3, 4.22, 4.20, 4.20.16", "", true},
		{"2.22.2.0", "4.20", "OpenShift 4.20 for driver 2.22.2.0 is not in build-matrix.json, which has 4.22", "", true},
		{"all", "4.20.x", `"4.20.x" is not an OpenShift selector`, "Name a release such as 4.20.16", false},
		{"all", "all", `"all" is not an OpenShift selector`, "or none for all", false},
	}
	for _, tt := range tests {
		got, err := mustParseSample(t).Filter(tt.driver, tt.ocp)
		if err == nil {
			t.Errorf("Filter(%q, %q) = %v, want an error", tt.driver, tt.ocp, lines(got))
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Filter(%q, %q): error\n  %s\ndoes not hold\n  %s", tt.driver, tt.ocp, err, tt.want)
		}
		if advice := fault.Of(err); advice == "" || !strings.Contains(advice, tt.advice) {
			t.Errorf("Filter(%q, %q): advice %q does not hold %q", tt.driver, tt.ocp, advice, tt.advice)
		}
		if _, ok := errors.AsType[*matrix.NotFoundError](err); ok != tt.notFound {
			t.Errorf("Filter(%q, %q): %T is a NotFoundError: %t", tt.driver, tt.ocp, err, ok)
		}
	}
}
