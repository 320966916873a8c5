package driver

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// R7.2: the digest in an image's label tells every difference of what was compiled, and no other. It never changes: the
// labels of images that are published would point to nothing.
func TestSourceDigest(t *testing.T) {
	source := func(t *testing.T, change func(dir string) error) string {
		t.Helper()
		dir := t.TempDir()
		err := errors.Join(
			os.WriteFile(filepath.Join(dir, "Kbuild"), []byte("obj-m += neuron.o\n"), 0o644),
			os.Mkdir(filepath.Join(dir, "udma"), 0o755),
			os.WriteFile(filepath.Join(dir, "udma", "udma.c"), []byte("int udma;\n"), 0o644),
			change(dir),
		)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	digest := func(dir, script string) string {
		t.Helper()
		d, err := SourceDigest(dir, script)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	same := func(string) error { return nil }
	first := digest(source(t, same), "make\n")
	if want := "sha256:8ea876eea1da1ecd1fe8eb5cc14d2d45599b84f850947d8a8876f348f068201f"; first != want {
		t.Errorf("%s, want %s", first, want)
	}
	for name, change := range map[string]func(dir string) error{
		"other umask": func(dir string) error {
			return errors.Join(os.Chmod(filepath.Join(dir, "Kbuild"), 0o600), os.Chmod(filepath.Join(dir, "udma"), 0o700))
		},
	} {
		if got := digest(source(t, change), "make\n"); got != first {
			t.Errorf("%s: another digest", name)
		}
	}
	if digest(source(t, same), "make") == first {
		t.Error("another script: the same digest")
	}
	for name, change := range map[string]func(dir string) error{
		"text": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "Kbuild"), []byte("obj-m += neuron.p\n"), 0o644)
		},
		"name": func(dir string) error { return os.Rename(filepath.Join(dir, "Kbuild"), filepath.Join(dir, "Makefile")) },
		"place": func(dir string) error {
			return os.Rename(filepath.Join(dir, "udma", "udma.c"), filepath.Join(dir, "udma.c"))
		},
		"mode":  func(dir string) error { return os.Chmod(filepath.Join(dir, "Kbuild"), 0o755) },
		"empty": func(dir string) error { return os.Mkdir(filepath.Join(dir, "empty"), 0o755) },
		"more":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "z.c"), nil, 0o644) },
	} {
		if got := digest(source(t, change), "make\n"); got == first {
			t.Errorf("%s: the same digest", name)
		}
	}
	link := source(t, func(dir string) error { return os.Symlink("Kbuild", filepath.Join(dir, "Makefile")) })
	if _, err := SourceDigest(link, "make\n"); err == nil {
		t.Error("a link has no digest")
	}
}
