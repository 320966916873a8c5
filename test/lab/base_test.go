package lab

import (
	"archive/tar"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBusyboxSaysAnotherVersion(t *testing.T) {
	b := &busybox{binary: []byte("..BusyBox v1.35.0 (Debian)..syslogd started: BusyBox v1.35.0\n")}
	got, err := b.saying("1.36.1")
	if err != nil {
		t.Fatal(err)
	}
	if want := "..BusyBox v1.36.1 (Debian)..syslogd started: BusyBox v1.36.1\n"; string(got) != want {
		t.Errorf("binary = %q, want %q", got, want)
	}
	if _, err := b.saying("1.36.10"); err == nil {
		t.Error("a longer version was written over what follows")
	}
	if _, err := (&busybox{binary: []byte("no version")}).saying("1.36.1"); err == nil {
		t.Error("a binary without a version was accepted")
	}
}

// R10.1: the base image has the binary once and its other names as hard links, as the real one.
func TestBaseImage(t *testing.T) {
	b := &busybox{binary: []byte("elf"), applets: []string{"[", "cp", "mkdir", "sh"}}
	img, err := b.image(b.binary)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err = errors.Join(eachEntry(r, func(h *tar.Header, _ io.Reader) error {
		if h.Typeflag != tar.TypeDir {
			got[h.Name] = h.Linkname
		}
		return nil
	}), r.Close())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"bin/[": "", "bin/busybox": "bin/[", "bin/cp": "bin/[", "bin/mkdir": "bin/[", "bin/sh": "bin/[",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("image (-want +got):\n%s", d)
	}
}

func TestReleases(t *testing.T) {
	kernels := []string{"a", "b", "c", "d", "e", "f"}
	var got []string
	for _, r := range Releases(12, kernels) {
		got = append(got, r.Version+" "+r.Toolkit.Kernel)
	}
	want := []string{
		"4.20.0 a", "4.20.1 a", "4.20.2 b", "4.20.3 b", "4.20.4 c", "4.20.5 c",
		"4.21.0 d", "4.21.1 d", "4.21.2 e", "4.21.3 e", "4.22.0 f", "4.22.1 f",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("releases (-want +got):\n%s", d)
	}
}
