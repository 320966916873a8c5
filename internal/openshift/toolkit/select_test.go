package toolkit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/openshift/catalog"
)

const selectRepository = "quay.io/x/dtk@sha256:"

var catalogue = `[
 {"arch":"x86_64","version":"4.20.9","dtk":"` + selectRepository + strings.Repeat("1", 64) + `","kernel":"5.14.0-570.1.1.el9_6.x86_64"},
 {"arch":"x86_64","version":"4.20.10","dtk":"` + selectRepository + strings.Repeat("2", 64) + `","kernel":"5.14.0-570.1.1.el9_6.x86_64"},
 {"arch":"x86_64","version":"4.20.11","dtk":"` + selectRepository + strings.Repeat("3", 64) + `"},
 {"arch":"aarch64","version":"4.20.11","dtk":"` + selectRepository + strings.Repeat("4", 64) + `","kernel":"5.14.0-570.2.1.el9_6.aarch64"},
 {"arch":"x86_64","version":"5.0.1","dtk":"` + selectRepository + strings.Repeat("5", 64) + `","kernel":"5.14.0-700.1.1.el9_8.x86_64"},
 {"arch":"x86_64","version":"5.0.1","component":"driver-toolkit-10","dtk":"` + selectRepository + strings.Repeat("6", 64) + `","kernel":"6.12.0-200.1.1.el10_2.x86_64"},
 {"arch":"x86_64","version":"5.0.2","dtk":"` + selectRepository + strings.Repeat("5", 64) + `"}
]`

// Each release has its own tag, a second toolkit of a release another one, and a kernel is known by the toolkit's digest.
func TestCopies(t *testing.T) {
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
	all := Copies(c, entries)
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

func lines(all []Copy) (out []string) {
	for _, t := range all {
		out = append(out, strings.Join([]string{t.Tag, t.DTK[len(t.DTK)-1:], t.Kernel.String()}, " "))
	}
	return out
}
