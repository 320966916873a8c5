package plan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/version"
)

const (
	k94  = "5.14.0-427.68.2.el9_4.x86_64"
	k96  = "5.14.0-570.96.1.el9_6.x86_64"
	k96r = "5.14.0-570.96.1.el9_6.x86_64+rt"
)

// dtk makes the reference of a stand-in toolkit from one digit.
func dtk(n int) string {
	return "quay.io/x/dtk@sha256:" + strings.Repeat(fmt.Sprint(n), 64)
}

func entry(release string, n int, kernel string) string {
	e := fmt.Sprintf(`{"arch":"x86_64","dtk":%q,"version":%q`, dtk(n), release)
	if kernel != "" {
		e += fmt.Sprintf(`,"kernel":%q`, kernel)
	}
	return e + "}"
}

type fakeTarget map[string]bool

func (t fakeTarget) Tags(context.Context) (map[string]bool, error) { return t, nil }
func (t fakeTarget) Reference(tag string) string                   { return "r.example/kmod:" + tag }

// input makes an input of a matrix and catalogue entries; ask answers for toolkits without a kernel.
func input(t *testing.T, matrixJSON string, published []string, ask map[string]Resolved, entries ...string) Input {
	t.Helper()
	m, err := matrix.Parse("build-matrix.json", []byte(matrixJSON))
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Parse("driver-toolkit.json", []byte("["+strings.Join(entries, ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	tags := fakeTarget{}
	for _, p := range published {
		tags[p] = true
	}
	return Input{
		Entries: m.Entries, Catalog: c, Arch: "x86_64", Target: tags,
		Resolve: func(_ context.Context, toolkits []string) ([]Resolved, error) {
			var out []Resolved
			for _, tk := range toolkits {
				r, known := ask[tk]
				if !known {
					t.Errorf("asked for the kernel of %s", tk)
				}
				out = append(out, r)
			}
			return out, nil
		},
	}
}

func mustKernel(t *testing.T, s string) kernel.Version {
	t.Helper()
	k, err := kernel.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// lines renders the builds compactly for comparison.
func lines(p *Plan) []string {
	var out []string
	for _, b := range p.Builds {
		var rs []string
		for _, r := range b.Releases {
			rs = append(rs, r.String())
		}
		out = append(out, fmt.Sprintf("%s %s %s [%s] %d", b.Driver, b.Kernel, b.State, strings.Join(rs, " "), len(b.Toolkits)))
	}
	return out
}

// R4.3, R5.1, R6.2: one build per kernel, whatever the number of releases; what is published stays.
func TestMake(t *testing.T) {
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20"]},{"driver":"2.22.2.0","ocp_versions":["4.20.2"]}]`,
		[]string{"2.24.7.0-" + k94},
		map[string]Resolved{dtk(3): {Kernel: mustKernel(t, k96)}},
		entry("4.20.1", 1, k94), entry("4.20.10", 2, k96), entry("4.20.2", 3, ""), entry("4.21.0", 4, k96r))
	p, err := Make(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"2.24.7.0 " + k94 + " published [4.20.1] 1",
		"2.24.7.0 " + k96 + " missing [4.20.2 4.20.10] 2",
		"2.22.2.0 " + k96 + " missing [4.20.2] 1",
	}
	if diff := cmp.Diff(want, lines(p)); diff != "" {
		t.Error(diff)
	}
	if b := p.Builds[1]; b.Tag != "2.24.7.0-"+k96 || b.Image != "r.example/kmod:"+b.Tag || b.Toolkits[0] != dtk(2) {
		t.Errorf("build: %+v (the newest release's toolkit comes first)", b)
	}
	if !p.Complete() {
		t.Error("a plan with missing images and nothing wrong is complete")
	}
}

// R7.1: a driver's part of a plan has its builds, its releases and what of those is unresolved; images for kernels that no
// release boots any more are told as others.
func TestOf(t *testing.T) {
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20"]},{"driver":"2.22.2.0","ocp_versions":["4.20.2","4.21"]}]`,
		[]string{"2.24.7.0-" + k94, "2.24.7.0-5.14.0-1.el9_0.x86_64", "2.24.7.00-" + k94, "2.22.2.0-" + k94, "2.24.7.0"},
		map[string]Resolved{dtk(3): {Err: errors.New("gone")}},
		entry("4.20.1", 1, k94), entry("4.20.2", 2, k96), entry("4.21.0", 3, ""))
	p, err := Make(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ builds, releases, unresolved, others string }{
		{"[2.24.7.0 " + k94 + " published [4.20.1] 1 2.24.7.0 " + k96 + " missing [4.20.2] 1]", "[4.20.1 4.20.2]", "[]", "[2.24.7.0-5.14.0-1.el9_0.x86_64]"},
		{"[2.22.2.0 " + k96 + " missing [4.20.2] 1]", "[4.20.2 4.21.0]", "[4.21.0]", "[2.22.2.0-" + k94 + "]"},
	} {
		d := p.Drivers[i]
		one := p.ForDriver(d)
		var unresolved []version.OCP
		for _, u := range one.Unresolved {
			unresolved = append(unresolved, u.Release)
		}
		got := []string{fmt.Sprint(lines(one)), fmt.Sprint(one.Releases(d)), fmt.Sprint(unresolved), fmt.Sprint(one.UnplannedTags(d))}
		if diff := cmp.Diff([]string{want.builds, want.releases, want.unresolved, want.others}, got); diff != "" {
			t.Errorf("driver %s:\n%s", d, diff)
		}
		if len(one.Drivers) != 1 || one.Drivers[0] != d {
			t.Errorf("drivers %v", one.Drivers)
		}
	}
}

// R2.2: a toolkit that cannot be read costs its release, is named, and is not success.
func TestMakeUnresolved(t *testing.T) {
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20"]}]`, nil,
		map[string]Resolved{dtk(2): {Err: errors.New("manifest unknown")}},
		entry("4.20.1", 1, k94), entry("4.20.2", 2, ""))
	p, err := Make(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Builds) != 1 || p.Complete() {
		t.Errorf("builds %v, complete %v", lines(p), p.Complete())
	}
	if u := p.Unresolved; len(u) != 1 || u[0].Release.String() != "4.20.2" || u[0].Toolkit != dtk(2) || u[0].Reason != "manifest unknown" {
		t.Errorf("unresolved: %+v", u)
	}
}

// R2.1: the KMM tag form maps "+rt" to "_rt"; two kernels that need one tag cannot both be served.
func TestMakeTags(t *testing.T) {
	collision := strings.Replace(k96r, "+", "_", 1)
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20"]}]`, nil, nil,
		entry("4.20.1", 1, k96r), entry("4.20.2", 2, collision))
	p, err := Make(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var states []State
	for _, b := range p.Builds {
		if b.Tag != "2.24.7.0-"+collision {
			t.Errorf("tag of %s is %s", b.Kernel, b.Tag)
		}
		states = append(states, b.State)
	}
	if p.Count(Missing) != 1 || p.Count(Failed) != 1 {
		t.Errorf("states %v", states)
	}
}

// R2.2: a filter or matrix that meets nothing says what there is instead.
func TestMakeNothing(t *testing.T) {
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.22"]}]`, nil, nil, entry("4.20.1", 1, k94))
	_, err := Make(t.Context(), in)
	var nothing *catalog.NotFoundError
	if !errors.As(err, &nothing) || !strings.Contains(err.Error(), "4.22") || !strings.Contains(err.Error(), "4.20") {
		t.Errorf("error %v", err)
	}
}

func TestMakeNotes(t *testing.T) {
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20","4.22"]}]`, nil, nil, entry("4.20.1", 1, k94),
		strings.Replace(entry("4.20.1", 2, ""), "x86_64", "aarch64", 1))
	p, err := Make(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "4.22") {
		t.Errorf("notes %q", p.Notes)
	}
	if p.OtherArch != 1 || !strings.Contains(p.Summary(), "1 catalogue entry of another architecture left out") {
		t.Errorf("other architectures %d, summary %q", p.OtherArch, p.Summary())
	}
}

// A release counts for the kernel that its nodes boot, also where its toolkit is for another one: it is told of, and has
// an image that is there, one that any toolkit of the catalogue can build, or none that can be built.
func TestMakeNodes(t *testing.T) {
	marked := func(release string, n int, kernel, nodes string) string {
		return strings.TrimSuffix(entry(release, n, kernel), "}") + fmt.Sprintf(`,"node-kernel":%q}`, nodes)
	}
	note := func(release, nodes, toolkit string) string {
		return "the nodes of OpenShift " + release + " boot " + nodes + ", and its Driver Toolkit is for " + toolkit +
			": the release needs the image for what its nodes boot"
	}
	tests := []struct {
		name      string
		published []string
		entries   []string
		want      string
		toolkits  []string
		why       string
		notes     []string
	}{
		{
			name:    "no toolkit",
			entries: []string{marked("4.20.1", 1, k94, k96)},
			want:    "2.24.7.0 " + k96 + " unbuildable [4.20.1] 0",
			why:     "the nodes boot this kernel, and no Driver Toolkit in the catalogue is known to be for it",
			notes:   []string{note("4.20.1", k96, k94)},
		},
		{
			name:      "published",
			published: []string{"2.24.7.0-" + k96},
			entries:   []string{marked("4.20.1", 1, k94, k96)},
			want:      "2.24.7.0 " + k96 + " published [4.20.1] 0",
			notes:     []string{note("4.20.1", k96, k94)},
		},
		{
			name:     "the toolkit of another release",
			entries:  []string{marked("4.20.1", 1, k94, k96), marked("4.20.2", 2, k96, k96), entry("4.20.3", 3, k96), marked("4.21.1", 4, k94, k96)},
			want:     "2.24.7.0 " + k96 + " missing [4.20.1 4.20.2 4.20.3] 2",
			toolkits: []string{dtk(3), dtk(2)},
			notes:    []string{note("4.20.1", k96, k94)},
		},
		{
			name:     "the toolkit of a release that is not wanted",
			entries:  []string{marked("4.20.1", 1, k94, k96), entry("4.21.1", 4, k96), entry("4.21.2", 5, k96)},
			want:     "2.24.7.0 " + k96 + " missing [4.20.1] 2",
			toolkits: []string{dtk(5), dtk(4)},
			notes:    []string{note("4.20.1", k96, k94)},
		},
		{
			name:     "toolkits whose kernels are not recorded",
			entries:  []string{marked("4.20.1", 1, k94, k96), entry("4.21.1", 4, ""), entry("4.21.2", 5, ""), entry("4.21.3", 6, k94)},
			want:     "2.24.7.0 " + k96 + " missing [4.20.1] 1",
			toolkits: []string{dtk(4)},
			notes:    []string{note("4.20.1", k96, k94)},
		},
		{
			name:    "a toolkit that cannot be read",
			entries: []string{marked("4.20.1", 5, "", k96)},
			want:    "2.24.7.0 " + k96 + " unbuildable [4.20.1] 0",
			why:     "the nodes boot this kernel, and no Driver Toolkit in the catalogue is known to be for it",
			notes:   []string{note("4.20.1", k96, "another kernel")},
		},
		{
			name:     "the toolkit says the same as the mark",
			entries:  []string{marked("4.20.1", 1, "", k96)},
			want:     "2.24.7.0 " + k96 + " missing [4.20.1] 1",
			toolkits: []string{dtk(1)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := Resolved{Kernel: mustKernel(t, k96)}
			in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20"]}]`, tt.published,
				map[string]Resolved{dtk(1): k, dtk(4): k, dtk(5): {Err: errors.New("gone")}}, tt.entries...)
			p, err := Make(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.want}, lines(p)); diff != "" {
				t.Fatalf("builds (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.notes, p.Notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
			b := p.Builds[0]
			if diff := cmp.Diff(tt.toolkits, b.Toolkits); diff != "" || b.Error != tt.why {
				t.Errorf("toolkits (-want +got):\n%s\nerror %q, want %q", diff, b.Error, tt.why)
			}
			for _, force := range []bool{false, true} {
				if due := b.NeedsBuild(force); due != (len(tt.toolkits) > 0) {
					t.Errorf("with force %v: due %v", force, due)
				}
			}
			if want := b.State != Unbuildable; p.Complete() != want {
				t.Errorf("complete: %v", !want)
			}
		})
	}
}

func TestMakeKernelFilter(t *testing.T) {
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20"]}]`, nil, nil, entry("4.20.1", 1, k94), entry("4.20.2", 2, k96))
	in.Kernels = []kernel.Version{mustKernel(t, k96)}
	p, err := Make(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"2.24.7.0 " + k96 + " missing [4.20.2] 1"}, lines(p)); diff != "" {
		t.Error(diff)
	}
	in.Kernels = []kernel.Version{mustKernel(t, "6.1.0-1-amd64")}
	_, err = Make(t.Context(), in)
	var no *KernelError
	if !errors.As(err, &no) || !strings.Contains(err.Error(), k94) {
		t.Errorf("error %v", err)
	}
}

// R4.1: a toolkit whose kernel is for another architecture would cost a pull and fail at the compile.
func TestMakeWrongArchitecture(t *testing.T) {
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20"]}]`, nil,
		map[string]Resolved{dtk(1): {Kernel: mustKernel(t, "5.14.0-570.96.1.el9_6.aarch64")}}, entry("4.20.1", 1, ""))
	p, err := Make(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Builds) != 0 || len(p.Unresolved) != 1 || !strings.Contains(p.Unresolved[0].Reason, "aarch64") {
		t.Errorf("builds %v, unresolved %+v", lines(p), p.Unresolved)
	}
}

// R8.1: a kernel that may be an unresolved release's is not denied; the reasons are told instead.
func TestMakeKernelFilterUnresolved(t *testing.T) {
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20"]}]`, nil,
		map[string]Resolved{dtk(1): {Err: errors.New("unauthorized")}}, entry("4.20.1", 1, ""))
	in.Kernels = []kernel.Version{mustKernel(t, k96)}
	p, err := Make(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if p.Complete() || p.Unresolved[0].Reason != "unauthorized" {
		t.Errorf("unresolved %+v", p.Unresolved)
	}
}

// R2.2: what one entry records of a toolkit holds for another entry of the same toolkit; nobody is asked.
func TestMakeSharedToolkit(t *testing.T) {
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20"]}]`, nil, nil, entry("4.20.1", 1, k94), entry("4.20.2", 1, ""))
	p, err := Make(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"2.24.7.0 " + k94 + " missing [4.20.1 4.20.2] 1"}, lines(p)); diff != "" {
		t.Error(diff)
	}
}

// A plan never changes: what has become of it is another one, whose gaps are told as those of a plan are.
func TestWith(t *testing.T) {
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20"]}]`, []string{"2.24.7.0-" + k94}, nil, entry("4.20.1", 1, k94), entry("4.20.2", 2, k96))
	p, err := Make(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprintf("%+v", *p)
	gone := Unresolved{Release: p.Builds[1].Releases[0], Toolkit: dtk(2), Reason: "gone"}
	done := p.With(map[int]Outcome{0: {State: Missing}, 1: {State: Built, Digest: "sha256:1", Size: 2, Seconds: 3}}, gone, gone)
	preferred := done.WithToolkits(func(b Build) []string { return append(b.Toolkits, "mirror") })
	told := done.WithReasons(func(Unresolved) string { return "its Driver Toolkit is gone" })
	if after := fmt.Sprintf("%+v", *p); after != before {
		t.Errorf("the plan was changed:\n%s\n%s", before, after)
	}
	if b := done.Builds[1]; b.State != Built || b.Digest != "sha256:1" || b.Size != 2 || b.Seconds != 3 {
		t.Errorf("built: %+v", b)
	}
	if b := done.Builds[0]; b.State != Missing || b.Present() || len(done.Unresolved) != 1 || len(done.Builds[0].Toolkits) != 1 {
		t.Errorf("%+v, unresolved %+v", b, done.Unresolved)
	}
	if len(preferred.Builds[0].Toolkits) != 2 || told.Unresolved[0].Reason != "its Driver Toolkit is gone" || done.Unresolved[0].Reason != "gone" {
		t.Errorf("%+v, %+v", preferred.Builds[0], told.Unresolved)
	}
	without := p.WithToolkits(func(Build) []string { return nil }).With(map[int]Outcome{0: {State: Missing}})
	if b := without.Builds[0]; b.State != Unbuildable || b.Error == "" {
		t.Errorf("without Driver Toolkits: %+v", b)
	}
}

// R8.1: a resolver that may not ask ends the plan with its reason.
func TestMakeRefused(t *testing.T) {
	in := input(t, `[{"driver":"2.24.7.0","ocp_versions":["4.20"]}]`, nil, nil, entry("4.20.1", 1, ""))
	refused := errors.New("not before the engine answers")
	in.Resolve = func(context.Context, []string) ([]Resolved, error) { return nil, refused }
	if _, err := Make(t.Context(), in); !errors.Is(err, refused) {
		t.Errorf("error %v, want %v", err, refused)
	}
}
