package driver

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"neuron-kmod/internal/platform/fault"
)

// smallDisk names a directory for the test that runs again in a process of its own, with a small disk there.
const smallDisk = "NEURON_KMOD_TEST_SMALL_DISK"

// R8.1, R9.2: when the disk is full, the error names it, and nothing half-written stays.
//
// The disk is a real one: a tmpfs of 256 KiB, mounted in a mount namespace of the test's own, where an
// ordinary user may do so as well, and which is gone with the process.
func TestDiskFull(t *testing.T) {
	if dir := os.Getenv(smallDisk); dir != "" {
		fillDisk(t, dir)
		return
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), smallDisk+"="+dir)
	cmd.SysProcAttr = ownMounts()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v (it needs to be root or user namespaces)\n%s", err, out)
	}
	for _, part := range []string{"unpack", "prepare", "fetch"} {
		if !bytes.Contains(out, []byte("--- PASS: TestDiskFull/"+part)) {
			t.Errorf("%s did not run:\n%s", part, out)
		}
	}
}

// ownMounts lets a process mount what no other process sees.
func ownMounts() *syscall.SysProcAttr {
	if os.Getuid() == 0 {
		return &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

func fillDisk(t *testing.T, dir string) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	files := sourceFiles()
	noise := make([]byte, 512<<10) // does not compress, so that the package is as large as what is in it
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	files["udma/udma_noise.h"] = string(noise)
	rpm := packRPM(t, "2.24.7.0", "gzip", files)
	v := mustDriver(t, "2.24.7.0")

	t.Run("unpack", func(t *testing.T) {
		_, err := Unpack(t.Context(), asProven(t, writeTemp(t, FileName(v), rpm), v), filepath.Join(dir, "source"))
		checkDiskFull(t, dir, err)
	})
	t.Run("prepare", func(t *testing.T) {
		s, err := Unpack(t.Context(), asProven(t, writeTemp(t, FileName(v), rpm), v), filepath.Join(t.TempDir(), "source"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Prepare(mustKernel(t, debian), filepath.Join(dir, "prepared"))
		checkDiskFull(t, dir, err)
	})
	t.Run("fetch", func(t *testing.T) {
		f, _ := newFetcher(t, newRepository(t, rpm))
		f.Cache = dir
		_, err := f.Fetch(t.Context(), v)
		checkDiskFull(t, dir, err)
	})
}

func checkDiskFull(t *testing.T, dir string, err error) {
	t.Helper()
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "the disk that holds "+dir) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(fault.Of(err), "free some space") {
		t.Errorf("advice: %q", fault.Of(err))
	}
	nothingLeft(t, dir)
}
