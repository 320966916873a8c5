//go:build e2e

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/kmod/rpm"
)

// R3.1: rpm itself accepts the signatures of the lab's packages, in packets of both versions, and so does the program;
// both refuse a package of which one byte is another.
func TestDriverSignatures(t *testing.T) {
	dir := t.TempDir()
	key, err := writeDriverKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(dir, "rpmdb")
	if out, err := exec.Command("rpmkeys", "--dbpath", db, "--import", key).CombinedOutput(); err != nil {
		t.Fatalf("rpmkeys --import: %v\n%s", err, out)
	}
	keys, v := driverKeys(t), driverVersion(t, "2.24.7.0")
	for name, packets := range map[string]int{"version 3": 3, "version 4": 4} {
		for _, change := range []bool{false, true} {
			folder := t.TempDir()
			if err := WriteDriver(folder, RPMSpec{Version: v, Packets: packets}); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder, RPMName(v))
			if change {
				changeLastByte(t, path)
			}
			out, judged := exec.Command("rpmkeys", "--dbpath", db, "-K", "-v", path).CombinedOutput()
			if (judged == nil) == change {
				t.Errorf("%s, changed %t: rpmkeys: %v\n%s", name, change, judged, out)
			}
			p, err := (&driver.Fetcher{Source: folder, Keys: keys}).Fetch(t.Context(), v)
			if (err == nil) == change {
				t.Errorf("%s, changed %t: the program: %+v, %v", name, change, p, err)
			}
		}
	}
}

// driverKeys reads the key as the program does.
func driverKeys(t *testing.T) rpm.Keyring {
	t.Helper()
	path, err := writeDriverKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := rpm.ParseKeyring(data)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func changeLastByte(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
