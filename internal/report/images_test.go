package report

import (
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/plan/inventory"
	"neuron-kmod/internal/version"
)

var update = flag.Bool("update", false, "rewrite golden files")

const repository = "registry.example/me/kmod"

// target has the images of some tags.
type target map[string]bool

func (t target) Tags(context.Context) (map[string]bool, error) { return t, nil }
func (t target) Reference(tag string) string                   { return repository + ":" + tag }

const (
	el9_6 = "5.14.0-570.96.1.el9_6.x86_64"
	el9_8 = "5.14.0-611.5.1.el9_8.x86_64"
)

// mixed is a plan with two drivers, one kernel that is published for one of them, and a release that cannot be resolved.
func mixed(t *testing.T, reason string) *plan.Plan {
	t.Helper()
	entries := `[{"driver": "2.24.7.0", "ocp_versions": ["4.20"]}, {"driver": "2.28.0.0", "ocp_versions": ["4.20", "4.21"]}]`
	m, err := matrix.Parse("build-matrix.json", []byte(entries))
	if err != nil {
		t.Fatal(err)
	}
	dtk := func(n string) string { return "quay.io/x/dtk@sha256:" + strings.Repeat(n, 64) }
	c, err := catalog.Parse("driver-toolkit.json", []byte(`[
  {"arch": "x86_64", "dtk": "`+dtk("1")+`", "version": "4.20.1", "kernel": "`+el9_6+`"},
  {"arch": "x86_64", "dtk": "`+dtk("2")+`", "version": "4.20.2", "kernel": "`+el9_6+`"},
  {"arch": "x86_64", "dtk": "`+dtk("3")+`", "version": "4.21.0", "kernel": "`+el9_8+`"},
  {"arch": "x86_64", "dtk": "`+dtk("4")+`", "version": "4.21.1"},
  {"arch": "x86_64", "dtk": "`+dtk("5")+`", "version": "4.21.1", "component": "driver-toolkit-10"}
]`))
	if err != nil {
		t.Fatal(err)
	}
	in := plan.Input{
		Entries: m.Entries, Catalog: c, Arch: "x86_64",
		Target: target{"2.24.7.0-" + el9_6: true, "2.28.0.0-" + el9_6: true, "2.24.7.0-4.18.0-1.el8.x86_64": true},
		Resolve: func(_ context.Context, toolkits []string) ([]plan.Resolved, error) {
			return slices.Repeat([]plan.Resolved{{Err: errors.New(reason)}}, len(toolkits)), nil
		},
	}
	p, err := plan.Make(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Builds {
		if b := &p.Builds[i]; b.State == plan.Published {
			b.Digest, b.Size = "sha256:"+strings.Repeat("ab", 32), 1_500_000
			b.Created = time.Date(2026, 11, 24, 1, 2, 3, 0, time.FixedZone("", 3600))
		}
	}
	return p
}

// What there is and what is missing, in each of the three forms.
func TestImages(t *testing.T) {
	v := inventory.New(mixed(t, "its Driver Toolkit\n is gone"), repository)
	v.Unplanned = 1
	driver, err := version.ParseDriver("2.24.7.0")
	if err != nil {
		t.Fatal(err)
	}
	v.AddUnplanned(inventory.Image{Driver: driver, Tag: "2.24.7.0-4.18.0-1.el8.x86_64", Digest: "sha256:" + strings.Repeat("cd", 32), Size: 900})
	var table, json, csv strings.Builder
	if err := errors.Join(ImagesTable(&table, v), ImagesJSON(&json, v), ImagesCSV(&csv, v)); err != nil {
		t.Fatal(err)
	}
	golden(t, "images.txt", table.String())
	golden(t, "images.json", json.String())
	golden(t, "images.csv", csv.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// A release with two Driver Toolkits that fail for one reason is one gap for each driver that has the release.
func TestNewCounts(t *testing.T) {
	v := inventory.New(mixed(t, "gone"), repository)
	for s, want := range map[inventory.State]int{inventory.Ready: 2, inventory.Missing: 1, inventory.Unknown: 1, inventory.Unplanned: 0} {
		if got := v.Count(s); got != want {
			t.Errorf("%d %s, want %d", got, s, want)
		}
	}
	if v.Gaps() != 2 {
		t.Errorf("%d gaps, want 2", v.Gaps())
	}
}

// Images of a directory have no name by digest.
func TestPullOfFolder(t *testing.T) {
	k, err := kernel.Parse(el9_6)
	if err != nil {
		t.Fatal(err)
	}
	p := mixed(t, "gone")
	for _, i := range inventory.New(p, "oci:images").Images {
		if want := "oci:images:" + i.Tag; i.Kernel == k && i.Pull != want {
			t.Errorf("pull reference %q, want %q", i.Pull, want)
		}
	}
}

// A reason may be anything that a registry or a file has said. It stays in its cell, as text.
func TestImagesCSVHostile(t *testing.T) {
	for _, reason := range []string{`=HYPERLINK("http://x")`, "+1", "-1", "@SUM(A1)", "a,b\"c", "\"", "a\rb\nc", "'", "\x00"} {
		v := &inventory.Inventory{Images: []inventory.Image{{State: inventory.Missing, Reason: reason}}}
		var b strings.Builder
		if err := ImagesCSV(&b, v); err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
		if err != nil {
			t.Fatalf("%q: %v in %q", reason, err, b.String())
		}
		if len(lines) != 2 || len(lines[1]) != 10 {
			t.Fatalf("%q: %q", reason, lines)
		}
		got := lines[1][4]
		if strings.ContainsAny(got[:1], "=+-@\t\r") {
			t.Errorf("%q is a formula in %q", reason, got)
		}
		if plain := strings.NewReplacer("\r\n", "\n", "\r", "").Replace(reason); strings.TrimPrefix(got, "'") != strings.TrimPrefix(plain, "'") {
			t.Errorf("%q became %q", reason, got)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// What cannot be written is told.
func TestImagesFail(t *testing.T) {
	v := inventory.New(mixed(t, "gone"), repository)
	for name, err := range map[string]error{"table": ImagesTable(fullDisk{}, v), "JSON": ImagesJSON(fullDisk{}, v), "CSV": ImagesCSV(fullDisk{}, v)} {
		if err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
