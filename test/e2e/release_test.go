//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"neuron-kmod/test/lab"
	"neuron-kmod/test/lab/fakegithub"
)

// releaseArgs are those of a run that releases what it has built.
func releaseArgs(env *lab.Env, args ...string) []string {
	return append(args, "--matrix", env.Matrix, "--catalog", env.Catalog)
}

// theRelease is the one on GitHub, whole and published.
func theRelease(t *testing.T, env *lab.Env) fakegithub.Release {
	t.Helper()
	releases := env.Releases()
	if len(releases) != 1 || releases[0].Tag != "neuron-driver-"+driver || releases[0].Name != releases[0].Tag ||
		releases[0].Draft {
		t.Fatalf("releases %+v", releases)
	}
	for _, a := range releases[0].Assets {
		if a.State != fakegithub.Uploaded || a.Size == 0 {
			t.Errorf("asset %+v", a)
		}
	}
	return releases[0]
}

// A run in GitHub Actions publishes the images, then the release with its notes and sources. The next one writes
// nothing; one more OpenShift release changes the notes alone; a run that is limited keeps everything in them;
// another source replaces its archive; without the sources nothing is released.
// R7.1, R7.2, R7.3, R1.1
func TestRelease(t *testing.T) {
	t.Parallel()
	first := known()
	env := cloud(t, lab.CloudOptions{}, first)
	actions := in(env, append(env.ActionsVars(), env.ReleaseVars()...))
	w := watchCloud(t, env)
	r := launchProgram(t, actions, releaseArgs(env, "build", "all", "-o", "json")...).result()
	expect(t, r, 0)
	w.expectSecret(r, filepath.Join(env.Dir, "cache"), tempDir(env))
	tag := driver + "-" + strings.ReplaceAll(first.Toolkit.Kernel, "+", "_")
	made := theRelease(t, env)
	want := "\n- `" + tag + "` (compatible with OCP: 4.20.1)\n"
	if !strings.Contains(made.Body, "## Available Images\n") || !strings.Contains(made.Body, want) {
		t.Errorf("the notes have no %q:\n%s", want, made.Body)
	}
	var names []string
	for _, a := range made.Assets {
		names = append(names, a.Name)
	}
	sources := []string{"aws-neuronx-dkms-" + driver + "-modified-source.tar.gz", "busybox-1.35.0.tar.gz"}
	if !slices.Equal(names, sources) {
		t.Errorf("assets %q, want %q", names, sources)
	}

	// writes runs the program and returns how often it has written to GitHub, by method.
	writes := func(t *testing.T, code int, args ...string) map[string]int {
		t.Helper()
		env.GitHub.Forget()
		expect(t, run(t, actions, releaseArgs(env, args...)...), code)
		by := map[string]int{}
		for _, c := range env.GitHub.Writes() {
			by[c.Method]++
		}
		return by
	}
	t.Run("nothing to do", func(t *testing.T) {
		if by := writes(t, 0, "build", "all"); len(by) != 0 {
			t.Errorf("wrote %v", by)
		}
		if by := writes(t, 0, "release", "all"); len(by) != 0 {
			t.Errorf("release wrote %v", by)
		}
	})
	second := first
	second.Version = "4.20.2"
	t.Run("one more OpenShift release", func(t *testing.T) {
		if err := env.WriteCatalog(t.Context(), []lab.Release{first, second}); err != nil {
			t.Fatal(err)
		}
		if by := writes(t, 0, "build", "all"); by[http.MethodPatch] != 1 || len(by) != 1 {
			t.Errorf("wrote %v, want the notes once", by)
		}
		now := theRelease(t, env)
		if !strings.Contains(now.Body, "(compatible with OCP: 4.20.1, 4.20.2)") || !slices.Equal(now.Assets, made.Assets) {
			t.Errorf("release %+v", now)
		}
	})
	t.Run("a toolkit that cannot be read now", func(t *testing.T) {
		hidden := unknown()
		hidden.Version = "4.20.9"
		hidden.Toolkit.Kernel = sharedLab.DebianKernel(lab.Cloud)
		if err := env.WriteCatalog(t.Context(), []lab.Release{first, second, hidden}); err != nil {
			t.Fatal(err)
		}
		env.ToolkitFaults.Set(lab.Fault{Path: toolkitPath, Status: http.StatusForbidden})
		before := theRelease(t, env)
		if by := writes(t, 4, "release", "all"); len(by) != 0 || theRelease(t, env).Body != before.Body {
			t.Errorf("wrote %v", by)
		}
		env.ToolkitFaults.Set()
		if err := env.WriteCatalog(t.Context(), []lab.Release{first, second}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a limited run", func(t *testing.T) {
		if by := writes(t, 0, "build", driver, "4.20.2"); len(by) != 0 {
			t.Errorf("wrote %v", by)
		}
		if by := writes(t, 0, "build", "all", "--kernel", first.Toolkit.Kernel); len(by) != 0 {
			t.Errorf("wrote %v", by)
		}
	})
	t.Run("dry run", func(t *testing.T) {
		env.GitHub.Forget()
		r := run(t, actions, releaseArgs(env, "release", "all", "--dry-run")...)
		expect(t, r, 0)
		if strings.TrimSpace(r.stdout) != strings.TrimSpace(theRelease(t, env).Body) ||
			!strings.Contains(r.stderr, "changes=unchanged") {
			t.Errorf("printed\n%s\n%s", r.stdout, r.stderr)
		}
		if err := env.WriteCatalog(t.Context(), []lab.Release{first}); err != nil {
			t.Fatal(err)
		}
		r = run(t, actions, releaseArgs(env, "release", "all", "--dry-run", "-o", "json")...)
		expect(t, r, 0)
		var would struct {
			Releases []struct {
				Changes []string
				Notes   string
			}
		}
		if err := json.Unmarshal([]byte(r.stdout), &would); err != nil {
			t.Fatal(err)
		}
		if one := would.Releases[0]; !slices.Equal(one.Changes, []string{"edit neuron-driver-" + driver}) ||
			strings.Contains(one.Notes, "4.20.2") {
			t.Errorf("it would %v, with the notes\n%s", one.Changes, one.Notes)
		}
		without := in(env, env.ActionsVars())
		if r := run(t, without, releaseArgs(env, "release", "all", "--dry-run")...); r.code != 0 ||
			!strings.Contains(r.stdout, "## Available Images") {
			t.Errorf("without a token: exit code %d\n%s", r.code, r.stderr)
		}
		if len(env.GitHub.Writes()) != 0 {
			t.Errorf("wrote %v", env.GitHub.Writes())
		}
		if err := env.WriteCatalog(t.Context(), []lab.Release{first, second}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("another source", func(t *testing.T) {
		quickDriver(t, env, func(f lab.Files) { f["quick.c"] = append(f["quick.c"], "/* changed */\n"...) })
		forget(t, env, "drivers")
		if by := writes(t, 0, "build", "all", "--force"); by[http.MethodPost] == 0 {
			t.Errorf("wrote %v, want an upload", by)
		}
		now := theRelease(t, env)
		if now.Assets[0].Digest == made.Assets[0].Digest || now.Assets[1] != made.Assets[1] {
			t.Errorf("assets %+v, before %+v", now.Assets, made.Assets)
		}
	})
	t.Run("a kernel that fails", func(t *testing.T) {
		third := lab.Release{
			Version: "4.20.3", Toolkit: lab.Toolkit{Kernel: sharedLab.DebianKernel(lab.RealTime)}, Known: true,
		}
		if err := env.WriteCatalog(t.Context(), []lab.Release{first, second, third}); err != nil {
			t.Fatal(err)
		}
		quickDriver(t, env, func(f lab.Files) {
			f["quick.c"] = append(f["quick.c"], "#ifdef CONFIG_PREEMPT_RT\n#error not on this one\n#endif\n"...)
		})
		forget(t, env, "drivers")
		writes(t, 1, "build", "all")
		body := theRelease(t, env).Body
		compatible := "`" + tag + "` (compatible with OCP: 4.20.1, 4.20.2)"
		for _, want := range []string{compatible, "4.20.3", "quick.c", "not on this one"} {
			if !strings.Contains(body, want) {
				t.Errorf("the notes have no %q:\n%s", want, body)
			}
		}
		if strings.Contains(body, env.Dir) {
			t.Errorf("the notes name a directory of this machine:\n%s", body)
		}
		writes(t, 0, "build", "all", "--kernel", first.Toolkit.Kernel)
		if body := theRelease(t, env).Body; !strings.Contains(body, "4.20.3") ||
			!strings.Contains(body, third.Toolkit.Kernel) {
			t.Errorf("a run limited to another kernel forgets this one:\n%s", body)
		}
	})
	t.Run("no source", func(t *testing.T) {
		forget(t, env, "sources")
		before := theRelease(t, env)
		env.SourceFaults.Set(lab.Fault{Status: http.StatusNotFound})
		env.GitHub.Forget()
		r := run(t, actions, releaseArgs(env, "release", "all")...)
		if r.code == 0 || !strings.Contains(r.stderr, "without its sources nothing is released") ||
			!strings.Contains(r.stderr, "busybox.net") {
			t.Errorf("exit code %d\n%s", r.code, r.stderr)
		}
		if len(env.GitHub.Writes()) != 0 || theRelease(t, env).Body != before.Body {
			t.Errorf("wrote %v", env.GitHub.Writes())
		}
		env.SourceFaults.Set()
	})
	t.Run("a base whose BusyBox nobody publishes", func(t *testing.T) {
		r := run(t, actions, releaseArgs(env, "build", "all", "--force", "--base-image", unreleasedBase(t, env, tag))...)
		expect(t, r, 4, `BusyBox "1.35-0" is not a release`, "use a base image with a release")
		if strings.Contains(r.stderr, "compiling") {
			t.Errorf("compiled first:\n%s", r.stderr)
		}
	})
	t.Run("may not write", func(t *testing.T) {
		forget(t, env, "drivers")
		env.GitHub.SetToken(env.GitHubToken, fakegithub.Token{Contents: fakegithub.Read})
		if err := env.WriteCatalog(t.Context(), []lab.Release{first}); err != nil {
			t.Fatal(err)
		}
		r := run(t, actions, releaseArgs(env, "release", "all")...)
		expect(t, r, 4, "contents: write")
	})
}

// unreleasedBase is a published image as a base, with a BusyBox that says of itself that it is not a release.
func unreleasedBase(t *testing.T, env *lab.Env, tag string) string {
	t.Helper()
	img, err := env.Image(t.Context(), lab.PublicRepository, tag)
	if err != nil {
		t.Fatal(err)
	}
	files := mutate.Extract(img)
	defer files.Close()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for r := tar.NewReader(files); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeLink { // to the binary, under the names of its tools
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			continue
		}
		binary, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(binary, []byte("BusyBox v1.35.0 (")) {
			continue
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.ReplaceAll(binary, []byte("BusyBox v1.35.0 ("), []byte("BusyBox v1.35-0 ("))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	img, err = mutate.AppendLayers(img, static.NewLayer(layer.Bytes(), types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "base"}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return "oci:" + dir + ":base"
}

// forget removes a part of the program's cache.
func forget(t *testing.T, env *lab.Env, what string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(env.Dir, "cache", "neuron-kmod", what)); err != nil {
		t.Fatal(err)
	}
}
