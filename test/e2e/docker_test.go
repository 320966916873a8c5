//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/test/lab"
)

// docker runs the real docker with the environment's daemon and returns its output's fields.
func docker(t *testing.T, env *lab.Env, args ...string) []string {
	t.Helper()
	return strings.Fields(tool(t, env, "docker", args...))
}

// expectDockerClean fails the test if the program has left a container or a directory, or if docker's images are others
// than before.
func expectDockerClean(t *testing.T, env *lab.Env, before []string) {
	t.Helper()
	if left := docker(t, env, "ps", "--all", "--quiet"); len(left) > 0 {
		t.Errorf("containers left: %q", left)
	}
	if after := dockerImages(t, env); !slices.Equal(after, before) {
		t.Errorf("images before: %q, after: %q", before, after)
	}
	if left, err := os.ReadDir(tempDir(env)); err != nil || len(left) > 0 {
		t.Errorf("directories left: %v, error %v", left, err)
	}
}

// dockerImages lists the IDs of docker's images.
func dockerImages(t *testing.T, env *lab.Env) []string {
	t.Helper()
	return docker(t, env, "image", "ls", "--all", "--quiet", "--no-trunc")
}

// The program on a real docker. Its daemon has a toolkit of no release, so that only the first pull takes long.
// R1.2, R1.3, R4.1, R4.2, R5.2, R6.3, R8.1, R8.2, R10.2
func TestDocker(t *testing.T) {
	t.Parallel()
	patched := lab.Release{Version: "4.20.2", Toolkit: lab.Toolkit{Kernel: sharedLab.RHELKernels()[0]}, Known: true}
	env := start(t, lab.Options{
		Docker: true, Faults: true, SharedStorage: residents(t), Releases: []lab.Release{known(), patched},
		Matrix: []lab.MatrixEntry{{Driver: driver, OCPVersions: []string{"4.20"}}},
	})
	quickDriver(t, env)
	dtk, err := env.PushToolkit(t.Context(), lab.Toolkit{Kernel: known().Toolkit.Kernel, Release: "resident"})
	if err != nil {
		t.Fatal(err)
	}
	login := in(env, env.Vars, "DOCKER_CONFIG="+dockerConfig(t, env))
	docker(t, login, "pull", "--quiet", dtk)
	before := dockerImages(t, env)
	onDocker := func(more ...string) []string { return append([]string{"--engine", "docker"}, more...) }

	// The images, which the program makes by itself, are those that podman's compile gives, byte for byte.
	t.Run("build", func(t *testing.T) {
		dated := in(env, env.Vars, "SOURCE_DATE_EPOCH=1700000000")
		r := mustBuild(t, dated, onDocker()...)
		if r.report.count("built") != 2 {
			t.Fatalf("builds: %+v", r.report.Builds)
		}
		expectDockerClean(t, env, before)
		byPodman := mustBuild(t, dated, "--target", "oci:"+filepath.Join(t.TempDir(), "podman"))
		for i, b := range r.report.Builds {
			if b.Digest == "" || b.Digest != byPodman.report.Builds[i].Digest {
				t.Errorf("%s: %s on docker, %s on podman", b.Tag, b.Digest, byPodman.report.Builds[i].Digest)
			}
			if v := run(t, env, "verify", b.Image); v.code != 0 {
				t.Errorf("verify %s: %s", b.Image, v.stderr)
			}
		}
		if again := mustBuild(t, dated, onDocker()...); again.report.count("published") != 2 {
			t.Errorf("again: %+v", again.report.Builds)
		}
	})

	// From here on each run has one build to do, and a target of its own.
	one := func(t *testing.T, r lab.Release) *lab.Env {
		t.Helper()
		if err := env.WriteCatalog(t.Context(), []lab.Release{r}); err != nil {
			t.Fatal(err)
		}
		e := *env
		e.Target = "oci:" + filepath.Join(t.TempDir(), "images")
		return &e
	}
	t.Run("the toolkit is gone", func(t *testing.T) {
		gone := known()
		gone.Gone = true
		r := build(t, one(t, gone), onDocker()...)
		expect(t, r, 1, "4.20.1")
		expectState(t, r, "failed", "the registry does not have it")
		if len(r.report.Unresolved) != 1 {
			t.Errorf("unresolved: %+v", r.report.Unresolved)
		}
		expectDockerClean(t, env, before)
	})
	t.Run("credentials are refused", func(t *testing.T) {
		toolkits, _, _ := strings.Cut(lab.ToolkitRepository, "/")
		refused := withPassword(t, one(t, known()), env.ToolkitHost+"/"+toolkits, markerPassword)
		r := build(t, refused, onDocker()...)
		expect(t, r, 4, env.ToolkitHost+" refuses the credentials from REGISTRY_AUTH_FILE")
		if strings.Contains(r.stdout+r.stderr, markerPassword) {
			t.Error("the password is in the output")
		}
		expectDockerClean(t, env, before)
	})
	t.Run("a container of docker's makes no image", func(t *testing.T) {
		r := build(t, one(t, known()), onDocker("--builder", "engine")...)
		expect(t, r, 2, "docker is used to compile", "--engine podman")
		expectDockerClean(t, env, before)
	})
	// A run that hangs in its compile.
	compiling := func(t *testing.T, env *lab.Env) *process {
		t.Helper()
		g := newGate()
		t.Cleanup(g.open)
		p := launch(t, env, onDocker("--container-dir", containerDir(t, "exec sleep 600\n"))...)
		go g.watch(func() bool { return len(docker(t, env, "ps", "--quiet", "--filter", "label=neuron-kmod.run")) > 0 })
		p.await("the compile", g.reached)
		return p
	}
	t.Run("interrupted", func(t *testing.T) {
		p := compiling(t, one(t, known()))
		if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		r := p.result()
		expect(t, r, 130)
		expectState(t, r, "skipped", "SIGINT")
		expectDockerClean(t, env, before)
	})
	t.Run("killed", func(t *testing.T) {
		env := one(t, known())
		p := compiling(t, env)
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		if len(docker(t, env, "ps", "--all", "--quiet")) == 0 || slices.Equal(dockerImages(t, env), before) {
			t.Error("the killed run has left nothing: this test shows nothing")
		}
		r := build(t, env, onDocker()...)
		expect(t, r, 0)
		expectState(t, r, "built")
		expectDockerClean(t, env, before)
	})
	t.Run("doctor", func(t *testing.T) {
		env := one(t, known())
		report := diagnose(t, env, 0, "--engine", "docker", "--target", env.Target, "--base-image", env.BaseImage)
		if c := check(t, report, "a container runs"); c.State != doctor.OK {
			t.Errorf("%+v", c)
		}
		expectDockerClean(t, env, before)
	})
}

// dockerConfig is a directory with the environment's credentials as docker wants them.
func dockerConfig(t *testing.T, env *lab.Env) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(env.AuthFile, filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	return dir
}
