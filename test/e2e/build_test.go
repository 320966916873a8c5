//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"neuron-kmod/test/lab"
)

// The main job, whole and real: sixty releases on six kernels, two drivers, from two JSON files to images that
// modprobe accepts, one for each driver and kernel, each listing its releases; then again, with nothing to do. One
// driver is compiled file by file, the other, with the same code, in one unit.
// R2.1, R2.2, R3.1, R4.1, R4.2, R4.3, R5.1, R5.2, R5.3, R6.2, R6.3, R9.1, R10.1
func TestBuild(t *testing.T) {
	t.Parallel()
	env := start(t, lab.Options{
		Releases: lab.Releases(60, sharedLab.DemoKernels()), Faults: true,
		Matrix: []lab.MatrixEntry{
			{Driver: "2.24.7.0", OCPVersions: []string{"4.20", "4.21", "4.22"}}, // on six kernels
			{Driver: "2.28.0.0", OCPVersions: []string{"4.20"}},                 // on three of them
		},
	})
	serveInUnits(t, env, "2.24.7.0", 1)
	before := images(t, env)
	env.ToolkitFaults.Reset()
	first := mustBuild(t, env)
	if n := first.report.count("built"); n != 9 {
		t.Fatalf("%d of 9 images built\n%s", n, first.stderr)
	}
	expectClean(t, env, before)
	checkReleases(t, env, first.report)
	for _, b := range first.report.Builds {
		t.Run(b.Tag, func(t *testing.T) { checkImage(t, env, b) })
	}
	env.ToolkitFaults.Reset()
	env.TargetFaults.Reset()
	again := mustBuild(t, env)
	if n := again.report.count("published"); n != 9 {
		t.Errorf("the second run: %s", again.stdout)
	}
	if n := env.ToolkitFaults.Total().Requests; n != 0 {
		t.Errorf("a run with nothing to do asked the DTK registry %d times", n)
	}
	if n := env.TargetFaults.Total().Requests; n > 3*len(again.report.Drivers) {
		t.Errorf("a run with nothing to do asked the target %d times", n)
	}
}

// serveInUnits serves a driver with the code that it has, but in n files for the compiler.
func serveInUnits(t *testing.T, env *lab.Env, version string, n int) {
	t.Helper()
	spec := lab.RPMSpec{Version: driverVersion(t, version), Edit: lab.InUnits(n)}
	if err := lab.WriteDriver(env.Downloads.Dir, spec); err != nil {
		t.Fatal(err)
	}
}

// checkReleases: each image lists the ten releases of its kernel, and nothing is published beside them.
func checkReleases(t *testing.T, env *lab.Env, r report) {
	t.Helper()
	var releases []string
	for _, b := range r.Builds {
		if len(b.Releases) != 10 || len(b.Toolkits) != 10 {
			t.Errorf("%s: %d releases, %d toolkits", b.Tag, len(b.Releases), len(b.Toolkits))
		}
		releases = append(releases, b.Releases...)
	}
	slices.Sort(releases)
	if n := len(slices.Compact(releases)); n != 60 {
		t.Errorf("%d of 60 releases have an image", n)
	}
	tags, err := env.TargetTags(t.Context())
	if err != nil || len(tags) != len(r.Builds) {
		t.Errorf("%d tags for %d builds, error %v", len(tags), len(r.Builds), err)
	}
}

// checkImage looks at a published image with the tools a cluster and an administrator use. What podman then has goes
// with the environment's storage.
func checkImage(t *testing.T, env *lab.Env, b built) {
	root := t.TempDir()
	img := tool(t, env, "podman", "pull", "--quiet", "--authfile", env.AuthFile, env.Target+":"+b.Tag)
	id := strings.TrimSpace(img)
	tarball := filepath.Join(root, "rootfs.tar")
	container := strings.TrimSpace(tool(t, env, "podman", "create", id, "true"))
	tool(t, env, "podman", "export", "--output", tarball, container)
	tool(t, env, "tar", "-C", root, "-xf", tarball)

	modules := filepath.Join(root, "opt/lib/modules", b.Kernel)
	for _, name := range []string{"neuron.ko", "modules.dep", "modules.dep.bin", "modules.alias", "modules.symbols"} {
		if _, err := os.Stat(filepath.Join(modules, name)); err != nil {
			t.Error(err)
		}
	}
	got := tool(t, env, "modprobe", "-d", filepath.Join(root, "opt"), "-S", b.Kernel, "--show-depends", "neuron")
	if !strings.Contains(got, "/lib/modules/"+b.Kernel+"/neuron.ko") {
		t.Errorf("modprobe --show-depends: %s", got)
	}
	ko := filepath.Join(modules, "neuron.ko")
	if got := strings.TrimSpace(tool(t, env, "modinfo", "-F", "version", ko)); got != b.Driver {
		t.Errorf("modinfo version %q, want %s", got, b.Driver)
	}
	if got := tool(t, env, "modinfo", "-F", "vermagic", ko); !strings.HasPrefix(got, b.Kernel+" ") {
		t.Errorf("modinfo vermagic %q, want %s", got, b.Kernel)
	}
	checkLabels(t, env, b)
	if r := run(t, env, "verify", env.Target+":"+b.Tag); r.code != 0 {
		t.Errorf("verify: exit code %d: %s", r.code, r.stderr)
	}
	if _, err := os.Stat(filepath.Join(root, "licenses", "GPL-2.0.txt")); err != nil {
		t.Error(err)
	}
}

// checkLabels holds an image to R5.2. The lab's BusyBox is Debian's 1.35.0, and the labels have to say so.
func checkLabels(t *testing.T, env *lab.Env, b built) {
	t.Helper()
	img, err := env.TargetImage(t.Context(), b.Tag)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.OS != "linux" || cfg.Architecture != "amd64" {
		t.Errorf("platform %s/%s", cfg.OS, cfg.Architecture)
	}
	want := map[string]string{
		"org.opencontainers.image.version": b.Driver, "neuron-driver-version": b.Driver, "kernel-version": b.Kernel,
		"org.opencontainers.image.base.name": env.BaseImage, "busybox.version": "1.35.0", "busybox.license": "GPL-2.0",
		"neuron-driver.license": "GPL-2.0",
	}
	for key, value := range want {
		if got := cfg.Config.Labels[key]; got != value {
			t.Errorf("label %s is %q, want %q", key, got, value)
		}
	}
	for _, key := range []string{
		"org.opencontainers.image.source", "org.opencontainers.image.created", "org.opencontainers.image.title",
		"org.opencontainers.image.licenses", "org.opencontainers.image.base.digest", "busybox.source", "busybox.copyright",
		"neuron-driver.source", "neuron-driver.source-digest", "neuron-driver.copyright",
	} {
		if cfg.Config.Labels[key] == "" {
			t.Errorf("label %s is missing", key)
		}
	}
	if digest, err := img.Digest(); err != nil || digest.String() != b.Digest {
		t.Errorf("digest %v, the report says %s (error %v)", digest, b.Digest, err)
	}
}

// With SOURCE_DATE_EPOCH two builds from scratch give the same digest, also with another number of
// processors; and the engine as builder gives the same files and labels as the native one.
// R5.2, R5.3
func TestBuildReproducible(t *testing.T) {
	t.Parallel()
	releases := lab.Releases(1, []string{sharedLab.DebianKernel(lab.Plus)})
	env := start(t, lab.Options{SharedStorage: residents(t), Releases: releases})
	serveInUnits(t, env, "2.24.7.0", 2) // so that two processors have something to do at the same time
	env.Vars = append(env.Vars, "SOURCE_DATE_EPOCH=1700000000")
	layouts := lowercaseDir(t)
	layout := func(name string) string { return "oci:" + filepath.Join(layouts, name) }
	a := mustBuild(t, env, "--target", layout("a"), "--jobs", "1")
	b := mustBuild(t, env, "--target", layout("b"), "--jobs", "2")
	if a.report.Builds[0].Digest == "" || a.report.Builds[0].Digest != b.report.Builds[0].Digest {
		t.Errorf("digests %s and %s", a.report.Builds[0].Digest, b.report.Builds[0].Digest)
	}
	c := mustBuild(t, env, "--target", layout("c"), "--builder", "engine")
	tag := c.report.Builds[0].Tag
	for _, format := range []string{"{{.Labels}}", "{{.Os}}/{{.Architecture}}"} {
		native := tool(t, env, "skopeo", "inspect", "--format", format, layout("a")+":"+tag)
		engine := tool(t, env, "skopeo", "inspect", "--format", format, layout("c")+":"+tag)
		if native != engine {
			t.Errorf("%s:\nnative %s\nengine %s", format, native, engine)
		}
	}
	if native, engine := listing(t, env, layout("a")+":"+tag), listing(t, env, layout("c")+":"+tag); native != engine {
		t.Errorf("files differ:\nnative\n%s\nengine\n%s", native, engine)
	}
}

// lowercaseDir is a directory whose path podman can make a repository's name of.
func lowercaseDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-images") //nolint:usetesting // t.TempDir has the test's name in it, with capitals
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// listing is what an image holds: each file's mode, size and name, and the
// checksum of its content.
func listing(t *testing.T, env *lab.Env, image string) string {
	t.Helper()
	id := strings.TrimSpace(tool(t, env, "podman", "pull", "--quiet", image))
	container := strings.TrimSpace(tool(t, env, "podman", "create", id, "true"))
	root := t.TempDir()
	tarball := filepath.Join(root, "rootfs.tar")
	tool(t, env, "podman", "export", "--output", tarball, container)
	podman(t, env, "rm", container)
	podman(t, env, "rmi", id)
	tool(t, env, "mkdir", filepath.Join(root, "files"))
	tool(t, env, "tar", "-C", filepath.Join(root, "files"), "-xf", tarball, "opt", "licenses")
	const list = `cd "$1" && find . -printf '%M %s %p\n' | sort && find . -type f -exec sha256sum {} + | sort`
	return tool(t, env, "sh", "-c", list, "sh", filepath.Join(root, "files"))
}
