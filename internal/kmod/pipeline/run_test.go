package pipeline

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/rpmpack"

	"neuron-kmod/container"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/progress"
	"neuron-kmod/internal/version"
)

// kernels are not RHEL's, so that no patch rule is due and any source will do.
var kernels = []string{"6.1.0-50-amd64", "6.1.0-53-amd64", "6.12.107+deb12-amd64"}

// toolkit is the reference of a kernel's stand-in toolkit.
func toolkit(n int) string {
	return "quay.example/dtk@sha256:" + strings.Repeat("0", 63) + fmt.Sprint(n)
}

type noProgress struct{}

func (noProgress) Start(string, string, string) progress.Task { return noProgress{} }
func (noProgress) Update(int64, int64)                        {}
func (noProgress) Done(error)                                 {}

// directory is a Workspace in a test's directory.
type folder string

func (f folder) Mkdir(name string) (string, error) {
	dir := filepath.Join(string(f), name)
	return dir, os.Mkdir(dir, 0o700)
}

func (f folder) Path(elem ...string) string {
	return filepath.Join(append([]string{string(f)}, elem...)...)
}

// rpmFetcher serves packages with one file.
type rpmFetcher struct {
	t     *testing.T
	calls atomic.Int32
	err   map[string]error // by driver version
}

func (f *rpmFetcher) Fetch(_ context.Context, v version.Driver) (string, error) {
	f.calls.Add(1)
	if err := f.err[v.String()]; err != nil {
		return "", err
	}
	r, err := rpmpack.NewRPM(rpmpack.RPMMetaData{Name: "aws-neuronx-dkms", Version: v.String(), Release: "dkms", Arch: "noarch"})
	if err != nil {
		return "", err
	}
	r.AddFile(rpmpack.RPMFile{Name: "/usr/src/aws-neuronx-" + v.String() + "/Kbuild", Body: []byte("obj-m += neuron.o\n"), Mode: 0o644})
	path := filepath.Join(f.t.TempDir(), "driver.rpm")
	out, err := os.Create(path)
	if err != nil {
		return "", err
	}
	return path, errors.Join(r.Write(out), out.Close())
}

// baseImage has what KMM needs.
func baseImage(t *testing.T) image.Base {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	busybox := "\x7fELF BusyBox v1.36.1 (2025-01-01 00:00:00 UTC)\x00"
	entries := []*tar.Header{
		{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(busybox))},
		{Name: "bin/sh", Typeflag: tar.TypeLink, Linkname: "bin/busybox", Mode: 0o755},
		{Name: "bin/mkdir", Typeflag: tar.TypeLink, Linkname: "bin/busybox", Mode: 0o755},
		{Name: "bin/cp", Typeflag: tar.TypeLink, Linkname: "bin/busybox", Mode: 0o755},
	}
	for _, h := range entries {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(tw, busybox); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: rootFS(t, img)})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return image.Base{Name: "example.com/busybox:1", Image: img, Digest: digest.String()}
}

func rootFS(t *testing.T, img v1.Image) v1.RootFS {
	t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return cfg.RootFS
}

// newRun makes a run over an OCI layout, with everything real but the engine and the source's origin.
func newRun(t *testing.T, eng Engine) (*Run, *rpmFetcher) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	target, err := registry.NewTarget("oci:"+filepath.Join(t.TempDir(), "images"), registry.NewClient(nil, nil, log))
	if err != nil {
		t.Fatal(err)
	}
	containerfile, err := container.Files.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	fetcher := &rpmFetcher{t: t, err: map[string]error{}}
	return &Run{
		Options: Options{
			Builder: Auto, Jobs: 2, Timeout: time.Minute, Created: time.Unix(1700000000, 0).UTC(),
			SourceURL: "https://github.com/me/kmod", LogDir: filepath.Join(t.TempDir(), "logs"),
		},
		Engine: eng, Target: target, Fetcher: fetcher, Workspace: folder(t.TempDir()), Log: log, Progress: noProgress{},
		Recipe: Recipe{
			Base: baseImage(t), BusyBox: "1.36.1", Containerfile: containerfile, Script: "exit 0\n",
			CopyLicenses: func(dst string) error {
				return errors.Join(os.Mkdir(dst, 0o755), os.WriteFile(filepath.Join(dst, "GPL-2.0"), []byte("text\n"), 0o644))
			},
		},
	}, fetcher
}

// newPlan has each driver missing on each of the first n kernels.
func newPlan(t *testing.T, n int, drivers ...string) *plan.Plan {
	t.Helper()
	p := &plan.Plan{}
	for _, d := range drivers {
		v, err := version.ParseDriver(d)
		if err != nil {
			t.Fatal(err)
		}
		p.Drivers = append(p.Drivers, v)
		for i, name := range kernels[:n] {
			k, err := kernel.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			tag, err := kernel.Tag(v, k)
			if err != nil {
				t.Fatal(err)
			}
			p.Builds = append(p.Builds, plan.Build{
				Driver: v, Kernel: k, Tag: tag, Image: "oci:" + tag, State: plan.Missing, Toolkits: []string{toolkit(i)},
			})
		}
	}
	return p
}

// do carries a plan out, and returns the plan of what has become of it.
func do(t *testing.T, r *Run, p *plan.Plan) *plan.Plan {
	t.Helper()
	before := fmt.Sprintf("%+v", *p)
	done, err := r.Do(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if after := fmt.Sprintf("%+v", *p); after != before {
		t.Errorf("the plan was changed:\n%s\n%s", before, after)
	}
	return done
}

func states(p *plan.Plan) []plan.State {
	var out []plan.State
	for _, b := range p.Builds {
		out = append(out, b.State)
	}
	return out
}

// R4.3, R9.1, R9.2: one pull per kernel whatever the number of drivers; the next toolkit arrives while one is in
// use, the last one goes only after that; never more than two are on the disk; nothing is left.
func TestDoOrder(t *testing.T) {
	eng := newFakeEngine(t)
	r, fetcher := newRun(t, eng)
	p := newPlan(t, 3, "2.24.7.0", "2.22.2.0")
	p = do(t, r, p)
	if n := p.Count(plan.Built); n != 6 {
		t.Fatalf("%d of 6 built: %+v", n, p.Builds)
	}
	if diff := cmp.Diff([]string{toolkit(0), toolkit(1), toolkit(2)}, eng.pulls); diff != "" {
		t.Errorf("pulls: %s", diff)
	}
	if eng.mostHeld != 2 || len(eng.held) != 0 {
		t.Errorf("toolkits on the disk: at most %d, at the end %v", eng.mostHeld, eng.held)
	}
	for _, order := range [][2]string{{"pull 1", "remove 0"}, {"pull 2", "remove 1"}, {"remove 0", "pull 2"}} {
		if !eng.before(order[0], order[1]) {
			t.Errorf("%q is not before %q: %v", order[0], order[1], eng.events)
		}
	}
	if eng.mostRunning > 2 || fetcher.calls.Load() != 2 {
		t.Errorf("at most %d compiles at once, %d downloads of 2 drivers", eng.mostRunning, fetcher.calls.Load())
	}
	tags, err := r.Target.Tags(t.Context())
	if err != nil || len(tags) != 6 {
		t.Errorf("tags %v, error %v", tags, err)
	}
	if b := p.Builds[0]; !strings.HasPrefix(b.Digest, "sha256:") || b.Size == 0 || b.Seconds == 0 {
		t.Errorf("report: %+v", b)
	}
}

// R8.1: a compile error costs its own image and no other; the first compiler error is told.
func TestDoKeepsGoing(t *testing.T) {
	eng := newFakeEngine(t)
	eng.job = func(j engine.Job) error {
		if j.Args[1] == kernels[1] {
			fmt.Fprintln(j.Log, "neuron_cdev.c:12:3: error: implicit declaration of function 'class_create'")
			return &engine.ExitError{Code: 2, Tail: "make: *** [Makefile:1] Error 2"}
		}
		return compileFake(j)
	}
	r, _ := newRun(t, eng)
	p := newPlan(t, 3, "2.24.7.0")
	p = do(t, r, p)
	if diff := cmp.Diff([]plan.State{plan.Built, plan.Failed, plan.Built}, states(p)); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(p.Builds[1].Error, "neuron_cdev.c:12:3: error: implicit declaration") {
		t.Errorf("error %q", p.Builds[1].Error)
	}
	log, err := os.ReadFile(filepath.Join(r.Options.LogDir, p.Builds[1].Tag+".log"))
	if err != nil || !strings.Contains(string(log), "class_create") {
		t.Errorf("log %q, error %v", log, err)
	}
}

func TestDoFailFast(t *testing.T) {
	eng := newFakeEngine(t)
	eng.job = func(engine.Job) error { return &engine.ExitError{Code: 2} }
	r, _ := newRun(t, eng)
	r.Options.FailFast = true
	p := newPlan(t, 3, "2.24.7.0")
	p = do(t, r, p)
	if diff := cmp.Diff([]plan.State{plan.Failed, plan.Skipped, plan.Skipped}, states(p)); diff != "" {
		t.Error(diff)
	}
	if len(eng.held) != 0 || eng.jobs != 1 {
		t.Errorf("held %v, %d jobs", eng.held, eng.jobs)
	}
}

// R4.1: when a toolkit cannot be pulled another release's is taken, and the stale one is told.
func TestDoStaleToolkit(t *testing.T) {
	eng := newFakeEngine(t)
	eng.pullError[toolkit(0)] = errors.New("manifest unknown")
	eng.pullError[toolkit(1)] = errors.New("manifest unknown")
	r, _ := newRun(t, eng)
	p := newPlan(t, 2, "2.24.7.0")
	p.Builds[0].Toolkits = []string{toolkit(0), toolkit(9)}
	p = do(t, r, p)
	if diff := cmp.Diff([]plan.State{plan.Built, plan.Failed}, states(p)); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(eng.pulls, toolkit(9)) || !strings.Contains(p.Builds[1].Error, "manifest unknown") {
		t.Errorf("pulls %v, error %q", eng.pulls, p.Builds[1].Error)
	}
}

// R3.1: a driver whose source is not to be had fails its own builds before anything is pulled for them.
func TestDoWithoutSource(t *testing.T) {
	eng := newFakeEngine(t)
	r, fetcher := newRun(t, eng)
	fetcher.err["2.22.2.0"] = errors.New("404")
	p := newPlan(t, 1, "2.24.7.0", "2.22.2.0")
	p = do(t, r, p)
	if diff := cmp.Diff([]plan.State{plan.Built, plan.Failed}, states(p)); diff != "" {
		t.Error(diff)
	}
	fetcher.err["2.24.7.0"] = errors.New("404")
	eng.pulls, r.Workspace = nil, folder(t.TempDir())
	do(t, r, newPlan(t, 3, "2.24.7.0"))
	if len(eng.pulls) != 0 {
		t.Errorf("pulled %v for nothing", eng.pulls)
	}
}

// R8.2: an interrupted run removes what it pulled and says what it did not come to.
func TestDoInterrupted(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	signal := errors.New("terminated")
	eng := newFakeEngine(t)
	eng.job = func(j engine.Job) error {
		stop(signal)
		return context.Canceled
	}
	r, _ := newRun(t, eng)
	p := newPlan(t, 3, "2.24.7.0")
	p, err := r.Do(ctx, p)
	if !errors.Is(err, signal) {
		t.Errorf("error %v", err)
	}
	if p.Count(plan.Skipped) != 3 || len(eng.held) != 0 {
		t.Errorf("states %v, held %v", states(p), eng.held)
	}
	if !strings.Contains(p.Builds[0].Error, "terminated") {
		t.Errorf("error %q", p.Builds[0].Error)
	}
}

// R4.3: what is published stays without --force; another run's image, published meanwhile, is accepted unbuilt.
func TestDoExisting(t *testing.T) {
	eng := newFakeEngine(t)
	r, _ := newRun(t, eng)
	first := newPlan(t, 1, "2.24.7.0")
	first = do(t, r, first)
	r.Workspace = folder(t.TempDir())
	again := newPlan(t, 1, "2.24.7.0") // planned before the first run published
	again = do(t, r, again)
	if again.Builds[0].State != plan.Published || again.Builds[0].Digest != first.Builds[0].Digest || eng.jobs != 1 {
		t.Errorf("second run: %+v, %d jobs", again.Builds[0], eng.jobs)
	}
	again.Builds[0].State = plan.Published
	pulls := len(eng.pulls)
	if do(t, r, again); len(eng.pulls) != pulls {
		t.Errorf("a published plan pulled %v", eng.pulls[pulls:])
	}
	r.Options.Force, r.Workspace = true, folder(t.TempDir())
	r.Options.Created = r.Options.Created.Add(time.Hour)
	again = do(t, r, again)
	if again.Builds[0].State != plan.Built || again.Builds[0].Digest == first.Builds[0].Digest {
		t.Errorf("forced: %+v", again.Builds[0])
	}
}

// R4.2: a module of another version or kernel is not published.
func TestDoWrongModule(t *testing.T) {
	for name, args := range map[string][]string{
		"version":  {"2.24.6.0", kernels[0]},
		"vermagic": {"2.24.7.0", kernels[1]},
	} {
		t.Run(name, func(t *testing.T) {
			eng := newFakeEngine(t)
			eng.job = func(j engine.Job) error {
				if err := compileFake(j); err != nil {
					return err
				}
				return os.WriteFile(filepath.Join(j.Output, "opt/lib/modules", kernels[0], "neuron.ko"), fakeModule(args[0], args[1]), 0o644)
			}
			r, _ := newRun(t, eng)
			p := newPlan(t, 1, "2.24.7.0")
			p = do(t, r, p)
			if p.Builds[0].State != plan.Failed || !strings.Contains(p.Builds[0].Error, name) {
				t.Errorf("%s: %+v", name, p.Builds[0])
			}
			if tags, err := r.Target.Tags(t.Context()); err != nil || len(tags) != 0 {
				t.Errorf("published %v, error %v", tags, err)
			}
		})
	}
}

func TestShare(t *testing.T) {
	for _, tt := range []struct{ processors, drivers, compiles, jobs int }{
		{2, 1, 1, 2}, {2, 2, 2, 1}, {2, 3, 2, 1}, {8, 3, 3, 2}, {4, 3, 3, 1}, {1, 4, 1, 1}, {16, 1, 1, 16},
	} {
		if c, j := share(tt.processors, tt.drivers); c != tt.compiles || j != tt.jobs {
			t.Errorf("share(%d, %d) = %d, %d", tt.processors, tt.drivers, c, j)
		}
	}
}
