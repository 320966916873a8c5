package mirror

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"neuron-kmod/internal/catalog"
	"neuron-kmod/internal/hint"
	"neuron-kmod/internal/registry"
)

const repository = "quay.io/x/dtk@sha256:"

var catalogue = `[
 {"arch":"x86_64","version":"4.20.9","dtk":"` + repository + strings.Repeat("1", 64) + `","kernel":"5.14.0-570.1.1.el9_6.x86_64"},
 {"arch":"x86_64","version":"4.20.10","dtk":"` + repository + strings.Repeat("2", 64) + `","kernel":"5.14.0-570.1.1.el9_6.x86_64"},
 {"arch":"x86_64","version":"4.20.11","dtk":"` + repository + strings.Repeat("3", 64) + `"},
 {"arch":"aarch64","version":"4.20.11","dtk":"` + repository + strings.Repeat("4", 64) + `","kernel":"5.14.0-570.2.1.el9_6.aarch64"},
 {"arch":"x86_64","version":"5.0.1","dtk":"` + repository + strings.Repeat("5", 64) + `","kernel":"5.14.0-700.1.1.el9_8.x86_64"},
 {"arch":"x86_64","version":"5.0.1","component":"driver-toolkit-10","dtk":"` + repository + strings.Repeat("6", 64) + `","kernel":"6.12.0-200.1.1.el10_2.x86_64"},
 {"arch":"x86_64","version":"5.0.2","dtk":"` + repository + strings.Repeat("5", 64) + `"}
]`

// Each release has its own tag, a second toolkit of a release another one, and a kernel is known by the toolkit's digest.
func TestToolkits(t *testing.T) {
	c, err := catalog.Parse("c.json", []byte(catalogue))
	if err != nil {
		t.Fatal(err)
	}
	var entries []catalog.Entry
	for _, e := range c.Entries {
		if e.Arch == "x86_64" {
			entries = append(entries, e)
		}
	}
	all := Toolkits(c, entries)
	want := []string{
		"4.20.9 1 5.14.0-570.1.1.el9_6.x86_64", "4.20.10 2 5.14.0-570.1.1.el9_6.x86_64", "4.20.11 3 ",
		"5.0.1 5 5.14.0-700.1.1.el9_8.x86_64", "5.0.1-driver-toolkit-10 6 6.12.0-200.1.1.el10_2.x86_64", "5.0.2 5 5.14.0-700.1.1.el9_8.x86_64",
	}
	if diff := cmp.Diff(want, lines(all)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = []string{want[1], want[4], want[5]}
	if diff := cmp.Diff(want, lines(OnePerKernel(all))); diff != "" {
		t.Errorf("one for each kernel (-want +got):\n%s", diff)
	}
	has := func(tags ...string) map[string]bool {
		place := map[string]bool{}
		for _, tag := range tags {
			place[tag] = true
		}
		return place
	}
	for name, tt := range map[string]struct {
		there, source map[string]bool
		want          []string
	}{
		"an older one is there":   {has("4.20.9"), nil, []string{"4.20.9", "5.0.1-driver-toolkit-10", "5.0.2"}},
		"the kernel is not known": {has("5.0.1", "4.20.11"), nil, []string{"4.20.10", "5.0.1", "5.0.1-driver-toolkit-10"}},
		"two are there":           {has("5.0.1", "5.0.2"), nil, []string{"4.20.10", "5.0.1-driver-toolkit-10", "5.0.2"}},
		"one is at the source":    {nil, has("4.20.9"), []string{"4.20.9", "5.0.1-driver-toolkit-10", "5.0.2"}},
		"one is at each":          {has("5.0.1"), has("5.0.2", "4.20.9"), []string{"4.20.9", "5.0.1", "5.0.1-driver-toolkit-10"}},
	} {
		var got []string
		for _, t := range OnePerKernel(all, tt.there, tt.source) {
			got = append(got, t.Tag)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func lines(all []Toolkit) (out []string) {
	for _, t := range all {
		out = append(out, strings.Join([]string{t.Tag, t.DTK[len(t.DTK)-1:], t.Kernel.String()}, " "))
	}
	return out
}

func TestReport(t *testing.T) {
	r := &Report{Mirror: "m", OtherArch: 1, Images: []Image{{Tag: "4.20.1"}, {Tag: "4.20.2"}, {Tag: "4.20.3"}, {Tag: "4.20.4"}}}
	r.Fill([]registry.Copy{
		{State: registry.CopyThere, Digest: "sha256:1", Size: 9},
		{State: registry.CopyMade, Digest: "sha256:2", Size: 2048, Sent: 2048},
		{State: registry.CopyFailed, Err: hint.Wrap(errors.New("it is gone"), "look elsewhere")},
		{State: registry.CopySkipped, Err: errors.New("interrupted")},
	})
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	want := `TAG     KERNEL  STATE    SENT     DIGEST
4.20.1  -       there    0 B      sha256:1
4.20.2  -       copied   2.0 KiB  sha256:2
4.20.3  -       failed   0 B      -
4.20.4  -       skipped  0 B      -

failed 4.20.3: it is gone (look elsewhere)

4 images: 1 there, 1 copied, 1 failed, 1 skipped; 2.0 KiB sent; 1 catalogue entry of another architecture left out
`
	if diff := cmp.Diff(want, table.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Complete() {
		t.Error("it is said to be complete")
	}
	r.Images = r.Images[:2]
	if !r.Complete() {
		t.Error("it is said not to be complete")
	}
	r.Images[0].State, r.Due = registry.CopyDue, 3<<30
	if got, want := r.Summary(), "2 images: 1 copied, 1 due; 3.0 GiB to send; 1 catalogue entry of another architecture left out"; got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
}

func TestSets(t *testing.T) {
	for name, tt := range map[string]struct {
		sets Sets
		want string
	}{
		"digests": {Sets{Name: "dtk", Sources: []string{"quay.io/b", "quay.io/a", "quay.io/b"}, Mirror: "registry.example.com:5000/m"}, `apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: dtk
spec:
  imageDigestMirrors:
    - source: quay.io/a
      mirrors:
        - registry.example.com:5000/m
    - source: quay.io/b
      mirrors:
        - registry.example.com:5000/m
`},
		"tags": {Sets{Name: "kmod", Sources: []string{"quay.io/a"}, Mirror: "h.test/m", Tags: true}, `apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: kmod
spec:
  imageDigestMirrors:
    - source: quay.io/a
      mirrors:
        - h.test/m
---
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata:
  name: kmod
spec:
  imageTagMirrors:
    - source: quay.io/a
      mirrors:
        - h.test/m
`},
	} {
		var got bytes.Buffer
		if err := tt.sets.WriteYAML(&got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// What looks like something else in YAML is still the same text.
	odd := Sets{Name: "null", Sources: []string{"1:2/on", "a: b #"}, Mirror: "!x"}
	var got bytes.Buffer
	var back mirrorSet
	if err := odd.WriteYAML(&got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(got.Bytes(), &back); err != nil || back.Metadata.Name != "null" || back.Spec.Digests[1].Source != "a: b #" || back.Spec.Digests[0].Mirrors[0] != "!x" {
		t.Errorf("error %v, read back as %+v from\n%s", err, back, got.String())
	}
}
