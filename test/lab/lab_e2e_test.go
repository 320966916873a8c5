//go:build e2e

package lab

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/platform/command"
)

func openLab(t *testing.T) *Lab {
	t.Helper()
	l, err := Open(t.Context(), cmp.Or(os.Getenv("LAB_DIR"), "../../.lab"), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func startEnv(t *testing.T, l *Lab, o Options) *Env {
	t.Helper()
	e, err := l.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// podman runs podman as the program under test would and returns what it printed.
func podman(t *testing.T, e *Env, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := command.Run(t.Context(), command.Cmd{Name: "podman", Args: args, Env: e.Vars, Stdout: &out, Stderr: &out})
	return out.String(), err
}

// The issue, point 12: at least four real kernels, one real-time and one with a plus sign, and RHEL's names.
func TestLabHasTheKernelsOfTheIssue(t *testing.T) {
	t.Parallel()
	l := openLab(t)
	var realTime, plus, debian, rhel int
	for _, k := range l.Kernels() {
		v, err := kernel.Parse(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := v.RHEL(); ok {
			rhel++
			continue
		}
		debian++
		if strings.Contains(k, "-rt-") {
			realTime++
		}
		if strings.Contains(k, "+") {
			plus++
		}
	}
	if debian < 4 || realTime < 1 || plus < 1 || rhel < 4 {
		t.Errorf("%d Debian kernels (%d rt, %d with +), %d RHEL: %v", debian, realTime, plus, rhel, l.Kernels())
	}
}

// The registries are real ones: TLS by an authority that must be trusted, passwords that must be right.
func TestRegistriesAskForTrustAndPasswords(t *testing.T) {
	t.Parallel()
	l := openLab(t)
	e := startEnv(t, l, Options{Dir: t.TempDir(), Faults: true, Releases: Releases(2, l.DemoKernels()[:1])})
	ref, err := name.ParseReference(e.BaseImage)
	if err != nil {
		t.Fatal(err)
	}
	client, err := e.Client()
	if err != nil {
		t.Fatal(err)
	}
	trusted := remote.WithTransport(client.Transport)
	right := remote.WithAuth(&authn.Basic{Username: toolkitAccount.User, Password: toolkitAccount.Password})
	wrong := remote.WithAuth(&authn.Basic{Username: toolkitAccount.User, Password: "wrong"})
	if _, err := remote.Head(ref, right, remote.WithContext(t.Context())); err == nil {
		t.Error("a client that does not know the authority was served")
	}
	if _, err := remote.Head(ref, trusted, wrong, remote.WithContext(t.Context())); err == nil {
		t.Error("a wrong password was accepted")
	}
	if _, err := remote.Head(ref, trusted, right, remote.WithContext(t.Context())); err != nil {
		t.Error(err)
	}
	if got := e.ToolkitFaults.Total(Manifest); got.Requests == 0 {
		t.Error("the fault injector saw no request")
	}
	e.ToolkitFaults.Set(Fault{Status: http.StatusNotFound})
	if _, err := remote.Head(ref, trusted, right, remote.WithContext(t.Context())); !absent(err) {
		t.Errorf("error = %v, want 404", err)
	}
}

// A demo's images are still there in the next one: the target's storage stays.
func TestTargetStays(t *testing.T) {
	t.Parallel()
	l, dir := openLab(t), t.TempDir()
	put := func(ctx context.Context, e *Env) error {
		img, err := l.busybox.image([]byte("x"))
		if err != nil {
			return err
		}
		ref, err := name.NewTag(e.Target + ":1")
		if err != nil {
			return err
		}
		return remote.Write(ref, img, e.remoteOptions(ctx, targetAccount)...)
	}
	first, err := l.Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	tags, tagsErr := first.TargetTags(t.Context())
	if err := errors.Join(tagsErr, put(t.Context(), first), first.Close()); err != nil || len(tags) != 0 {
		t.Fatalf("tags %v of a new target, error %v", tags, err)
	}
	second := startEnv(t, l, Options{Dir: dir})
	tags, err = second.TargetTags(t.Context())
	if err != nil || len(tags) != 1 || tags[0] != "1" {
		t.Errorf("tags %v, error %v; want 1", tags, err)
	}
}

// R4.2 and the issue's point 5: on each side of each bound, the driver compiles with the rules that are due
// and, where some are, does not without them. All of its code is compiled, in one unit; e2e.TestBuild compiles it
// file by file.
func TestRulesDecideWhetherTheDriverCompiles(t *testing.T) {
	t.Parallel()
	l := openLab(t)
	residents, err := l.Residents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := startEnv(t, l, Options{Dir: t.TempDir(), SharedStorage: residents})
	rhel := l.RHELKernels()
	el94, el96, stream, rt94, el10 := rhel[0], rhel[1], rhel[2], rhel[3], rhel[4]
	tests := []struct {
		kernel, driver string
		without        string // what the compiler or linker says without the rules; empty if no rule is due
	}{
		{l.DebianKernel(Plain), "2.18.11.0", ""},
		{l.DebianKernel(Plus), "2.28.0.0", ""},
		{el94, "2.18.11.0", "incompatible pointer type"},
		{el94, "2.24.7.0", "incompatible pointer type"},
		{el94, "2.28.0.0", "incompatible pointer type"},
		{rt94, "2.24.7.0", "incompatible pointer type"},
		{el96, "2.18.11.0", "incompatible pointer type"},
		{el96, "2.24.7.0", ""},
		{el96, "2.28.0.0", `"mm_get_unmapped_area" [`},
		{stream, "2.28.0.0", `"mm_get_unmapped_area" [`},
		{el10, "2.28.0.0", ""},
	}
	for _, tt := range tests {
		t.Run(tt.driver+" on "+tt.kernel, func(t *testing.T) {
			t.Parallel()
			image := pullToolkit(t, e, tt.kernel)
			pristine, patched := sources(t, tt.driver, tt.kernel)
			if out, err := compile(t, e, image, tt.kernel, patched); err != nil {
				t.Errorf("with the rules: %v\n%s", err, out)
			}
			if tt.without == "" {
				return
			}
			out, err := compile(t, e, image, tt.kernel, pristine)
			if err == nil || !strings.Contains(out, tt.without) {
				t.Errorf("without the rules: error %v, and the output should have %q:\n%s", err, tt.without, out)
			}
		})
	}
}

func pullToolkit(t *testing.T, e *Env, kernel string) string {
	t.Helper()
	ref, err := e.PushToolkit(t.Context(), Toolkit{Kernel: kernel, Release: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := podman(t, e, "pull", "--quiet", ref); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return ref
}

// sources unpacks a driver's RPM twice: as it is, and prepared for a kernel.
func sources(t *testing.T, version, kernelName string) (pristine, patched string) {
	t.Helper()
	v, dir := driverVersion(t, version), t.TempDir()
	if err := WriteDriver(dir, RPMSpec{Version: v, Edit: InUnits(1)}); err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Parse(kernelName)
	if err != nil {
		t.Fatal(err)
	}
	source, err := driver.Unpack(t.Context(), filepath.Join(dir, RPMName(v)), v, filepath.Join(dir, "pristine"))
	if err != nil {
		t.Fatal(err)
	}
	patched = filepath.Join(dir, "patched")
	if _, err := source.Prepare(k, patched); err != nil {
		t.Fatal(err)
	}
	return source.Dir, patched
}

func compile(t *testing.T, e *Env, image, kernel, source string) (string, error) {
	t.Helper()
	return podman(t, e, "run", "--rm", "--network=none", "--pull=never", "--volume", source+":/src:Z", image,
		"make", "-j2", "-C", "/lib/modules/"+kernel+"/build", "M=/src", "modules")
}
