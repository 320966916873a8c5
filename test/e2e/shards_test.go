//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/test/lab"
	"neuron-kmod/test/lab/fakeaws"
)

// Jobs of a workflow at the same time, each with one kernel of the matrix and nothing from the others, publish what one
// process publishes, byte for byte; each toolkit is pulled once. Then one job makes the release, whose archive of the
// driver's source compiles to the modules that were published.
// R9.1, R7.2
func TestShards(t *testing.T) {
	t.Parallel()
	kernels := shardKernels()
	releases := lab.Releases(len(kernels), kernels)
	env := start(t, lab.Options{
		Cloud: &lab.CloudOptions{}, Releases: releases,
		Matrix: []lab.MatrixEntry{{Driver: driver, OCPVersions: []string{"4.20", "4.21", "4.22"}}},
	})
	// A module that compiles fast and holds the text that the rules change: another tree is another module.
	quickDriver(t, env, func(f lab.Files) {
		f["Kbuild"] = append(f["Kbuild"], "CFLAGS_quick.o := -Wa,-I$(src)\n"...)
		f["quick.c"] = append(
			f["quick.c"], "asm(\".pushsection .rodata\\n.incbin \\\"neuron_cdev.c\\\"\\n.popsection\");\n"...)
	})
	env.Cloud.AddPublicRepository(fakeaws.PublicRepository{Alias: lab.PublicAlias, Name: "one-process"})
	actions := in(env, append(env.ActionsVars(), env.ReleaseVars()...), "SOURCE_DATE_EPOCH=1700000000")
	pullToolchain(t, env)
	before := images(t, actions)

	shards := matrixOf(t, actions)
	if len(shards) != len(kernels) {
		t.Fatalf("%d jobs, want one for each of %v: %v", len(shards), kernels, shards)
	}
	env.ToolkitFaults.Reset()
	var running []*process
	for i, kernels := range shards {
		job := in(actions, actions.Vars, fmt.Sprintf("XDG_CACHE_HOME=%s/job-%d", env.Dir, i))
		running = append(running, launchProgram(t, job, cloudArgs(env, "--kernel", kernels)...))
	}
	for _, p := range running {
		r := p.resultWithin(5 * patience) // pulls and compiles side by side
		expect(t, r, 0)
		expectState(t, r, "built")
	}
	sharded := env.ToolkitFaults.Total(lab.Blob)
	expectClean(t, actions, before)

	env.ToolkitFaults.Reset()
	one := in(actions, actions.Vars, "KMOD_ECR_PUBLIC_REPOSITORY="+lab.PublicAlias+"/one-process")
	p := launchProgram(t, one, cloudArgs(env)...)
	r := p.resultWithin(5 * patience)
	expect(t, r, 0)
	diff := cmp.Diff(digests(t, env, lab.PublicAlias+"/one-process"), digests(t, env, lab.PublicRepository))
	if diff != "" || r.report.count("built") != len(kernels) {
		t.Errorf("one process (-) and one for each kernel (+):\n%s", diff)
	}
	alone := env.ToolkitFaults.Total(lab.Blob)
	t.Logf(
		"Driver Toolkits: a job for each kernel %d requests, %d bytes; one process %d, %d", sharded.Requests, sharded.Bytes,
		alone.Requests, alone.Bytes,
	)
	var own int64
	for _, r := range releases {
		size, err := env.OwnSize(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		own += size
	}
	if most := own + own/20; sharded.Bytes > most || alone.Bytes > most {
		t.Errorf("the jobs pulled %d bytes, one process %d; the toolkits have %d", sharded.Bytes, alone.Bytes, own)
	}
	expect(t, run(t, actions, releaseArgs(env, "release", "all")...), 0)
	checkSource(t, env, theRelease(t, env).Tag)
}

// pullToolchain puts the layer that all toolkits share into the storage, with a toolkit for another kernel: the jobs,
// which on machines of their own would each pull it, have one storage here, where pulls that meet would each pull it
// or not.
func pullToolchain(t *testing.T, env *lab.Env) {
	t.Helper()
	dtk, err := env.PushToolkit(t.Context(), lab.Toolkit{Kernel: sharedLab.RHELKernels()[3], Release: "resident"})
	if err != nil {
		t.Fatal(err)
	}
	podman(t, env, "pull", "--quiet", "--authfile", env.AuthFile, dtk)
}

// shardKernels are the six of the demo: for RHEL 9.4 and 9.6, whose patch rules differ, real-time, and with a plus
// sign in the name.
func shardKernels() []string { return sharedLab.DemoKernels() }

// matrixOf returns the kernels of each job of plan's matrix.
func matrixOf(t *testing.T, env *lab.Env) []string {
	t.Helper()
	r := run(t, env, "plan", "-o", "github-matrix", "--matrix", env.Matrix, "--catalog", env.Catalog)
	expect(t, r, 0)
	var matrix struct{ Include []struct{ Kernels string } }
	if err := json.Unmarshal([]byte(r.stdout), &matrix); err != nil {
		t.Fatalf("%v in %s", err, r.stdout)
	}
	var shards []string
	for _, job := range matrix.Include {
		shards = append(shards, job.Kernels)
	}
	return shards
}

// digests are those of all images of a repository, by tag.
func digests(t *testing.T, env *lab.Env, repository string) map[string]string {
	t.Helper()
	tags, err := env.Tags(t.Context(), repository)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, tag := range tags {
		img, err := env.Image(t.Context(), repository, tag)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		found[tag] = digest.String()
	}
	return found
}

// checkSource unpacks the archive of the driver's source and makes a module of each of its trees, with the commands
// that its README gives.
func checkSource(t *testing.T, env *lab.Env, tag string) {
	t.Helper()
	archive := "aws-neuronx-dkms-" + driver + "-modified-source"
	data, err := env.Attachment(t.Context(), tag, archive+".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	unpack := exec.Command("tar", "-xz", "-C", dir)
	unpack.Stdin = bytes.NewReader(data)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	top := filepath.Join(dir, archive)
	lists, err := filepath.Glob(filepath.Join(top, "trees", "*.kernels"))
	if err != nil || len(lists) < 2 {
		t.Fatalf("trees %q: rules differ by RHEL release, so there are two at least (%v)", lists, err)
	}
	var covered []string
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		kernels := strings.Fields(string(text))
		covered = append(covered, kernels...)
		checkTree(t, env, strings.TrimSuffix(list, ".kernels"), kernels[0])
	}
	want := shardKernels()
	slices.Sort(covered)
	slices.Sort(want)
	if !slices.Equal(covered, want) {
		t.Errorf("trees for %q, want %q", covered, want)
	}
}

// checkTree compiles a tree for a kernel and compares the module with the published one.
func checkTree(t *testing.T, env *lab.Env, tree, name string) {
	t.Helper()
	var toolkit lab.Toolkit
	for _, r := range lab.Releases(len(shardKernels()), shardKernels()) {
		if r.Toolkit.Kernel == name {
			toolkit = r.Toolkit
			toolkit.Release = r.Version
		}
	}
	dtk, err := env.PushToolkit(t.Context(), toolkit)
	if err != nil {
		t.Fatal(err)
	}
	tool(t, env, "podman", "pull", "--quiet", "--authfile", env.AuthFile, dtk)
	output := t.TempDir()
	tool(t, env, "podman", "run", "--rm", "--network=none", "--security-opt", "label=disable",
		"-v", tree+":/input/source:ro", "-v", output+":/output", "-v", tree+".build-module.sh:/build-module.sh:ro",
		dtk, "sh", "/build-module.sh", driver, name, "4")
	made, err := os.ReadFile(filepath.Join(output, "opt/lib/modules", name, "neuron.ko"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := kernel.Tag(driverVersion(t, driver), k)
	if err != nil {
		t.Fatal(err)
	}
	img, err := env.Image(t.Context(), lab.PublicRepository, tag)
	if err != nil {
		t.Fatal(err)
	}
	published, err := image.Module(t.Context(), img, k)
	if err != nil || !bytes.Equal(made, published) {
		t.Errorf(
			"%s for %s: %d bytes compiled, %d published, which differ (%v)", filepath.Base(tree), name, len(made),
			len(published), err,
		)
	}
}
