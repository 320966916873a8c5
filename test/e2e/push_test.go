//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"neuron-kmod/internal/oci/auth"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/test/lab"
)

// A target that is busy, broken or drops the connection during an upload gets the image in the end, whole.
// R6.2
func TestPushFaults(t *testing.T) {
	t.Parallel()
	upload := regexp.MustCompile(`/blobs/uploads/`)
	for name, faults := range map[string][]lab.Fault{
		"429": {{
			Method: http.MethodPost, Path: upload, Skip: 1 /* CheckPush */, Times: 2,
			Status: http.StatusTooManyRequests, RetryAfter: "1",
		}},
		"500": {
			{Method: http.MethodPatch, Path: upload, Times: 1, Status: http.StatusInternalServerError},
			{Method: http.MethodPut, Path: regexp.MustCompile(`/manifests/`), Times: 1, Status: http.StatusInternalServerError},
		},
		"reset": {
			{Method: http.MethodPatch, Path: upload, Times: 1, Reset: true},
			{Method: http.MethodPut, Path: regexp.MustCompile(`/manifests/2`), Times: 1, Reset: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := scenario(t, known())
			toRegistry(t, env)
			times := 0
			var hits []func() int32
			for i, f := range faults {
				counted, n := struck(f)
				faults[i], times = counted, times+f.Times
				hits = append(hits, n.Load)
			}
			env.TargetFaults.Set(faults...)
			r := build(t, env)
			expect(t, r, 0)
			expectState(t, r, "built")
			for _, n := range hits {
				times -= int(n())
			}
			if times != 0 {
				t.Errorf("%d of the faults did not happen", times)
			}
			expectTags(t, env, r.report.Builds[0].Tag)
		})
	}
}

// A target that refuses to be written to is found out before anything is pulled or compiled; nothing is published.
// R6.2, R8.1
func TestPushReadOnly(t *testing.T) {
	t.Parallel()
	env := scenario(t, known())
	toRegistry(t, env)
	both := []lab.MatrixEntry{
		{Driver: other, OCPVersions: []string{"4.20"}}, {Driver: driver, OCPVersions: []string{"4.20"}},
	}
	if err := env.WriteMatrix(both); err != nil {
		t.Fatal(err)
	}
	env.TargetFaults.ReadOnly(true)
	env.ToolkitFaults.Reset()
	before := images(t, env)
	r := build(t, env)
	expect(t, r, 5, "405", env.Target, "hint: ")
	if n := env.ToolkitFaults.Total().Requests; n != 0 {
		t.Errorf("the DTK registry was asked %d times", n)
	}
	expectTags(t, env)
	expectClean(t, env, before)
}

// Credentials are checked before anything is pulled or compiled.
// R8.1, R10.2
func TestPushCredentials(t *testing.T) {
	t.Parallel()
	env := scenario(t, known())
	toRegistry(t, env)
	env = withPassword(t, env, env.TargetHost, "no-such-password")
	env.ToolkitFaults.Reset()
	r := build(t, env)
	expect(t, r, 4, "refuses the credentials from REGISTRY_AUTH_FILE", "may list the tags")
	if n := env.ToolkitFaults.Total().Requests; n != 0 {
		t.Errorf("the DTK registry was asked %d times", n)
	}
}

// Two runs at once against one target, with the same state directory and podman storage: both end well, every tag
// is a good image, nothing is left, and neither takes the other's Driver Toolkits away.
// R6.2, R8.2
func TestTwoRuns(t *testing.T) {
	t.Parallel()
	second := known()
	second.Version, second.Toolkit.Kernel = "4.20.2", sharedLab.DebianKernel(lab.RealTime)
	env := scenario(t, known(), second)
	toRegistry(t, env)
	before := images(t, env)
	one, two := launch(t, env), launch(t, env)
	for _, r := range []result{one.result(), two.result()} {
		expect(t, r, 0)
		if len(r.report.Builds) != 2 || r.report.count("built")+r.report.count("published") != 2 {
			t.Errorf("builds: %+v", r.report.Builds)
		}
		for _, b := range r.report.Builds {
			if v := run(t, env, "verify", b.Image); v.code != 0 || !strings.Contains(v.stdout, b.Digest) {
				t.Errorf("%s: the report says %s, verify: %s%s", b.Tag, b.Digest, v.stdout, v.stderr)
			}
		}
	}
	expectClean(t, env, before)
	expectNoState(t, env)
}

// A run that is done leaves a Driver Toolkit that it pulled to another run that has not compiled in it yet; the
// last one removes it.
// R6.3
func TestTwoRunsShareToolkit(t *testing.T) {
	t.Parallel()
	env := scenario(t, known())
	toRegistry(t, env)
	before := images(t, env)
	g := newGate()
	t.Cleanup(g.open)
	hold := g.fault("", regexp.MustCompile(`/manifests/2`)) // the last look before the compile
	hold.Times = 1
	env.TargetFaults.Set(hold)
	slow := launch(t, env)
	slow.await("the compile", g.reached)
	r := build(t, env)
	expect(t, r, 0)
	expectState(t, r, "built")
	tool(t, env, "podman", "image", "exists", r.report.Builds[0].Toolkits[0])
	g.open()
	r = slow.result()
	expect(t, r, 0)
	expectState(t, r, "published")
	expectClean(t, env, before)
	expectNoState(t, env)
}

// expectTags compares the tags in the target, a registry, and checks that each leads to a good image.
func expectTags(t *testing.T, env *lab.Env, want ...string) {
	t.Helper()
	client, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(env.Target)
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.List(repo, remote.WithContext(t.Context()), remote.WithTransport(client.Transport),
		remote.WithAuthFromKeychain(auth.NewKeychain(auth.NewFile(env.AuthFile, ""))))
	if err != nil && !registry.Is404(err) {
		t.Fatal(err)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("tags %q, want %q", got, want)
	}
	for _, tag := range got {
		if r := run(t, env, "verify", env.Target+":"+tag); r.code != 0 {
			t.Errorf("verify %s: %s", tag, r.stderr)
		}
	}
}

// expectNoState checks that a run's notes and locks are gone.
func expectNoState(t *testing.T, env *lab.Env) {
	t.Helper()
	for _, dir := range []string{"runs", "images"} {
		entries, err := os.ReadDir(filepath.Join(cacheDir(env), dir))
		if err != nil || len(entries) > 0 {
			t.Errorf("%s: %v, error %v", dir, entries, err)
		}
	}
}
