//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/rpmpack"

	"neuron-kmod/test/lab"
)

// The download of the driver survives a busy, a broken and a dropping server, and sends no byte twice; what the
// server does not have is told as such, and costs no pull.
// R3.1, R8.1
func TestDownloadFaults(t *testing.T) {
	t.Parallel()
	t.Run("comes through", func(t *testing.T) {
		t.Parallel()
		env := scenario(t, known())
		busy, n429 := struck(lab.Fault{Times: 1, Status: http.StatusTooManyRequests, RetryAfter: "1"})
		broken, n500 := struck(lab.Fault{Times: 1, Status: http.StatusInternalServerError})
		reset, nReset := struck(lab.Fault{Times: 2, ResetAfter: 1000})
		env.Downloads.Faults.Set(busy, broken, reset)
		env.Downloads.Faults.Reset()
		r := build(t, env)
		expect(t, r, 0)
		expectState(t, r, "built")
		if n429.Load() != 1 || n500.Load() != 1 || nReset.Load() != 2 {
			t.Errorf("429 %d times, 500 %d, reset %d; want 1, 1 and 2", n429.Load(), n500.Load(), nReset.Load())
		}
		rpm, err := os.Stat(filepath.Join(env.Downloads.Dir, lab.RPMName(driverVersion(t, driver))))
		if err != nil {
			t.Fatal(err)
		}
		const errorBodies = 500
		if sent := env.Downloads.Faults.Total().Bytes; sent > rpm.Size()+errorBodies {
			t.Errorf("%d bytes were sent of a package of %d", sent, rpm.Size())
		}
	})
	for name, status := range map[string]int{"not there": http.StatusNotFound, "down": http.StatusServiceUnavailable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := scenario(t, known())
			env.Downloads.Faults.Set(lab.Fault{Status: status, RetryAfter: "1"})
			env.ToolkitFaults.Reset()
			r := build(t, env)
			expect(t, r, 1)
			advice := map[int]string{
				http.StatusNotFound: "is there a driver 2.24.7.0?", http.StatusServiceUnavailable: "try again later",
			}
			expectState(t, r, "failed", lab.RPMName(driverVersion(t, driver)), advice[status])
			expectNoPull(t, r)
		})
	}
}

// A package that would write outside of its directory, or is none, or is another driver's, is refused before
// anything is pulled.
// R3.1
func TestHostilePackage(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	root := "/usr/src/aws-neuronx-" + driver
	link := func(name, target string) rpmpack.RPMFile {
		return rpmpack.RPMFile{Name: name, Mode: 0o120777, Body: []byte(target)}
	}
	own, err1 := lab.DriverRPM(lab.RPMSpec{Version: driverVersion(t, driver)})
	another, err2 := lab.DriverRPM(lab.RPMSpec{Version: driverVersion(t, other)})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		rpm  []byte
		said string
	}{
		"a name that climbs": {
			hostileRPM(t, rpmpack.RPMFile{Name: root + "/../../../../../../../.." + outside, Body: []byte("x")}),
			"is not one of a file below the root",
		},
		"a link that leads out": {hostileRPM(t, link(root+"/out", filepath.Dir(outside)),
			rpmpack.RPMFile{Name: root + "/out/outside", Body: []byte("x")}), "is a link or a device"},
		"a device": {hostileRPM(t, rpmpack.RPMFile{Name: root + "/null", Mode: 0o20666}), "is a link or a device"},
		"a bomb": {
			hostileRPM(t, rpmpack.RPMFile{Name: root + "/bomb", Body: make([]byte, 256<<20)}), `bomb" is 268435456 bytes`,
		},
		"another driver":   {another, `in version "` + other + `", not`},
		"an error page":    {[]byte("<html>please log in</html>"), "is not an RPM"},
		"a truncated file": {own[:len(own)/2], "its payload is damaged"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := scenario(t, known())
			path := filepath.Join(env.Downloads.Dir, lab.RPMName(driverVersion(t, driver)))
			if err := os.WriteFile(path, tt.rpm, 0o600); err != nil {
				t.Fatal(err)
			}
			env.ToolkitFaults.Reset()
			r := build(t, env)
			expect(t, r, 1)
			expectState(t, r, "failed", tt.said)
			expectNoPull(t, r)
			if _, err := os.Lstat(outside); err == nil {
				t.Error("the package has written outside of its directory")
			}
		})
	}
}

func hostileRPM(t *testing.T, files ...rpmpack.RPMFile) []byte {
	t.Helper()
	rpm, err := rpmpack.NewRPM(rpmpack.RPMMetaData{
		Name: "aws-neuronx-dkms", Version: driver, Release: "dkms", Arch: "noarch", Compressor: "gzip",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Mode == 0 {
			f.Mode = 0o644
		}
		rpm.AddFile(f)
	}
	var out bytes.Buffer
	if err := rpm.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// expectNoPull checks that nobody asked for a Driver Toolkit's layers.
func expectNoPull(t *testing.T, r result) {
	t.Helper()
	if strings.Contains(r.stderr, "pulled the Driver Toolkit") {
		t.Errorf("a Driver Toolkit was pulled:\n%s", r.stderr)
	}
}

// A disk that is full while the source is unpacked ends the build with a clear error, and leaves nothing.
// R8.1, R8.2, R9.2
func TestDiskFull(t *testing.T) {
	t.Parallel()
	env := scenario(t, known())
	quickDriver(t, env, func(f lab.Files) { f["large.h"] = make([]byte, 16<<20) })
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=12m"); err != nil {
		t.Fatalf("mount a small disk (this test runs as root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	env.Vars = append(env.Vars, "TMPDIR="+small)
	before := images(t, env)
	r := build(t, env)
	expect(t, r, 1)
	expectState(t, r, "failed", "no space left on device", "large.h", "full")
	left, err := os.ReadDir(small)
	if err != nil || len(left) > 0 {
		t.Errorf("left on the full disk: %v, error %v", left, err)
	}
	expectClean(t, env, before)
}

// A patch rule that no longer matches the driver's source fails the build with the rule's name; nothing is
// compiled.
// R3.1, R4.2
func TestRuleMismatch(t *testing.T) {
	t.Parallel()
	release := known()
	release.Toolkit.Kernel = sharedLab.RHELKernels()[0]
	env := scenario(t, release)
	quickDriver(t, env, func(f lab.Files) {
		f["neuron_cdev.c"] = bytes.ReplaceAll(f["neuron_cdev.c"], []byte("RHEL_RELEASE_VERSION"), []byte("RHEL_VERSION_OF"))
	})
	before := images(t, env)
	r := build(t, env)
	expect(t, r, 1)
	expectState(t, r, "failed", "class-show", "neuron_cdev.c")
	if logs, err := filepath.Glob(filepath.Join(cacheDir(env), "logs", "*")); err != nil || len(logs) > 0 {
		t.Errorf("something was compiled: %v, error %v", logs, err)
	}
	expectClean(t, env, before)
}
