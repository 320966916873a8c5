package catalog_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// image is a DTK image whose digest is made of one character.
func image(digit string) string {
	return "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:" + strings.Repeat(digit, 64)
}

var sample = `[
  {"version": "4.20.16", "arch": "x86_64", "dtk": "` + image("1") + `", "kernel": "5.14.0-570.96.1.el9_6.x86_64"},
  {"version": "4.20.9", "arch": "aarch64", "dtk": "` + image("2") + `"},
  {"version": "4.20.9", "arch": "x86_64", "dtk": "` + image("3") + `", "component": "driver-toolkit"},
  {"version": "5.0.0", "arch": "x86_64", "dtk": "` + image("4") + `", "component": "driver-toolkit-10", "kernel": "6.12.0-124.8.1.el10_1.x86_64"},
  {"version": "5.0.0", "arch": "x86_64", "dtk": "` + image("5") + `"},
  {"version": "4.9.0-rc.1", "arch": "x86_64", "dtk": "` + image("6") + `", "kernel": "4.18.0-305.el8"}
]`

// encoded is what Encode makes of sample.
var encoded = `[
  {
    "arch": "x86_64",
    "dtk": "` + image("6") + `",
    "version": "4.9.0-rc.1",
    "kernel": "4.18.0-305.el8"
  },
  {
    "arch": "aarch64",
    "dtk": "` + image("2") + `",
    "version": "4.20.9"
  },
  {
    "arch": "x86_64",
    "dtk": "` + image("3") + `",
    "version": "4.20.9"
  },
  {
    "arch": "x86_64",
    "dtk": "` + image("1") + `",
    "version": "4.20.16",
    "kernel": "5.14.0-570.96.1.el9_6.x86_64"
  },
  {
    "arch": "x86_64",
    "dtk": "` + image("5") + `",
    "version": "5.0.0"
  },
  {
    "arch": "x86_64",
    "dtk": "` + image("4") + `",
    "version": "5.0.0",
    "kernel": "6.12.0-124.8.1.el10_1.x86_64",
    "component": "driver-toolkit-10"
  }
]
`

func mustParse(t *testing.T, text string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Parse("driver-toolkit.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// lines writes entries as text, one a line.
func lines(entries []catalog.Entry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, strings.Join([]string{e.Version.String(), e.Arch, e.DTK[len(e.DTK)-1:], e.Kernel.String(), e.Component}, " "))
	}
	return out
}

// R2.2: OpenShift releases and their DTK images.
func TestParse(t *testing.T) {
	c := mustParse(t, sample)
	want := []string{
		"4.20.16 x86_64 1 5.14.0-570.96.1.el9_6.x86_64 ",
		"4.20.9 aarch64 2  ",
		"4.20.9 x86_64 3  ",
		"5.0.0 x86_64 4 6.12.0-124.8.1.el10_1.x86_64 driver-toolkit-10",
		"5.0.0 x86_64 5  ",
		"4.9.0-rc.1 x86_64 6 4.18.0-305.el8 ",
	}
	if diff := cmp.Diff(want, lines(c.Entries)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if got := c.Entries[0].DTK; got != image("1") {
		t.Errorf("DTK = %q", got)
	}
	if got := c.Entries[1].Pos.String(); got != "driver-toolkit.json:3:3" {
		t.Errorf("the second entry is at %s", got)
	}
}

// The bytes of a catalogue depend on its entries alone.
func TestEncode(t *testing.T) {
	c := mustParse(t, sample)
	for range 2 {
		got, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(encoded, string(got)); diff != "" {
			t.Errorf("encoded (-want +got):\n%s", diff)
		}
		slices.Reverse(c.Entries)
	}
	again, err := mustParse(t, encoded).Encode()
	if err != nil || string(again) != encoded {
		t.Errorf("encoding again: %v\n%s", err, cmp.Diff(encoded, string(again)))
	}
}

// What Parse would refuse is never written.
func TestEncodeRefuses(t *testing.T) {
	good := mustParse(t, sample).Entries
	tagged := good[0]
	tagged.DTK = "quay.io/x/y:latest"
	for name, entries := range map[string][]catalog.Entry{
		"no entries": nil,
		"a tag":      {tagged},
		"zero":       {{}},
		"twice":      {good[0], good[0]},
	} {
		if text, err := (&catalog.Catalog{Path: "c.json", Entries: entries}).Encode(); err == nil {
			t.Errorf("%s: encoded\n%s", name, text)
		}
	}
}

// R2.2: 4.20 matches 4.20.0, 4.20.1 and so on; entries of other architectures are left out and counted.
func TestSelect(t *testing.T) {
	tests := []struct {
		selectors []string
		arch      string
		want      []string
		other     int
	}{
		{[]string{"4.20"}, "x86_64", []string{"4.20.9 x86_64 3  ", "4.20.16 x86_64 1 5.14.0-570.96.1.el9_6.x86_64 "}, 1},
		{[]string{"4.20"}, "aarch64", []string{"4.20.9 aarch64 2  "}, 2},
		{[]string{"4.20"}, "s390x", nil, 3},
		{[]string{"4.20.16"}, "x86_64", []string{"4.20.16 x86_64 1 5.14.0-570.96.1.el9_6.x86_64 "}, 0},
		{[]string{"5.0"}, "x86_64", []string{"5.0.0 x86_64 5  ", "5.0.0 x86_64 4 6.12.0-124.8.1.el10_1.x86_64 driver-toolkit-10"}, 0},
		{[]string{"4.20.9", "4.9"}, "x86_64", []string{"4.9.0-rc.1 x86_64 6 4.18.0-305.el8 ", "4.20.9 x86_64 3  "}, 1},
		{[]string{"4.2"}, "x86_64", nil, 0},
		{nil, "x86_64", nil, 0},
	}
	for _, tt := range tests {
		c := mustParse(t, sample)
		got, other := c.Select(selectors(t, tt.selectors...), tt.arch)
		if diff := cmp.Diff(tt.want, lines(got)); diff != "" || other != tt.other {
			t.Errorf("Select(%v, %s): %d others, want %d, (-want +got):\n%s", tt.selectors, tt.arch, other, tt.other, diff)
		}
		if diff := cmp.Diff(lines(mustParse(t, sample).Entries), lines(c.Entries)); diff != "" {
			t.Errorf("Select(%v, %s) changed the catalogue:\n%s", tt.selectors, tt.arch, diff)
		}
	}
}

func selectors(t *testing.T, texts ...string) (ss []version.Selector) {
	t.Helper()
	for _, text := range texts {
		s, err := version.ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		ss = append(ss, s)
	}
	return ss
}

// R2.2, R8.1: a release that is not there says which are.
func TestMissing(t *testing.T) {
	tests := []struct{ selector, arch, want string }{
		{"4.20", "x86_64", ""},
		{"4.20.9", "aarch64", ""},
		{"4.20.15", "x86_64", "OpenShift 4.20.15 for x86_64 is not in driver-toolkit.json, which has 4.20.16, 4.20.9"},
		{"4.20.16", "aarch64", "OpenShift 4.20.16 for aarch64 is not in driver-toolkit.json, which has 4.20.9"},
		{"4.19", "x86_64", "OpenShift 4.19 for x86_64 is not in driver-toolkit.json, which has 4.20, 4.9, 5.0"},
		{"4.20", "s390x", "OpenShift 4.20 for s390x is not in driver-toolkit.json"},
	}
	for _, tt := range tests {
		err := mustParse(t, sample).Missing(selectors(t, tt.selector)[0], tt.arch)
		if tt.want == "" {
			if err != nil {
				t.Errorf("Missing(%s, %s): %v", tt.selector, tt.arch, err)
			}
			continue
		}
		if _, ok := errors.AsType[*catalog.NotFoundError](err); !ok || err.Error() != tt.want {
			t.Errorf("Missing(%s, %s):\n  %v\nwant\n  %s", tt.selector, tt.arch, err, tt.want)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.json")
	if _, err := catalog.Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(fault.Of(err), "--catalog") {
		t.Errorf("a missing file: %v, hint %q", err, fault.Of(err))
	}
	if err := os.WriteFile(path, []byte(encoded), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Path != path || len(c.Entries) != 6 {
		t.Errorf("loaded %d entries from %s", len(c.Entries), c.Path)
	}
}

// What is known of a release's toolkits is read, and written where it is true.
func TestOnly(t *testing.T) {
	c := mustParse(t, `[{"version": "5.0.1", "only": true, "arch": "x86_64", "dtk": "`+image("1")+`"},
		{"version": "5.0.2", "only": false, "arch": "x86_64", "dtk": "`+image("2")+`"}]`)
	if !c.Entries[0].SingleToolkit || c.Entries[1].SingleToolkit {
		t.Errorf("entries %+v", c.Entries)
	}
	text, err := c.Encode()
	if err != nil || strings.Count(string(text), "only") != 1 || !strings.Contains(string(text), "\"version\": \"5.0.1\",\n    \"only\": true\n") {
		t.Errorf("error %v, file\n%s", err, text)
	}
}
