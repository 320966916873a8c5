//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"neuron-kmod/test/lab"
)

// A driver that does not compile on one of six kernels: five images are published, the exit code is 1, and the
// compiler's first error is in the report and on stderr.
// R4.2, R8.1
func TestCompileError(t *testing.T) {
	t.Parallel()
	kernels := sharedLab.DemoKernels()
	env := scenario(t, lab.Releases(6, kernels)...)
	if err := env.WriteMatrix([]lab.MatrixEntry{{Driver: driver, OCPVersions: allMinors}}); err != nil {
		t.Fatal(err)
	}
	quickDriver(t, env, func(f lab.Files) {
		f["Kbuild"] = append(f["Kbuild"], "neuron-objs += neuron_core.o\n"...)
		f["neuron_core.c"] = []byte("int neuron_core;\n")
	}, lab.BreakOnKernel("LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)"))
	broken := sharedLab.DebianKernel(lab.Plus)
	before := images(t, env)
	r := build(t, env)
	expect(t, r, 1)
	for _, b := range r.report.Builds {
		if b.Kernel != broken {
			if b.State != "built" || b.Digest == "" || b.Error != "" {
				t.Errorf("%s: %+v", b.Kernel, b)
			}
			continue
		}
		const first = "neuron_core.c:3:2: error: #error lab: broken on this kernel"
		if b.State != "failed" || !strings.Contains(b.Error, first) || strings.Contains(b.Error, "make[") {
			t.Errorf("%s: %+v", b.Kernel, b)
		}
		if !strings.Contains(r.stderr, first) {
			t.Errorf("the first error is not on stderr:\n%s", r.stderr)
		}
		log, err := os.ReadFile(filepath.Join(cacheDir(env), "logs", b.Tag+".log"))
		if err != nil || !bytes.Contains(log, []byte("lab: broken on this kernel")) ||
			!strings.Contains(b.Error, b.Tag+".log") {
			t.Errorf("the log is not kept, or the error does not say where: %v", err)
		}
	}
	if len(r.report.Builds) != 6 || r.report.count("built") != 5 {
		t.Errorf("%d builds, %d built, want 6 and 5\n%s", len(r.report.Builds), r.report.count("built"), r.stderr)
	}
	expectClean(t, env, before)
}

// A module that is not the one that was asked for is not published: neither of another version nor for another
// kernel, whatever the compiler's exit status.
// R4.2
func TestWrongModule(t *testing.T) {
	t.Parallel()
	t.Run("version", func(t *testing.T) {
		t.Parallel()
		env := scenario(t, known())
		quickDriver(t, env, func(f lab.Files) {
			f["quick.c"] = bytes.ReplaceAll(f["quick.c"], []byte(driver), []byte("2.24.8.0"))
		})
		r := build(t, env)
		expect(t, r, 1)
		expectState(t, r, "failed", `version "2.24.8.0", want "2.24.7.0"`)
		expectNothingPublished(t, env)
	})
	t.Run("vermagic", func(t *testing.T) {
		t.Parallel()
		kernel, claimed := known().Toolkit.Kernel, "6.1.0-99-amd64"
		env := scenario(t)
		addReleases(t, env, map[string]string{"4.20.1": pushImage(t, env, claimingImage(t, kernel, claimed))})
		r := build(t, env)
		expect(t, r, 1)
		expectState(t, r, "failed", `vermagic "`+kernel+" ", `want "`+claimed+`"`)
		expectNothingPublished(t, env)
	})
}

// claimingImage is a Driver Toolkit for kernel that says it is for another one, and has that one's directory of
// headers, which leads to kernel's.
func claimingImage(t *testing.T, kernel, claimed string) v1.Image {
	t.Helper()
	img, err := sharedLab.Toolkit(t.Context(), lab.Toolkit{Kernel: kernel, Says: claimed})
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	err = errors.Join(
		archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "usr/src/kernels/", Mode: 0o755}),
		archive.WriteHeader(&tar.Header{
			Typeflag: tar.TypeSymlink, Name: "usr/src/kernels/" + claimed, Linkname: "/lib/modules/" + kernel + "/build",
		}),
		archive.Close(),
	)
	if err == nil {
		img, err = mutate.AppendLayers(img, static.NewLayer(layer.Bytes(), types.OCIUncompressedLayer))
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// expectNothingPublished looks into the directory that a scenario's images go to.
func expectNothingPublished(t *testing.T, env *lab.Env) {
	t.Helper()
	index, err := os.ReadFile(filepath.Join(strings.TrimPrefix(env.Target, "oci:"), "index.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if bytes.Contains(index, []byte("org.opencontainers.image.ref.name")) {
		t.Errorf("an image is published: %s", index)
	}
}

// A compile that hangs is stopped by its time limit, with its container; --fail-fast then starts no other.
// R4.2, R8.1, R8.2
func TestTimeLimit(t *testing.T) {
	t.Parallel()
	second := known()
	second.Version, second.Toolkit.Kernel = "4.20.2", sharedLab.DebianKernel(lab.RealTime)
	env := scenario(t, known(), second)
	before := images(t, env)
	r := build(t, env, "--timeout", "1s", "--fail-fast", "--container-dir", containerDir(t, "exec sleep 600\n"))
	expect(t, r, 1)
	if len(r.report.Builds) != 2 || r.report.count("failed") != 1 || r.report.count("skipped") != 1 {
		t.Fatalf("builds: %+v", r.report.Builds)
	}
	for _, b := range r.report.Builds {
		want := "stopped after 1s"
		if b.State == "skipped" {
			want = "--fail-fast"
		}
		if !strings.Contains(b.Error, want) {
			t.Errorf("%s is %s: the error does not say %q: %s", b.Tag, b.State, want, b.Error)
		}
	}
	expectClean(t, env, before)
	expectNothingPublished(t, env)
}
