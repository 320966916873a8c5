package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/oci/registry/registrytest"
)

// site is a directory with a matrix and a catalogue, a registry with Driver Toolkits as quay.io has them, and one of a cluster
// without internet.
type site struct {
	t        testing.TB
	dir      string
	source   *registrytest.Server
	internal *registrytest.Server
	base     v1.Layer // that all toolkits have
	own      int64    // bytes of a layer that each toolkit has to itself; 0 for none
	catalog  []map[string]string
}

func newSite(t testing.TB) *site {
	t.Helper()
	base, err := random.Layer(50<<10, types.DockerLayer)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: t.TempDir(), source: registrytest.New(t), internal: registrytest.New(t), base: base}
	s.write("m.json", `[{"driver": "2.24.7.0", "ocp_versions": ["4.20", "4.21"]}, {"driver": "2.22.2.0", "ocp_versions": ["4.20"]}]`)
	return s
}

func (s *site) write(file, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, file), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// toolkit stores a Driver Toolkit and adds it to the catalogue, which records its kernel where recorded is set.
func (s *site) toolkit(release, component, kernel string, recorded bool) string {
	s.t.Helper()
	var metadata bytes.Buffer
	w := tar.NewWriter(&metadata)
	text := fmt.Appendf(nil, `{"KERNEL_VERSION": %q, "RELEASE": %q}`, kernel, release)
	h := &tar.Header{Name: "etc/driver-toolkit-release.json", Mode: 0o644, Size: int64(len(text))}
	if err := errors.Join(w.WriteHeader(h), func() error { _, err := w.Write(text); return err }(), w.Close()); err != nil {
		s.t.Fatal(err)
	}
	layers := []v1.Layer{s.base, static.NewLayer(metadata.Bytes(), types.DockerUncompressedLayer)}
	if s.own > 0 {
		layer, err := random.Layer(s.own, types.DockerLayer)
		if err != nil {
			s.t.Fatal(err)
		}
		layers = append(layers, layer)
	}
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		s.t.Fatal(err)
	}
	digest := s.push(s.source.Host+"/openshift/dtk", "x"+release+component, img)
	entry := map[string]string{"arch": "x86_64", "version": release, "dtk": s.source.Host + "/openshift/dtk@" + digest}
	if component != "" {
		entry["component"] = component
	}
	if recorded {
		entry["kernel"] = kernel
	}
	s.catalog = append(s.catalog, entry)
	data, err := json.Marshal(s.catalog)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("c.json", string(data))
	return digest
}

// push stores an image and returns its digest.
func (s *site) push(repository, tag string, img v1.Image) string {
	s.t.Helper()
	repo, err := name.NewRepository(repository)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := remote.Write(repo.Tag(tag), img); err != nil {
		s.t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return digest.String()
}

// run runs the program.
func (s *site) run(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	s.t.Chdir(s.dir)
	var out, log bytes.Buffer
	code = Main(ctx, Streams{Args: args, Stdout: &out, Stderr: &log, Getenv: func(name string) string {
		return map[string]string{"HOME": s.dir, "TMPDIR": s.dir, "KMOD_ECR_PUBLIC_REPOSITORY": "alias/neuron/kmod"}[name]
	}})
	return code, out.String(), log.String()
}

// mirror runs catalog mirror with the site's files and returns its report, which it wants to be as JSON.
func (s *site) mirror(code int, args ...string) action.MirrorReport {
	s.t.Helper()
	args = append([]string{"catalog", "mirror"}, append(args, "--matrix", "m.json", "--catalog", "c.json", "-o", "json")...)
	got, stdout, stderr := s.run(s.t.Context(), args...)
	var r action.MirrorReport
	if got != code {
		s.t.Fatalf("%q: exit code %d, want %d\n%s%s", args, got, code, stdout, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		s.t.Fatalf("%q: %v\n%s%s", args, err, stdout, stderr)
	}
	return r
}

// states lists the images of a report.
func states(r action.MirrorReport) []string {
	var out []string
	for _, m := range r.Images {
		out = append(out, fmt.Sprintf("%s %s %s %s", m.Tag, m.Kernel, m.State, m.Digest))
	}
	return out
}

const (
	kernelA = "5.14.0-570.1.1.el9_6.x86_64"
	kernelB = "5.14.0-570.2.1.el9_6.x86_64"
	kernelC = "6.12.0-200.1.1.el10_2.x86_64"
)

// R1.3: Driver Toolkits are copied under their releases with their digests; again sends nothing and asks the originals'
// registry nothing; one that is gone does not stop the others.
func TestCatalogMirror(t *testing.T) {
	s := newSite(t)
	a, b := s.toolkit("4.20.1", "", kernelA, true), s.toolkit("4.20.2", "", kernelA, false)
	c := s.toolkit("4.21.0", "", kernelB, true)
	d := s.toolkit("4.21.0", "driver-toolkit-10", kernelC, true)
	s.toolkit("4.22.0", "", kernelC, true)
	to := s.internal.Host + "/mirror/dtk"
	want := func(state string) []string {
		return []string{
			"4.20.1 " + kernelA + " " + state + " " + a, "4.20.2  " + state + " " + b,
			"4.21.0 " + kernelB + " " + state + " " + c, "4.21.0-driver-toolkit-10 " + kernelC + " " + state + " " + d,
		}
	}
	r := s.mirror(0, to, "--dry-run")
	if diff := cmp.Diff(want("due"), states(r)); diff != "" || r.Due < 50<<10 || len(s.internal.Requests("POST")) > 0 {
		t.Errorf("dry run: due %d, requests %q, (-want +got):\n%s", r.Due, s.internal.Requests(), diff)
	}
	r = s.mirror(0, to)
	if diff := cmp.Diff(want("copied"), states(r)); diff != "" || r.Mirror != to {
		t.Errorf("to %s (-want +got):\n%s", r.Mirror, diff)
	}
	s.source.Forget()
	s.internal.Forget()
	r = s.mirror(0, to)
	if diff := cmp.Diff(want("there"), states(r)); diff != "" {
		t.Errorf("again (-want +got):\n%s", diff)
	}
	if n, m := s.source.Requests(), s.internal.Requests("/blobs/"); len(n)+len(m) > 0 {
		t.Errorf("again it asks for %q and %q", n, m)
	}
	r = s.mirror(0, to, "all", "4.20", "--minors", "4.22")
	if len(r.Images) != 3 || r.Images[2].Tag != "4.22.0" || r.Images[2].State != "copied" {
		t.Errorf("with another minor: %q", states(r))
	}
	s.source.Break(registrytest.Fault{Path: "/manifests/" + b, Status: http.StatusNotFound})
	r = s.mirror(1, s.internal.Host+"/other/dtk")
	if got := states(r); len(got) != 4 || r.Images[1].State != "failed" || r.Images[0].State != "copied" || r.Images[3].State != "copied" || r.Images[1].Error == "" {
		t.Errorf("with one that is gone: %q", got)
	}
}

// One Driver Toolkit for each kernel, the newest: kernels that the catalogue does not record are read. A build can then use
// the mirror for all releases of the kernel.
func TestCatalogMirrorKernelsOnly(t *testing.T) {
	s := newSite(t)
	s.toolkit("4.20.1", "", kernelA, true)
	b := s.toolkit("4.20.2", "", kernelA, false)
	c := s.toolkit("4.21.0", "", kernelB, true)
	r := s.mirror(0, "oci:carry", "--kernels-only")
	want := []string{"4.20.2 " + kernelA + " copied " + b, "4.21.0 " + kernelB + " copied " + c}
	if diff := cmp.Diff(want, states(r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// Carried on, with nothing but the directory and the catalogue: the kernel that it does not record was remembered here.
	s.source.Break(registrytest.Fault{Status: http.StatusForbidden})
	r = s.mirror(0, s.internal.Host+"/mirror/dtk", "--kernels-only", "--from", "oci:carry")
	if diff := cmp.Diff(want, states(r)); diff != "" {
		t.Errorf("carried (-want +got):\n%s", diff)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, ".cache")); err != nil {
		t.Fatal(err)
	}
	r = s.mirror(1, s.internal.Host+"/mirror/dtk", "--kernels-only", "--from", "oci:carry")
	last := r.Images[len(r.Images)-1]
	if last.Tag != "4.20.2" || last.State != "failed" || !strings.Contains(last.Error, "does not record its kernel") {
		t.Errorf("without the kernel: %+v", r.Images)
	}
	// From one registry to the next kernels are read in the mirror.
	r = s.mirror(0, s.internal.Host+"/second/dtk", "--kernels-only", "--from", s.internal.Host+"/mirror/dtk")
	if diff := cmp.Diff(want, states(r)); diff != "" {
		t.Errorf("from the mirror (-want +got):\n%s", diff)
	}
}

// R9.1: a new release of a kernel that the destination has is no reason to copy another Driver Toolkit; one whose tag leads to
// another image is not there.
func TestCatalogMirrorKernelsOnlyAgain(t *testing.T) {
	for name, to := range map[string]func(*site) string{
		"registry":  func(s *site) string { return s.internal.Host + "/mirror/dtk" },
		"directory": func(*site) string { return "oci:carry" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			a := s.toolkit("4.20.1", "", kernelA, true)
			s.mirror(0, to(s), "--kernels-only")
			s.toolkit("4.20.2", "", kernelA, true)
			b := s.toolkit("4.20.3", "", kernelB, true)
			want := []string{"4.20.1 " + kernelA + " there " + a, "4.20.3 " + kernelB + " copied " + b}
			if diff := cmp.Diff(want, states(s.mirror(0, to(s), "--kernels-only"))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// Nor does one that is filled from there ask it for what it does not have.
			want = []string{"4.20.1 " + kernelA + " copied " + a, "4.20.3 " + kernelB + " copied " + b}
			r := s.mirror(0, s.internal.Host+"/next/dtk", "--kernels-only", "--from", to(s))
			if diff := cmp.Diff(want, states(r)); diff != "" {
				t.Errorf("next (-want +got):\n%s", diff)
			}
		})
	}
	s := newSite(t)
	s.toolkit("4.20.1", "", kernelA, true)
	b := s.toolkit("4.20.2", "", kernelA, true)
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.push(s.internal.Host+"/mirror/dtk", "4.20.1", img)
	want := []string{"4.20.2 " + kernelA + " copied " + b}
	if diff := cmp.Diff(want, states(s.mirror(0, s.internal.Host+"/mirror/dtk", "--kernels-only"))); diff != "" {
		t.Errorf("another image (-want +got):\n%s", diff)
	}
	s.internal.Break(registrytest.Fault{Path: "/tags/list", Status: http.StatusForbidden})
	if code, _, stderr := s.run(t.Context(), "catalog", "mirror", s.internal.Host+"/mirror/dtk", "--kernels-only", "--matrix", "m.json", "--catalog", "c.json"); code != 4 {
		t.Errorf("a destination that cannot be looked at: exit code %d\n%s", code, stderr)
	}
}

// The published kmod images of the plan are copied with their tags; one that is not published is told.
func TestCatalogMirrorKmod(t *testing.T) {
	s := newSite(t)
	s.toolkit("4.20.1", "", kernelA, true)
	s.toolkit("4.21.0", "", kernelB, true)
	img, err := random.Image(2000, 2)
	if err != nil {
		t.Fatal(err)
	}
	public := s.source.Host + "/public/kmod"
	digest := s.push(public, "2.24.7.0-"+kernelA, img)
	s.push(public, "2.22.2.0-"+kernelA, img)
	s.push(public, "2.18.0.0-"+kernelA, img)
	to := s.internal.Host + "/mirror/kmod"
	r := s.mirror(1, to, "--kmod", "--from", public, "--mirror-set", "sets.yaml")
	want := []string{
		"2.24.7.0-" + kernelA + " " + kernelA + " copied " + digest, "2.22.2.0-" + kernelA + " " + kernelA + " copied " + digest,
		"2.24.7.0-" + kernelB + " " + kernelB + " failed ",
	}
	if diff := cmp.Diff(want, states(r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if e := r.Images[2].Error; !strings.Contains(e, "not published in "+public) {
		t.Errorf("the error is %q", e)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "sets.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ImageDigestMirrorSet", "ImageTagMirrorSet", "source: " + public, "- " + to} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}

	// By way of a directory, which has no name that a cluster knows: the images are ECR Public's.
	s.mirror(0, "oci:carry", "2.22.2.0", "4.20", "--kmod", "--from", public)
	s.mirror(0, s.internal.Host+"/far/kmod", "2.22.2.0", "4.20", "--kmod", "--from", "oci:carry", "--mirror-set", "far.yaml")
	if text, err = os.ReadFile(filepath.Join(s.dir, "far.yaml")); err != nil || !strings.Contains(string(text), "source: public.ecr.aws/alias/neuron/kmod\n") {
		t.Errorf("error %v, mirror set\n%s", err, text)
	}
}

// Mirror sets go to stdout in place of the table, to be piped on.
func TestCatalogMirrorSetOnly(t *testing.T) {
	s := newSite(t)
	s.toolkit("4.20.1", "", kernelA, true)
	to := s.internal.Host + "/mirror/dtk"
	code, stdout, stderr := s.run(t.Context(), "catalog", "mirror", to, "--matrix", "m.json", "--catalog", "c.json", "--mirror-set", "-")
	if code != 0 || !strings.HasPrefix(stdout, "apiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\n") || strings.Contains(stdout, "STATE") {
		t.Errorf("exit code %d, stdout\n%s%s", code, stdout, stderr)
	}
	if !strings.Contains(stderr, "1 image: 1 copied") || strings.Contains(stdout, "TagMirror") || !strings.Contains(stdout, "source: "+s.source.Host+"/openshift/dtk\n") {
		t.Errorf("stdout\n%s\nstderr\n%s", stdout, stderr)
	}
}

// A minor that the catalogue does not have is told once, though several drivers are for it.
func TestCatalogMirrorMissing(t *testing.T) {
	s := newSite(t)
	s.write("m.json", `[{"driver": "2.24.7.0", "ocp_versions": ["4.21", "4.20"]}, {"driver": "2.22.2.0", "ocp_versions": ["4.20", "4.21"]}]`)
	s.toolkit("4.20.1", "", kernelA, true)
	code, _, stderr := s.run(t.Context(), "catalog", "mirror", "oci:out", "--dry-run", "--matrix", "m.json", "--catalog", "c.json")
	if code != 0 || strings.Count(stderr, "does not have all releases") != 1 {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// What stands in the way of all of it decides the exit code.
func TestCatalogMirrorFails(t *testing.T) {
	s := newSite(t)
	a := s.toolkit("4.20.1", "", kernelA, true)
	to := s.internal.Host + "/mirror/dtk"
	s.source.Break(registrytest.Fault{Path: "/openshift/", Status: http.StatusUnauthorized})
	code, stdout, stderr := s.run(t.Context(), "catalog", "mirror", to, "--matrix", "m.json", "--catalog", "c.json")
	if code != 4 || !strings.Contains(stdout, "failed 4.20.1") || !strings.Contains(stderr, "cannot copy any image") || !strings.Contains(stderr, "hint: ") {
		t.Errorf("no credentials for the originals: exit code %d\n%s%s", code, stdout, stderr)
	}
	s.source.Mend()
	s.internal.Break(registrytest.Fault{Method: "POST", Status: http.StatusMethodNotAllowed})
	s.source.Forget()
	code, stdout, stderr = s.run(t.Context(), "catalog", "mirror", to, "--matrix", "m.json", "--catalog", "c.json")
	if code != 5 || stdout != "" || !strings.Contains(stderr, "choose another target") || len(s.source.Requests("/blobs/")) > 0 {
		t.Errorf("a mirror that cannot be pushed to: exit code %d\n%s%s", code, stdout, stderr)
	}
	s.internal.Mend()
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.push(to, "4.20.1", img)
	if r := s.mirror(1, to); r.Images[0].State != "failed" || !strings.Contains(r.Images[0].Error, "--force") {
		t.Errorf("a tag that is taken: %+v", r.Images)
	}
	if r := s.mirror(0, to, "--force"); r.Images[0].State != "copied" || r.Images[0].Digest != a {
		t.Errorf("--force: %+v", r.Images)
	}
}

// R8.2: a run that is interrupted tells what it has done.
func TestCatalogMirrorInterrupted(t *testing.T) {
	s := newSite(t)
	s.toolkit("4.20.1", "", kernelA, true)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	hit := make(chan struct{}, 1)
	s.internal.Break(registrytest.Fault{Method: "PATCH", Status: http.StatusServiceUnavailable, RetryAfter: "60", Hit: hit})
	go func() {
		<-hit
		cancel(Interrupted{})
	}()
	code, stdout, stderr := s.run(ctx, "catalog", "mirror", s.internal.Host+"/mirror/dtk", "--matrix", "m.json", "--catalog", "c.json")
	if code != 130 || !strings.Contains(stdout, "1 image: 1 skipped") || !strings.Contains(stderr, "SIGINT") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}
