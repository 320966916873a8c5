package image

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/platform/fault"
)

// R5.2, R5.3, R10.1: the base has what KMM runs, and says which BusyBox it is.
func TestCheckBase(t *testing.T) {
	debian := "\x7fELF BusyBox v1.35.0 (Debian 1:1.35.0-4+deb12u1) "
	coreutils := entries{dir("bin"), file("bin/sh", "dash"), file("bin/mkdir", "gnu"), file("bin/cp", "gnu")}
	tests := map[string]struct {
		layers  []entries
		env     []string
		version string
	}{
		"hard links, as the official image has them": {
			layers:  []entries{{dir("bin"), file("bin/[", busyBox1361), hard("bin/sh", "bin/["), hard("bin/mkdir", "bin/["), hard("bin/cp", "bin/[")}},
			version: "1.36.1",
		},
		"absolute and relative links": {
			layers:  []entries{{file("bin/busybox", busyBox1361), link("bin/sh", "/bin/busybox"), link("bin/mkdir", "busybox"), link("bin/cp", "../bin/../bin/busybox")}},
			version: "1.36.1",
		},
		"merged usr, links in the layer below the files": {
			layers:  []entries{{link("bin", "usr/bin"), dir("usr/bin")}, {file("usr/bin/busybox", debian), link("usr/bin/sh", "busybox"), link("usr/bin/mkdir", "busybox"), link("usr/bin/cp", "busybox")}},
			version: "1.35.0",
		},
		"no BusyBox at all": {layers: []entries{coreutils}},
		"another shell, BusyBox beside it": {
			layers:  []entries{coreutils, {file("usr/bin/busybox", debian)}},
			version: "1.35.0",
		},
		"upper layer replaces BusyBox": {
			layers:  []entries{{file("bin/busybox", debian), link("bin/sh", "busybox"), link("bin/mkdir", "busybox"), link("bin/cp", "busybox")}, {file("bin/busybox", busyBox1361)}},
			version: "1.36.1",
		},
		"BusyBox whited out": {
			layers: []entries{{file("bin/busybox", debian)}, {file("bin/.wh.busybox", "")}, coreutils},
		},
		"opaque directory, its new content before the mark": {
			layers: []entries{{file("bin/busybox", debian)}, append(append(entries{}, coreutils...), file("bin/.wh..wh..opq", ""))},
		},
		"whiteout of a directory that the same layer fills again": {
			layers: []entries{{file("bin/busybox", debian)}, append(append(entries{}, coreutils...), file(".wh.bin", ""))},
		},
		"a directory named again keeps what is in it": {
			layers: []entries{coreutils, {dir("bin")}},
		},
		"tools on the image's own PATH": {
			layers: []entries{{file("bin/sh", "dash"), file("tools/mkdir", "gnu"), file("tools/cp", "gnu")}},
			env:    []string{"PATH=/nowhere:/tools"},
		},
		"no PATH set": {
			layers: []entries{{file("bin/sh", "dash"), file("usr/local/bin/mkdir", "gnu"), file("sbin/cp", "gnu")}},
			env:    []string{},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := baseOf(t, oci, func(c *v1.ConfigFile) {
				if tt.env != nil {
					c.Config.Env = tt.env
				}
			}, tt.layers...)
			info, err := CheckBase(context.Background(), b)
			if err != nil {
				t.Fatal(err)
			}
			if info.BusyBox != tt.version {
				t.Errorf("BusyBox = %q, want %q", info.BusyBox, tt.version)
			}
			if warned := len(info.Warnings) > 0; warned != (tt.version == "1.35.0") {
				t.Errorf("warnings = %q", info.Warnings)
			}
		})
	}
}

// R5.3, R10.1: a base that KMM cannot use is refused before anything is built.
func TestCheckBaseRefuses(t *testing.T) {
	all := entries{file("bin/sh", "x"), file("bin/mkdir", "x"), file("bin/cp", "x")}
	tests := map[string]struct {
		layers []entries
		change func(*v1.ConfigFile)
		want   string
	}{
		"no tools":             {[]entries{{file("bin/sh", "x")}}, nil, "it has no mkdir, no cp"},
		"no shell":             {[]entries{all, {file("bin/.wh.sh", "")}}, nil, "it has no /bin/sh"},
		"directory whited out": {[]entries{all, {file(".wh.bin", "")}}, nil, "it has no /bin/sh, no mkdir, no cp"},
		"not executable":       {[]entries{all, {mode(file("bin/sh", "x"), 0o644)}}, nil, "it has no /bin/sh"},
		"a directory":          {[]entries{all, {dir("bin/cp/x"), file("bin/.wh.cp", "")}}, nil, "it has no cp"},
		"links in a circle":    {[]entries{all, {link("bin/sh", "bash"), link("bin/bash", "sh")}}, nil, "it has no /bin/sh"},
		"link to nothing":      {[]entries{all, {link("bin/sh", "../../../usr/bin/zsh")}}, nil, "it has no /bin/sh"},
		"another platform":     {[]entries{all}, func(c *v1.ConfigFile) { c.Architecture = "arm64" }, "is for linux/arm64, not linux/amd64"},
		"hard link to nothing": {
			[]entries{all, {hard("bin/sh", "bin/zsh")}}, nil, "layer 2 of 2: hard link /bin/sh: its target /bin/zsh is not there",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := CheckBase(context.Background(), baseOf(t, oci, tt.change, tt.layers...))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want %q in it", err, tt.want)
			}
			if !strings.Contains(err.Error(), "example.com/base:1") {
				t.Errorf("error does not name the image: %v", err)
			}
			if name != "hard link to nothing" && fault.Of(err) == "" {
				t.Error("no advice")
			}
		})
	}
}

// R5.2: the version is read from the binary.
func TestScanBusyBox(t *testing.T) {
	pad := func(n int) string { return strings.Repeat("x", n) }
	tests := map[string]struct{ in, want string }{
		"release":                {busyBox1361, "1.36.1"},
		"Debian":                 {"BusyBox v1.35.0 (Debian 1:1.35.0-4+deb12u1+b1)", "1.35.0"},
		"development":            {"BusyBox v1.37.0.git (2024)", "1.37.0.git"},
		"two numbers":            {"BusyBox v1.0 (2004)", "1.0"},
		"none":                   {"\x7fELF GNU coreutils", ""},
		"empty":                  {"", ""},
		"a format, not a banner": {"BusyBox v%s (%s)", ""},
		"no end":                 {"BusyBox v1.36.1", ""},
		"hostile version":        {"BusyBox v1.36.1/../../x (", ""},
		"first is no banner":     {"BusyBox v (x) BusyBox v1.36.1 (y)", "1.36.1"},
		"across two readings":    {pad(128<<10-10) + "BusyBox v1.36.1 (x)" + pad(1000), "1.36.1"},
		"at a reading's end":     {pad(128<<10-16) + "BusyBox v1.36.1 (x", "1.36.1"},
		"in the third reading":   {pad(300<<10) + "BusyBox v1.36.1 (x)", "1.36.1"},
		"beyond the bound":       {pad(maxBinary) + "BusyBox v1.36.1 (x)", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := scanBusyBox(strings.NewReader(tt.in))
			if err != nil || got != tt.want {
				t.Errorf("scanBusyBox = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
	broken := errors.New("broken")
	if _, err := scanBusyBox(io.MultiReader(strings.NewReader("BusyBox v"), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("error of the reader is lost: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// R5.2, R7.2: the addresses are those of the version inside.
func TestBusyBoxSource(t *testing.T) {
	primary, backup := BusyBoxSource("1.36.1")
	if primary != "https://github.com/mirror/busybox/archive/refs/tags/1_36_1.tar.gz" ||
		backup != "https://git.busybox.net/busybox/snapshot/busybox-1.36.1.tar.bz2" {
		t.Errorf("BusyBoxSource = %q, %q", primary, backup)
	}
	if primary, backup := BusyBoxSource("1.37.0.git"); primary != "" || backup != "" {
		t.Errorf("a version without a release has the sources %q and %q", primary, backup)
	}
}

// The base is downloaded once and reads the same from where it was stored.
func TestBaseStore(t *testing.T) {
	b := busyBoxBase(t)
	folder := t.TempDir()
	for range 2 { // again into the same directory: nothing is lost
		stored, err := b.Store(context.Background(), folder)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(mustDigest(t, b.Image), mustDigest(t, stored.Image)); diff != "" {
			t.Error(diff)
		}
		if info, err := CheckBase(context.Background(), stored); err != nil || info.BusyBox != "1.36.1" {
			t.Errorf("CheckBase = %+v, %v", info, err)
		}
	}
}

func FuzzScanBusyBox(f *testing.F) {
	f.Add([]byte(busyBox1361))
	f.Add([]byte("BusyBox v1.37.0.git (x)"))
	f.Add([]byte("BusyBox vBusyBox v1 (BusyBox v1.2.3.4 ("))
	f.Fuzz(func(t *testing.T, b []byte) {
		version, err := scanBusyBox(strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		// What comes out goes into labels and URLs.
		if len(version) > 32 || strings.Trim(version, "0123456789abcdefghijklmnopqrstuvwxyz.-") != "" {
			t.Errorf("unsafe version %q", version)
		}
		if version != "" && !strings.Contains(string(b), "BusyBox v"+version+" (") {
			t.Errorf("version %q is not what the binary says", version)
		}
	})
}
