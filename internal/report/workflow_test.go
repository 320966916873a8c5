package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/version"
)

// parse is for values that are known to be right.
func parse[T any](t *testing.T, f func(string) (T, error), s string) T {
	t.Helper()
	v, err := f(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func builds(t *testing.T, driver string, state plan.State, kernels ...string) []plan.Build {
	t.Helper()
	var out []plan.Build
	for _, k := range kernels {
		b := plan.Build{Driver: parse(t, version.ParseDriver, driver), Kernel: parse(t, kernel.Parse, k), State: state, Toolkits: []string{dtk(1)}}
		b.Tag = driver + "-" + k
		b.Image = "r.example/kmod:" + b.Tag
		out = append(out, b)
	}
	return out
}

func parsedJobs(t *testing.T, p *plan.Plan, force bool) []job {
	t.Helper()
	var buf bytes.Buffer
	n, err := JobMatrix(&buf, p, force)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Include []job }
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil || n != len(got.Include) || strings.Count(buf.String(), "\n") != 1 {
		t.Fatalf("%d jobs in %s: %v", n, buf.String(), err)
	}
	return got.Include
}

// R9.1: a job for each kernel with something due, with the drivers that are; forced, for all.
func TestJobMatrix(t *testing.T) {
	p := &plan.Plan{}
	p.Builds = append(builds(t, "2.24.7.0", plan.Missing, k96, k94), builds(t, "2.22.2.0", plan.Published, k94, k96r)...)
	p.Builds = append(p.Builds, builds(t, "2.28.0.0", plan.Missing, k96)...)
	p.Builds = append(p.Builds, builds(t, "2.28.0.0", plan.Failed, k96r)...)
	want := []job{{k94, k94, "2.24.7.0"}, {k96, k96, "2.24.7.0,2.28.0.0"}}
	if diff := cmp.Diff(want, parsedJobs(t, p, false)); diff != "" {
		t.Error(diff)
	}
	want = []job{{k94, k94, "2.24.7.0,2.22.2.0"}, {k96, k96, "2.24.7.0,2.28.0.0"}, {k96r, k96r, "2.22.2.0"}}
	if diff := cmp.Diff(want, parsedJobs(t, p, true)); diff != "" {
		t.Errorf("forced: %s", diff)
	}
	if got := parsedJobs(t, &plan.Plan{}, false); got == nil || len(got) != 0 {
		t.Errorf("an empty plan: %v", got)
	}
}

// R9.1: GitHub takes 256 jobs; more kernels share jobs evenly, each kernel in one of them.
func TestJobMatrixMany(t *testing.T) {
	for _, n := range []int{255, 256, 257, 600} {
		p := &plan.Plan{}
		for i := range n {
			p.Builds = append(p.Builds, builds(t, "2.24.7.0", plan.Missing, fmt.Sprintf("5.14.0-%d.1.el9_6.x86_64", i))...)
		}
		seen, least, most := map[string]int{}, n, 0
		jobs := parsedJobs(t, p, false)
		for _, j := range jobs {
			names := strings.Split(j.Kernels, ",")
			least, most = min(least, len(names)), max(most, len(names))
			for _, k := range names {
				seen[k]++
			}
			if len(names) > 1 && j.Name != fmt.Sprintf("%s and %d more", names[0], len(names)-1) {
				t.Errorf("name %q of %s", j.Name, j.Kernels)
			}
		}
		if len(jobs) != min(n, 256) || len(seen) != n || most-least > 1 {
			t.Errorf("%d kernels: %d jobs of %d to %d, %d kernels in them", n, len(jobs), least, most, len(seen))
		}
	}
}

// R8.3: the summary of a step tells what there is, with links, and what is missing and why; foreign text stays text.
func TestPlanMarkdown(t *testing.T) {
	p := &plan.Plan{Builds: append(builds(t, "2.24.7.0", plan.Built, k94), builds(t, "2.24.7.0", plan.Failed, k96)...)}
	p.Builds[0].Seconds, p.Builds[0].Size = 12.5, 2<<20
	p.Builds[0].Releases = []version.OCP{parse(t, version.ParseOCP, "4.20.1")}
	p.Builds[1].Error = "x.c:1: error: a | b\n<script>alert(1)</script> `code` [link](x)"
	p.Unresolved = []plan.Unresolved{{Release: parse(t, version.ParseOCP, "4.20.9"), Toolkit: dtk(1), Reason: "gone"}}
	got := PlanMarkdown(p, func(image string) string { return "https://" + strings.Replace(image, ":", "/", 1) })
	want := "### neuron-kmod: 2 images for 2 kernels: 1 built, 1 failed; 1 release unresolved\n\n" +
		"| | driver | kernel | releases | image | time | size |\n| --- | --- | --- | --- | --- | --- | --- |\n" +
		"| ✅ built | 2.24.7.0 | 5.14.0-427.68.2.el9\\_4.x86\\_64 | 4.20.1 | [`2.24.7.0-" + k94 + "`](https://r.example/kmod/2.24.7.0-" + k94 + ") | 12.5s | 2.0 MiB |\n" +
		"| ❌ failed | 2.24.7.0 | 5.14.0-570.96.1.el9\\_6.x86\\_64 |  | `2.24.7.0-" + k96 + "` | - | - |\n" +
		"\n#### What is missing\n\n" +
		"- driver 2.24.7.0 on kernel 5.14.0-570.96.1.el9\\_6.x86\\_64: failed: x.c:1: error: a \\| b &lt;script&gt;alert(1)&lt;/script&gt; \\`code\\` \\[link\\](x)\n" +
		"- OpenShift 4.20.9: gone\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
