package release

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// build makes one of the plan's builds of driver 2.24.7.0.
func build(t testing.TB, k string, state plan.State, releases ...string) plan.Build {
	t.Helper()
	tag := "2.24.7.0-" + mustKernel(t, k).Tag()
	b := plan.Build{
		Driver: mustDriver(t, "2.24.7.0"), Kernel: mustKernel(t, k), Tag: tag, Image: "registry.example/me/kmod:" + tag,
		State: state, Releases: mustReleases(t, releases...),
	}
	if state == plan.Published || state == plan.Built {
		b.Digest, b.Size = digest([]byte(tag)), 1_500_000
	}
	return b
}

func withError(b plan.Build, text string) plan.Build {
	b.Error = text
	return b
}

func notesInput(t testing.TB, builds ...plan.Build) NotesInput {
	t.Helper()
	return NotesInput{
		Plan:       &plan.Plan{Drivers: []version.Driver{mustDriver(t, "2.24.7.0")}, Builds: builds},
		Repository: "registry.example/me/kmod",
		BusyBox:    []string{"1.36.1"},
	}
}

// mixed is a plan with everything that notes can have to tell.
func mixed(t testing.TB) NotesInput {
	t.Helper()
	in := notesInput(t,
		build(t, el9_6, plan.Published, "4.20.1", "4.20.2", "4.20.3", "4.20.10", "4.21.0-rc.1", "4.21.0"),
		build(t, el9_4rt, plan.Built, "4.18.15", "4.18.16", "4.19.5"),
		withError(build(t, el9_8, plan.Failed, "4.22.0"), "\ncompile driver 2.24.7.0: neuron_cdev.c:12: error: <b>`x`</b> | @me #1 \\\nthe whole log: /somewhere"),
		build(t, el9_5, plan.Missing, "4.20.4", "4.20.5", "4.20.6"),
		withError(build(t, el9_4, plan.Skipped, "4.18.17"), "stopped after the first failure"),
	)
	for _, u := range []struct{ release, toolkit, reason string }{
		{"4.20.12", "a", "manifest unknown"}, {"4.20.12", "b", "manifest unknown"}, {"4.20.11", "c", "unauthorized (log in: `podman login`)"}, {"4.20.13", "d", ""},
	} {
		in.Plan = in.Plan.With(nil, plan.Unresolved{Release: mustReleases(t, u.release)[0], Toolkit: u.toolkit, Reason: u.reason})
	}
	return in
}

// R7.1: the notes, in whole.
func TestNotes(t *testing.T) {
	nothing := notesInput(t)
	plain := notesInput(t, build(t, el9_4, plan.Published, "4.18.15"))
	plain.BusyBox, plain.Plan.Builds[0].Digest, plain.Plan.Builds[0].Size = nil, "", 0
	for name, in := range map[string]NotesInput{"mixed": mixed(t), "nothing": nothing, "plain": plain} {
		t.Run(name, func(t *testing.T) {
			first, err := Notes(in)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".md", first)
			if again, err := Notes(in); err != nil || again != first {
				t.Errorf("again: other notes, error %v", err)
			}
		})
	}
}

// R7.1: the lines that others may rely on, in the requirement's own words.
func TestNotesAvailableLines(t *testing.T) {
	in := notesInput(t,
		build(t, "6.8.0-47.15.1.el9_4.x86_64", plan.Built, "4.19.8", "4.19.9"),
		build(t, el9_6, plan.Missing, "4.20.0"),
		build(t, "5.14.0-427.68.2.el9_4.x86_64", plan.Published, "4.18.15", "4.18.16", "4.19.5"),
	)
	text, err := Notes(in)
	if err != nil {
		t.Fatal(err)
	}
	want := "## Available Images\n" +
		"- `2.24.7.0-5.14.0-427.68.2.el9_4.x86_64` (compatible with OCP: 4.18.15, 4.18.16, 4.19.5)\n" +
		"- `2.24.7.0-6.8.0-47.15.1.el9_4.x86_64` (compatible with OCP: 4.19.8, 4.19.9)\n\n"
	if !strings.Contains(text, want) {
		t.Errorf("the notes lack\n%s\nthey are\n%s", want, text)
	}
	var tags []string
	for _, b := range Available(in.Plan) {
		tags = append(tags, b.Tag)
	}
	if diff := cmp.Diff(availableTags(text), tags); diff != "" {
		t.Errorf("Available and the notes differ:\n%s", diff)
	}
}

var availableLine = regexp.MustCompile("(?m)^- `([^`]+)` \\(compatible with OCP: [^)]+\\)$")

func availableTags(text string) []string {
	var tags []string
	for _, m := range availableLine.FindAllStringSubmatch(text, -1) {
		tags = append(tags, m[1])
	}
	return tags
}

// R7.1: notes of several drivers, or of another one, are a mistake.
func TestNotesOfOneDriver(t *testing.T) {
	two := mixed(t)
	two.Plan.Drivers = append(two.Plan.Drivers, mustDriver(t, "2.28.0.0"))
	other := mixed(t)
	other.Plan.Drivers[0] = mustDriver(t, "2.28.0.0")
	for want, in := range map[string]NotesInput{"the plan has 2": two, "the plan has a build of 2.24.7.0": other} {
		if _, err := Notes(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// R7.1: the shortened form, in whole.
func TestNotesWithoutTable(t *testing.T) {
	n, err := newNotes(mixed(t))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "without-table.md", n.render(false))
}

// large is a plan of that many kernels, each of eight releases that follow each other.
func large(t testing.TB, kernels int) NotesInput {
	t.Helper()
	var builds []plan.Build
	for k := range kernels {
		var releases []string
		for r := range 8 {
			releases = append(releases, fmt.Sprintf("4.%d.%d", 18+k/100, k%100*8+r))
		}
		state := plan.Published
		if k%4 == 3 {
			state = plan.Failed
		}
		b := build(t, fmt.Sprintf("5.14.0-%d.1.1.el9_6.x86_64", 100+k), state, releases...)
		if state == plan.Failed {
			b.Error = strings.Repeat("error: ", 20)
		}
		builds = append(builds, b)
	}
	return notesInput(t, builds...)
}

// R7.1: GitHub's limit holds whatever the size: the table goes, which the notes say, and no image is ever left out.
func TestNotesLimit(t *testing.T) {
	const shortened = "the table of OpenShift releases is left out"
	for kernels, table := range map[int]bool{10: true, 100: true, 300: false, 400: false} {
		t.Run(fmt.Sprint(kernels), func(t *testing.T) {
			in := large(t, kernels)
			text, err := Notes(in)
			if err != nil {
				t.Fatal(err)
			}
			if len(text) > MaxNotes {
				t.Errorf("%d bytes", len(text))
			}
			if strings.Contains(text, shortened) == table || strings.Contains(text, "## OpenShift Releases and Kernels") != table {
				t.Errorf("the table is there, or the notes do not say that it is not; want it: %v", table)
			}
			var all []string
			for _, b := range Available(in.Plan) {
				all = append(all, b.Tag)
			}
			if diff := cmp.Diff(all, availableTags(text)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if text, err := Notes(large(t, 2500)); err == nil || fault.Of(err) == "" || !strings.Contains(err.Error(), "GitHub takes 125000") {
		t.Errorf("too many kernels: %d bytes, error %v", len(text), err)
	}
}
