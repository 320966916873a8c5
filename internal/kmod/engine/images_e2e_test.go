//go:build e2e

package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const user, password = "robot", "s3cret-for-this-test"

// serve is a registry on this machine that wants credentials.
func serve(t *testing.T) (host string) {
	t.Helper()
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// busyboxImage is an image of one layer.
func busyboxImage(t *testing.T) v1.Image {
	t.Helper()
	data := busyboxTar(t)
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	)
	must(t, err)
	img, err := mutate.AppendLayers(empty.Image, layer)
	must(t, err)
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64", RootFS: must1(img.ConfigFile())(t).RootFS,
		Config: v1.Config{Env: []string{"PATH=/bin"}},
	})
	must(t, err)
	return img
}

func must1[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T { t.Helper(); must(t, err); return v }
}

// push puts img into the registry and returns its reference by digest.
func push(t *testing.T, host string, img v1.Image) string {
	t.Helper()
	ref, err := name.ParseReference(host + "/test/dtk:1")
	must(t, err)
	must(t, remote.Write(ref, img, remote.WithAuth(&authn.Basic{Username: user, Password: password})))
	return ref.Context().Digest(must1(img.Digest())(t).String()).String()
}

// credentials is an auth file for the registry.
func credentials(t *testing.T, host, password string) string {
	t.Helper()
	data, err := json.Marshal(
		map[string]any{"auths": map[string]any{host: authn.AuthConfig{Username: user, Password: password}}},
	)
	must(t, err)
	path := filepath.Join(t.TempDir(), "config.json")
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

// R4.1, R6.3, R10.2: a real pull with credentials from a file; what we pulled goes, what was there stays.
func TestE2EAcquire(t *testing.T) { eachEngine(t, testAcquire) }

func testAcquire(t *testing.T, program string) {
	host := serve(t)
	dtk := push(t, host, busyboxImage(t))
	c, _ := newCLI(t, program, t.TempDir())
	c.opts.AuthFile = credentials(t, host, password)
	var done, total int64
	lease, err := c.Acquire(t.Context(), dtk, func(d, n int64) { done, total = d, n })
	must(t, err)
	if !pulled(lease) || done != 1 || total != 1 {
		t.Errorf("pulled: %v, %d of %d layers; want 1 of 1", pulled(lease), done, total)
	}
	second, err := c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	must(t, lease.Release(t.Context()))
	j := realJob(t, "exit 0")
	j.Image = dtk
	must(t, c.Run(t.Context(), j))
	must(t, second.Release(t.Context()))
	if there, err := c.store.exists(t.Context(), dtk); there || err != nil {
		t.Errorf("the image is there: %v, %v", there, err)
	}

	// Now it is somebody else's, under a tag and by its digest.
	must(t, c.pull(t.Context(), must1(parseReference(dtk))(t), nil))
	defer func() { must(t, c.store.removeImage(context.WithoutCancel(t.Context()), dtk)) }()
	lease, err = c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	must(t, lease.Release(t.Context()))
	if there, err := c.store.exists(t.Context(), dtk); !there || err != nil {
		t.Errorf("what was there before is there: %v, %v", there, err)
	}
	if left, err := os.ReadDir(c.opts.TempDir); len(left) != 0 || err != nil {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}

// R6.3, R8.2: a pull that is interrupted, at whatever moment, leaves no image and no marker of one. Podman 4 that is
// killed within a few milliseconds leaves an image without a name (https://github.com/containers/storage/pull/1113).
func TestE2EDockerAcquireInterrupted(t *testing.T) {
	host := serve(t)
	dtk := push(t, host, busyboxImage(t))
	c, _ := newCLI(t, "docker", t.TempDir())
	c.opts.AuthFile = credentials(t, host, password)
	for delay := range 15 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(delay)*20*time.Millisecond)
		lease, err := c.Acquire(ctx, dtk, nil)
		cancel()
		if err == nil {
			must(t, lease.Release(t.Context()))
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if there, err := c.store.exists(t.Context(), dtk); there || err != nil {
			t.Errorf("after %d ms the image is there: %v, %v", 20*delay, there, err)
		}
		if left, err := os.ReadDir(filepath.Join(c.opts.StateDir, "images")); len(left) != 0 || err != nil {
			t.Errorf("after %d ms there are markers: %v, %v", 20*delay, left, err)
		}
	}
}

// An image that has another name as well is not ours alone: only our name goes.
func TestE2EReleaseKeepsOtherNames(t *testing.T) { eachEngine(t, testReleaseKeepsOtherNames) }

func testReleaseKeepsOtherNames(t *testing.T, program string) {
	host := serve(t)
	dtk := push(t, host, busyboxImage(t))
	c, _ := newCLI(t, program, t.TempDir())
	c.opts.AuthFile = credentials(t, host, password)
	lease, err := c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	const theirs = "localhost/neuron-kmod-theirs:1"
	must(t, runEngine(t, c, "tag", dtk, theirs))
	defer func() { must(t, c.store.removeImage(context.WithoutCancel(t.Context()), theirs)) }()
	must(t, lease.Release(t.Context()))
	if there, err := c.store.exists(t.Context(), theirs); !there || err != nil {
		t.Errorf("the other name is there: %v, %v", there, err)
	}
}

func runEngine(t *testing.T, c *CLI, args ...string) error {
	t.Helper()
	_, err := c.store.list(t.Context(), args...)
	return err
}

// R4.1: what a real registry says through a real podman is understood.
func TestE2EPullErrors(t *testing.T) { eachEngine(t, testPullErrors) }

func testPullErrors(t *testing.T, program string) {
	host := serve(t)
	dtk := push(t, host, busyboxImage(t))
	absent := host + "/test/dtk@sha256:" + strings.Repeat("0", 64)
	c, _ := newCLI(t, program, t.TempDir())
	tests := []struct {
		name, image, auth      string
		notFound, unauthorized bool
	}{
		{"no such digest", absent, credentials(t, host, password), true, false},
		{"no such repository", host + "/other:1", credentials(t, host, password), true, false},
		{"wrong password", dtk, credentials(t, host, "wrong"), false, true},
		{"no credentials", dtk, "", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.opts.AuthFile = tt.auth
			start := time.Now()
			_, err := c.Acquire(t.Context(), tt.image, nil)
			pull, ok := errors.AsType[*PullError](err)
			if !ok || pull.NotFound != tt.notFound || pull.Unauthorized != tt.unauthorized {
				t.Errorf("got %v (%+v)", err, pull)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %s: a sure answer was asked for again", took)
			}
			if err != nil && strings.Contains(err.Error(), password) {
				t.Error("the error has the password in it")
			}
		})
	}
}

// e2eSpec is a build with two stages, of which one runs something.
func e2eSpec(t *testing.T, base v1.Image, containerfile string) BuildSpec {
	t.Helper()
	root := t.TempDir()
	created := time.Unix(1700000000, 0)
	spec := BuildSpec{
		Context: filepath.Join(
			root, "context",
		), Containerfile: filepath.Join(root, "Containerfile"), Out: filepath.Join(root, "out.tar"),
		Args: map[string]string{"WHO": "world"}, Labels: map[string]string{"a": "two words"},
		Platform: "linux/amd64", Timestamp: &created, Bases: map[string]v1.Image{"registry.invalid/base:1": base},
	}
	must(t, errors.Join(
		os.Mkdir(spec.Context, 0o755),
		os.WriteFile(filepath.Join(spec.Context, "file"), []byte("content"), 0o644),
		os.WriteFile(spec.Containerfile, []byte(containerfile), 0o644),
	))
	return spec
}

// R5.3: podman builds on the base that it is given, asks no registry, and makes the same image each time.
func TestE2EBuild(t *testing.T) {
	base := busyboxImage(t)
	c, _ := newCLI(t, "podman", t.TempDir())
	var images []string
	for range 2 {
		spec := e2eSpec(t, base, `FROM registry.invalid/base:1 AS made
ARG WHO
RUN echo "hello ${WHO}" > /made
FROM registry.invalid/base:1
COPY --from=made /made /made
COPY file /file
RUN echo more >> /file
`)
		must(t, c.Build(t.Context(), spec))
		images = append(images, archivedImage(t, spec.Out))
	}
	if diff := cmp.Diff(images[0], images[1]); diff != "" || strings.Count(images[0], "sha256:") != 3 {
		t.Errorf("two builds differ:\n%s", diff)
	}
	wantNoneOf(t, "podman", c.opts.RunID)
	if left, err := os.ReadDir(c.opts.TempDir); len(left) != 0 || err != nil {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}

// archivedImage names the configuration and the layers of the image in an OCI archive.
func archivedImage(t *testing.T, path string) string {
	t.Helper()
	var index v1.IndexManifest
	must(t, json.Unmarshal(fileInTar(t, path, "index.json"), &index))
	var manifest v1.Manifest
	must(t, json.Unmarshal(fileInTar(t, path, "blobs/sha256/"+index.Manifests[0].Digest.Hex), &manifest))
	names := manifest.Config.Digest.String()
	for _, layer := range manifest.Layers {
		names += " " + layer.Digest.String()
	}
	return names
}

func fileInTar(t *testing.T, path, file string) []byte {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		must(t, err)
		if h.Name == file {
			return must1(io.ReadAll(r))(t)
		}
	}
}

// R8.2: an interrupted build leaves no working container, which podman itself would.
func TestE2EBuildInterrupted(t *testing.T) {
	c, _ := newCLI(t, "podman", t.TempDir())
	spec := e2eSpec(t, busyboxImage(t), "FROM registry.invalid/base:1\nRUN echo is ready && sleep 1000\n")
	ctx, cancel := context.WithCancel(t.Context())
	spec.Log = &lineWatcher{line: "is ready", found: cancel}
	if err := c.Build(ctx, spec); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	wantNoneOf(t, "podman", c.opts.RunID)
	if left, err := os.ReadDir(c.opts.TempDir); len(left) != 0 || err != nil {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}

// lineWatcher calls found once it has seen a line that is the given one.
type lineWatcher struct {
	line  string
	found func()
	seen  bytes.Buffer
}

func (w *lineWatcher) Write(p []byte) (int, error) {
	w.seen.Write(p)
	for line := range strings.Lines(w.seen.String()) {
		if w.found != nil && strings.TrimSpace(line) == w.line {
			w.found()
			w.found = nil
		}
	}
	return len(p), nil
}

func init() {
	children["build"] = func() error {
		root := os.Getenv("ENGINE_TEST_ROOT")
		c, w, err := realEngine(context.Background(), os.Getenv("ENGINE_TEST_PROGRAM"), root)
		if err != nil {
			return err
		}
		img, err := tarball.ImageFromPath(filepath.Join(root, "base.tar"), nil)
		if err != nil {
			return err
		}
		return c.Build(context.Background(), BuildSpec{
			Context: root, Containerfile: filepath.Join(root, "Containerfile"), Out: w.Path("out.tar"),
			Bases: map[string]v1.Image{"registry.invalid/base:1": img},
			Log:   &lineWatcher{line: "is ready", found: func() { os.Stdout.WriteString(w.ID()) }},
		})
	}
	children["pull"] = func() error {
		root := os.Getenv("ENGINE_TEST_ROOT")
		c, w, err := realEngine(context.Background(), os.Getenv("ENGINE_TEST_PROGRAM"), root)
		if err != nil {
			return err
		}
		image, err := os.ReadFile(filepath.Join(root, "image"))
		if err != nil {
			return err
		}
		c.opts.AuthFile = filepath.Join(root, "config.json")
		if _, err := c.Acquire(context.Background(), string(image), nil); err != nil {
			return err
		}
		os.Stdout.WriteString(w.ID())
		_, err = io.Copy(io.Discard, os.Stdin)
		time.Sleep(time.Minute) // the parent kills it
		return err
	}
}

// R8.2, R6.3: what a build that was killed has left in podman's store goes with the next run.
func TestE2ESweepKilledBuild(t *testing.T) {
	root := t.TempDir()
	tag, err := name.NewTag("registry.invalid/base:1")
	must(t, err)
	must(t, tarball.WriteToFile(filepath.Join(root, "base.tar"), tag, busyboxImage(t)))
	must(
		t,
		os.WriteFile(
			filepath.Join(root, "Containerfile"), []byte("FROM registry.invalid/base:1\nRUN echo is ready && sleep 1000\n"),
			0o600,
		),
	)
	killed := killChild(t, "podman", "build", root)
	c, _ := newCLI(t, "podman", root)
	must(t, c.Sweep(t.Context()))
	wantNoneOf(t, "podman", killed)
	if _, err := os.Stat(filepath.Join(root, "temp", "neuron-kmod-"+killed)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the killed run's directory: %v", err)
	}
}

// R8.2, R6.3: so does what it had pulled.
func TestE2ESweepKilledLease(t *testing.T) { eachEngine(t, testSweepKilledLease) }

func testSweepKilledLease(t *testing.T, program string) {
	root, host := t.TempDir(), serve(t)
	dtk := push(t, host, busyboxImage(t))
	must(t, os.WriteFile(filepath.Join(root, "image"), []byte(dtk), 0o600))
	must(t, os.Rename(credentials(t, host, password), filepath.Join(root, "config.json")))
	killChild(t, program, "pull", root)
	c, _ := newCLI(t, program, root)
	if there, err := c.store.exists(t.Context(), dtk); !there || err != nil {
		t.Fatalf("before the sweep the image is there: %v, %v", there, err)
	}
	must(t, c.Sweep(t.Context()))
	if there, err := c.store.exists(t.Context(), dtk); there || err != nil {
		t.Errorf("after the sweep the image is there: %v, %v", there, err)
	}
}
