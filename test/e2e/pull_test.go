//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"neuron-kmod/internal/oci/auth"
	"neuron-kmod/test/lab"
)

// A Driver Toolkit that its registry has no more is reported with its release; the rest is done, with another
// release's toolkit where one serves.
// R2.2, R4.1, R8.1
func TestToolkitGone(t *testing.T) {
	t.Parallel()
	gone := func(r lab.Release) lab.Release {
		r.Version, r.Gone = "4.20.2", true
		return r
	}
	tests := []struct {
		name     string
		releases []lab.Release
		state    string // of the build
	}{
		{"its kernel unknown", []lab.Release{gone(unknown()), unknown()}, "built"},
		{"its kernel known", []lab.Release{gone(known())}, "failed"},
		{"another release's serves", []lab.Release{gone(known()), known()}, "built"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := scenario(t, tt.releases...)
			before := images(t, env)
			r := build(t, env)
			expect(t, r, 1)
			expectState(t, r, tt.state)
			if un := r.report.Unresolved; len(un) != 1 || un[0].Release != "4.20.2" ||
				!strings.Contains(un[0].Toolkit, "@sha256:") ||
				un[0].Reason == "" {
				t.Errorf("unresolved: %+v", un)
			}
			if !regexp.MustCompile(`level=WARN .*4\.20\.2`).MatchString(r.stderr) {
				t.Errorf("no warning names the release:\n%s", r.stderr)
			}
			expectClean(t, env, before)
		})
	}
}

// A DTK registry that is busy, broken or breaks off is asked again, by us and by podman; one that stays so
// costs the release, not the run.
// R4.1
func TestPullFaults(t *testing.T) {
	t.Parallel()
	blob := regexp.MustCompile(toolkitPath.String() + `blobs/`)
	manifest := regexp.MustCompile(toolkitPath.String() + `manifests/`)
	for name, fault := range map[string]lab.Fault{
		"429":   {Path: manifest, Times: 2, Status: http.StatusTooManyRequests, RetryAfter: "1"},
		"500":   {Path: blob, Times: 2, Status: http.StatusInternalServerError},
		"reset": {Path: blob, Times: 2, ResetAfter: 100},
	} {
		t.Run("reading, "+name, func(t *testing.T) {
			t.Parallel()
			env := scenario(t, unknown())
			fault, times := struck(fault)
			env.ToolkitFaults.Set(fault)
			r := run(t, env, append([]string{"plan", "-o", "json"}, env.PlanFlags()...)...)
			expect(t, r, 0)
			expectState(t, r, "missing")
			if times.Load() != 2 {
				t.Errorf("%d requests went wrong, want 2", times.Load())
			}
		})
	}
	t.Run("reading, for ever", func(t *testing.T) {
		t.Parallel()
		env := scenario(t, unknown())
		env.ToolkitFaults.Set(lab.Fault{Path: manifest, Status: http.StatusServiceUnavailable, RetryAfter: "1"})
		r := run(t, env, append([]string{"plan", "-o", "json"}, env.PlanFlags()...)...)
		expect(t, r, 1, "4.20.1", "503")
		if len(r.report.Unresolved) != 1 {
			t.Errorf("unresolved: %+v", r.report.Unresolved)
		}
	})
	t.Run("pulling", func(t *testing.T) {
		t.Parallel()
		release := known()
		release.Toolkit.Kernel = sharedLab.DebianKernel(lab.Cloud) // its layer is not in the store
		env := scenario(t, release)
		before := images(t, env)
		busy, n429 := struck(
			lab.Fault{Method: http.MethodGet, Path: manifest, Times: 1, Status: http.StatusTooManyRequests, RetryAfter: "1"},
		)
		broken, n500 := struck(
			lab.Fault{Method: http.MethodGet, Path: blob, Times: 1, Status: http.StatusInternalServerError},
		)
		reset, nReset := struck(lab.Fault{Method: http.MethodGet, Path: blob, Times: 1, ResetAfter: 1 << 20})
		env.ToolkitFaults.Set(busy, broken, reset)
		r := build(t, env)
		expect(t, r, 0)
		expectState(t, r, "built")
		if n429.Load() != 1 || n500.Load() != 1 || nReset.Load() != 1 {
			t.Errorf("429 %d times, 500 %d, reset %d; want each once", n429.Load(), n500.Load(), nReset.Load())
		}
		expectClean(t, env, before)
	})
}

// Wrong credentials for the registries of Driver Toolkits and of the base image are told as such, with what to
// do, and without the secret.
// R1.3, R8.1, R10.2
func TestToolkitCredentials(t *testing.T) {
	t.Parallel()
	toolkits, _, _ := strings.Cut(lab.ToolkitRepository, "/")
	tests := []struct {
		name, owner string      // of the repository on the host that refuses
		release     lab.Release // if its kernel is known, podman is the first to ask for it
	}{
		{"reading", toolkits, unknown()},
		{"pulling", toolkits, known()},
		{"base image", "docker", known()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := scenario(t, tt.release)
			env = withPassword(t, env, env.ToolkitHost+"/"+tt.owner, "no-such-password")
			before := images(t, env)
			r := build(t, env)
			expect(t, r, 4, env.ToolkitHost+" refuses the credentials from REGISTRY_AUTH_FILE")
			if strings.Contains(r.stdout+r.stderr, "no-such-password") {
				t.Error("the password is in the output")
			}
			expectClean(t, env, before)
		})
	}
}

// Whatever a Driver Toolkit's release file holds, the run names the release and goes on with the others.
// R4.1
func TestToolkitFiles(t *testing.T) {
	t.Parallel()
	kernel := known().Toolkit.Kernel
	env := scenario(t, unknown(),
		lab.Release{Version: "4.20.2", Toolkit: lab.Toolkit{Kernel: kernel, Squashed: true}},
		lab.Release{Version: "4.20.3", Toolkit: lab.Toolkit{Kernel: kernel, NoFile: true}})
	file := func(kernel string) []byte {
		data, err := json.Marshal(map[string]string{"KERNEL_VERSION": kernel})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	bad := map[string][]byte{
		"4.20.10": []byte(`{"KERNEL_VERSION": "5.14.0-570.96.1.el9`),
		"4.20.11": file("../../../etc/passwd"),
		"4.20.12": file("5.14.0-1.el9.x86_64/../../x"),
		"4.20.13": file("5.14.0-1.el9.x86_64\nlabel=evil"),
		"4.20.14": file("5.14.0-$(touch /tmp/x).el9.x86_64"),
		"4.20.15": file("-rf"),
		"4.20.16": file("5.14.0-" + strings.Repeat("1", 500)),
		"4.20.17": file("5.14.0-1.el9_6.x86_64\x1b[2J"),
		"4.20.18": file(""),
		"4.20.19": nil, // stands for 1 GB
	}
	toolkits := map[string]string{}
	for release, data := range bad {
		toolkits[release] = pushImage(t, env, metadataImage(t, data))
	}
	addReleases(t, env, toolkits)
	cmd, stdout, stderr := command(t, env, append([]string{"plan", "-o", "json"}, env.PlanFlags()...)...)
	err := cmd.Run()
	r := finish(t, cmd, err, stdout, stderr)
	expect(t, r, 1)
	if len(r.report.Builds) != 1 || fmt.Sprint(r.report.Builds[0].Releases) != "[4.20.1 4.20.2]" ||
		r.report.Builds[0].Kernel != kernel {
		t.Errorf("builds: %+v", r.report.Builds)
	}
	reasons := map[string]string{}
	for _, u := range r.report.Unresolved {
		reasons[u.Release] = u.Reason
		if len(u.Reason) > 600 || strings.ContainsAny(u.Reason, "\x1b\n") {
			t.Errorf("%s: the reason is not fit for a terminal: %q", u.Release, u.Reason)
		}
	}
	bad["4.20.3"] = nil
	for release := range bad {
		if !strings.Contains(reasons[release], "driver-toolkit-release.json") {
			t.Errorf("%s: the reason %q does not name the file", release, reasons[release])
		}
	}
	if len(reasons) != len(bad) {
		t.Errorf("%d releases are unresolved, want %d", len(reasons), len(bad))
	}
	if mb := maxRSS(t, cmd.ProcessState.SysUsage()); mb > 500 { // the race detector takes several times the memory
		t.Errorf("the run took %.0f MB", mb)
	}
}

// A Driver Toolkit whose headers are of another kernel than its release file says fails the build with that
// explanation.
// R4.1, R4.2
func TestToolkitOfAnotherKernel(t *testing.T) {
	t.Parallel()
	release := unknown()
	release.Toolkit.Says = "6.1.0-99-amd64"
	env := scenario(t, release)
	before := images(t, env)
	r := build(t, env)
	expect(t, r, 1)
	expectState(t, r, "failed", "no headers for kernel 6.1.0-99-amd64", "catalogue")
	expectClean(t, env, before)
}

// metadataImage is an image with nothing but a release file; of 1 GB if data is nil.
func metadataImage(t *testing.T, data []byte) v1.Image {
	t.Helper()
	size, body := int64(len(data)), io.Reader(bytes.NewReader(data))
	if data == nil {
		size, body = 1<<30, zeros{}
	}
	var layer bytes.Buffer
	zip, err := gzip.NewWriterLevel(&layer, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(zip)
	header := &tar.Header{Name: "etc/driver-toolkit-release.json", Mode: 0o644, Size: size}
	if err := archive.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(archive, body, size); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64"})
	if err == nil {
		img, err = mutate.AppendLayers(img, static.NewLayer(layer.Bytes(), types.OCILayer))
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// pushImage puts an image among the Driver Toolkits and returns its reference.
func pushImage(t *testing.T, env *lab.Env, img v1.Image) string {
	t.Helper()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	client, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewDigest(env.ToolkitHost + "/" + lab.ToolkitRepository + "@" + digest.String())
	if err != nil {
		t.Fatal(err)
	}
	err = remote.Write(ref, img, remote.WithContext(t.Context()), remote.WithTransport(client.Transport),
		remote.WithAuthFromKeychain(auth.NewKeychain(auth.NewFile(env.AuthFile, ""))))
	if err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

// addReleases adds releases to the catalogue.
func addReleases(t *testing.T, env *lab.Env, toolkits map[string]string) {
	t.Helper()
	var entries []map[string]string
	data, err := os.ReadFile(env.Catalog)
	if err == nil {
		err = json.Unmarshal(data, &entries)
	}
	if err != nil {
		t.Fatal(err)
	}
	for release, toolkit := range toolkits {
		entries = append(entries, map[string]string{"arch": "x86_64", "version": release, "dtk": toolkit})
	}
	if data, err = json.Marshal(entries); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(env.Catalog, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
