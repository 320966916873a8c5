package catalog_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

func mustOpen(t *testing.T, path string) *catalog.File {
	t.Helper()
	f, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func save(t *testing.T, f *catalog.File, want bool) {
	t.Helper()
	differs, err := f.Differs()
	if err != nil || differs != want {
		t.Errorf("Differs: %t, %v; want %t", differs, err, want)
	}
	wrote, err := f.Save()
	if err != nil || wrote != want {
		t.Errorf("Save: %t, %v; want %t", wrote, err, want)
	}
}

// A file is written when its bytes change, and only then; it keeps its mode and its place behind a link.
func TestSave(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "c.json"), filepath.Join(dir, "link.json")
	if err := os.WriteFile(path, []byte(encoded), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("c.json", link); err != nil {
		t.Fatal(err)
	}
	before := stat(t, path)
	f := mustOpen(t, link)
	save(t, f, false)
	if after := stat(t, path); !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		t.Error("a file that is right was written")
	}
	f.Catalog.Entries = f.Catalog.Entries[1:]
	save(t, f, true)
	save(t, f, false)
	after := stat(t, path)
	if got := after.Mode().Perm(); got != 0o640 {
		t.Errorf("mode %o, want 640", got)
	}
	if is, err := os.Lstat(link); err != nil || is.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", is, err)
	}
	if n := len(mustOpen(t, path).Catalog.Entries); n != 5 {
		t.Errorf("%d entries are in the file, want 5", n)
	}
	noRest(t, dir, "c.json", "link.json")
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// noRest fails if there is more in dir than names.
func noRest(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(names) {
		t.Errorf("%v, %v; want %v", entries, err, names)
	}
}

// A file that does not exist is an empty catalogue, and appears with its first entry.
func TestSaveNew(t *testing.T) {
	dir := t.TempDir()
	f := mustOpen(t, filepath.Join(dir, "c.json"))
	save(t, f, false)
	noRest(t, dir)
	f.Catalog.Entries = mustParse(t, sample).Entries
	save(t, f, true)
	if text, err := os.ReadFile(f.Catalog.Path); err != nil || string(text) != encoded {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := catalog.Open(filepath.Join(dir, "no", "c.json")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(fault.Of(err), "make the directory") {
		t.Errorf("error %v, hint %q", err, fault.Of(err))
	}
}

// What someone else has written meanwhile is not overwritten, and what cannot be read again is not written.
func TestSaveRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.json")
	f := mustOpen(t, path)
	f.Catalog.Entries = mustParse(t, sample).Entries
	if err := os.WriteFile(path, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if wrote, err := f.Save(); wrote || err == nil || fault.Of(err) != "run this again" {
		t.Errorf("Save: %t, %v", wrote, err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "[]" {
		t.Errorf("%v, %q", err, text)
	}
	if err := os.WriteFile(path, []byte(encoded), 0o600); err != nil {
		t.Fatal(err)
	}
	f = mustOpen(t, path)
	f.Catalog.Entries[0].DTK = "x"
	if wrote, err := f.Save(); wrote || err == nil {
		t.Errorf("Save: %t, %v", wrote, err)
	}
	noRest(t, dir, "c.json")
}

// Programs that know only arch, dtk and version, and a flat list of them, read the file as before; what is optional is
// not there when it is not known.
func TestOldReaders(t *testing.T) {
	c := mustParse(t, encoded)
	k, err := kernel.Parse("5.14.0-1.el9_6.x86_64")
	if err != nil {
		t.Fatal(err)
	}
	c.Entries[3].NodeKernel = k
	text, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var old []struct{ Arch, DTK, Version string }
	if err := json.Unmarshal(text, &old); err != nil || len(old) != len(c.Entries) {
		t.Fatalf("%d entries, %v", len(old), err)
	}
	for i, e := range c.Entries {
		if v, err := version.ParseOCP(old[i].Version); err != nil || v != e.Version || old[i].Arch != e.Arch || old[i].DTK != e.DTK {
			t.Errorf("entry %d is %v to them, want %v", i, old[i], e)
		}
	}
	var keys []map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	for i, e := range c.Entries {
		for key, known := range map[string]bool{"kernel": !e.Kernel.IsZero(), "component": e.Component != "", "node-kernel": !e.NodeKernel.IsZero()} {
			if _, there := keys[i][key]; there != known {
				t.Errorf("entry %d: %s is there: %t, want %t", i, key, there, known)
			}
		}
	}
	if again := mustParse(t, string(text)); again.Entries[3].NodeKernel != k {
		t.Errorf("the kernel of the nodes is read as %q", again.Entries[3].NodeKernel)
	}
}

// A file that has to be there is opened as one that may be, and is an error with advice where it is not.
func TestOpenExisting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.json")
	if _, err := catalog.OpenExisting(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(fault.Of(err), "catalog update") {
		t.Errorf("no file: error %v, hint %q", err, fault.Of(err))
	}
	if err := os.WriteFile(path, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.OpenExisting(path); err == nil || !strings.Contains(err.Error(), "c.json:1:1") {
		t.Errorf("not a catalogue: error %v", err)
	}
	text := `[{"arch": "x86_64", "version": "4.20.1", "dtk": "quay.io/x/dtk@sha256:` + strings.Repeat("1", 64) + `"}]`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := catalog.OpenExisting(path)
	if err != nil || len(f.Catalog.Entries) != 1 {
		t.Fatalf("file %+v, error %v", f, err)
	}
	if wrote, err := f.Save(); err != nil || !wrote {
		t.Errorf("Save: wrote %v, error %v", wrote, err)
	}
}
