//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"neuron-kmod/test/lab"
)

// sixReleases are six releases on three kernels.
func sixReleases() []lab.Release {
	var all []lab.Release
	kernels := []string{
		sharedLab.DebianKernel(lab.Plain), sharedLab.DebianKernel(lab.RealTime), sharedLab.DebianKernel(lab.Cloud),
	}
	for i, version := range []string{"4.20.1", "4.20.2", "4.20.3", "4.20.4", "4.20.5", "4.20.6"} {
		all = append(all, lab.Release{Version: version, Toolkit: lab.Toolkit{Kernel: kernels[i%3]}, Known: true})
	}
	return all
}

// mirrored is the report of catalog mirror.
type mirrored struct {
	Images []struct {
		Tag, Kernel, State, Source, Digest, Error string
		Sent                                      int64
	}
}

func (m mirrored) count(state string) int {
	n := 0
	for _, i := range m.Images {
		if i.State == state {
			n++
		}
	}
	return n
}

func mirrorArgs(env *lab.Env, to string, more ...string) []string {
	args := []string{"catalog", "mirror", to, "--matrix", env.Matrix, "--catalog", env.Catalog}
	return append(append(args, "--ca-file", env.CAFile, "-o", "json"), more...)
}

// copyTo runs catalog mirror to its end.
func copyTo(t *testing.T, env *lab.Env, to string, more ...string) mirrored {
	t.Helper()
	r := run(t, env, mirrorArgs(env, to, more...)...)
	expect(t, r, 0)
	var m mirrored
	if err := json.Unmarshal([]byte(r.stdout), &m); err != nil {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	return m
}

var uploads = regexp.MustCompile(`/blobs/uploads/`)

// Six Driver Toolkits go to a second registry, both real: digests stay, connections that are cut on either side and a
// run that is interrupted cost nothing but time, and again sends no blob.
// R1.3, R8.2
func TestMirror(t *testing.T) {
	t.Parallel()
	env := scenario(t, sixReleases()...)
	toRegistry(t, env)

	g := newGate()
	t.Cleanup(g.open)
	tagging := g.fault(http.MethodPut, regexp.MustCompile(`/manifests/`)) // the first image is whole but for its tag
	env.TargetFaults.Set(tagging)
	cmd, stdout, stderr := command(t, env, mirrorArgs(env, env.Target, "--jobs", "3")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-g.reached
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	expect(t, finish(t, cmd, cmd.Wait(), stdout, stderr), 130)
	g.open()
	expectTags(t, env)

	var patches atomic.Int32
	count := lab.Fault{Method: http.MethodPatch, Path: uploads, Wait: func(context.Context) { patches.Add(1) }}
	cut, cuts := struck(lab.Fault{Method: http.MethodPatch, Path: uploads, Times: 1, Reset: true})
	short, shorts := struck(
		lab.Fault{Method: http.MethodGet, Path: regexp.MustCompile(`/blobs/sha256`), Times: 1, ResetAfter: 4 << 10},
	)
	env.TargetFaults.Set(cut)
	env.ToolkitFaults.Set(short)
	m := copyTo(t, env, env.Target)
	if m.count("copied") != 6 || cuts.Load() != 1 || shorts.Load() != 1 {
		t.Errorf("%d cuts, %d short answers, images: %+v", cuts.Load(), shorts.Load(), m.Images)
	}
	env.TargetFaults.Set(count)
	env.ToolkitFaults.Set()
	env.ToolkitFaults.Reset()
	if m = copyTo(t, env, env.Target); m.count("there") != 6 || patches.Load() != 0 {
		t.Errorf("again: %d uploads, images: %+v", patches.Load(), m.Images)
	}
	if n := env.ToolkitFaults.Total().Requests; n != 0 {
		t.Errorf("again the originals' registry is asked %d times", n)
	}
	for _, i := range m.Images {
		at := strings.TrimSpace(tool(t, env, "skopeo", "inspect", "--authfile", env.AuthFile,
			"--cert-dir", certDir(t, env), "--format", "{{.Digest}}", "docker://"+env.Target+":"+i.Tag))
		if at != i.Digest || !strings.HasSuffix(i.Source, "@"+i.Digest) {
			t.Errorf("%s: skopeo says %s, the report %s, the catalogue %s", i.Tag, at, i.Digest, i.Source)
		}
	}

	// Within one registry blobs are mounted.
	second := copyTo(t, env, env.Target+"-2", "--from", env.Target)
	if second.count("copied") != 6 || patches.Load() != 0 || second.Images[0].Sent != 0 {
		t.Errorf("within the registry: %d uploads, images: %+v", patches.Load(), second.Images)
	}
}

// A directory is carried to where there is no internet. One toolkit for each kernel is enough to build for all
// releases there, also for a newer release of a kernel.
// R1.3, R4.1
func TestMirrorByFolder(t *testing.T) {
	t.Parallel()
	all := sixReleases()[:2]
	env := scenario(t, all...)
	carried := "oci:" + filepath.Join(t.TempDir(), "carry")
	if m := copyTo(t, env, carried, "--kernels-only"); m.count("copied") != 2 {
		t.Fatalf("images: %+v", m.Images)
	}
	gone := regexp.MustCompile(`/` + regexp.QuoteMeta(lab.ToolkitRepository) + `/`)
	env.ToolkitFaults.Set(lab.Fault{Path: gone, Status: http.StatusForbidden})
	toRegistry(t, env)
	mirror := env.Target + "-dtk"
	if m := copyTo(t, env, mirror, "--kernels-only", "--from", carried); m.count("copied") != 2 {
		t.Fatalf("images: %+v", m.Images)
	}
	all = append(all, lab.Release{Version: "4.20.9", Toolkit: all[0].Toolkit, Known: true})
	env.ToolkitFaults.Set()
	if err := env.WriteCatalog(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	env.ToolkitFaults.Set(lab.Fault{Path: gone, Status: http.StatusForbidden})
	before := images(t, env)
	r := build(t, env, "--toolkit-mirror", mirror)
	expect(t, r, 0)
	if r.report.count("built") != 2 || len(r.report.Builds[0].Releases)+len(r.report.Builds[1].Releases) != 3 {
		t.Errorf("builds: %+v", r.report.Builds)
	}
	expectClean(t, env, before)

	kmod := copyTo(t, env, env.Target+"-kmod", "--kmod", "--from", env.Target)
	var tags []string
	for _, i := range kmod.Images {
		tags = append(tags, i.Tag)
	}
	slices.Sort(tags)
	env.Target += "-kmod"
	expectTags(t, env, tags...)
}

// certDir is a directory with the lab's authority as skopeo wants it.
func certDir(t *testing.T, env *lab.Env) string {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile(env.CAFile)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "ca.crt"), data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// To ECR, with an engineer's profile and an account at Quay; a build finds the copies there by itself.
// R1.3
func TestMirrorECR(t *testing.T) {
	t.Parallel()
	release := unknown()
	env := cloud(t, lab.CloudOptions{}, release)
	local := in(env, env.LocalVars())
	with := in(env, local.Vars, "QUAY_USERNAME="+env.Quay.User, "QUAY_PASSWORD="+env.Quay.Password)
	args := []string{"catalog", "mirror", "ecr", "--matrix", env.Matrix, "--catalog", env.Catalog}
	r := run(t, with, args...)
	expect(t, r, 0, "1 image: 1 copied")
	tags, err := env.Tags(t.Context(), lab.MirrorRepository)
	if err != nil || !slices.Equal(tags, []string{release.Version}) {
		t.Errorf("tags %q, error %v", tags, err)
	}
	asked := env.Internet.Asked("quay.io")
	expect(t, run(t, local, args...), 0, "1 image: 1 there")
	plan := run(t, local, "plan", "-o", "json", "--matrix", env.Matrix, "--catalog", env.Catalog)
	expect(t, plan, 0)
	expectState(t, plan, "missing")
	if n := env.Internet.Asked("quay.io"); n != asked {
		t.Errorf("quay.io was asked %d times more", n-asked)
	}
	expectOnly(t, env)
}
