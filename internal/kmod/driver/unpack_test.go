package driver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// R3.1: the package is unpacked in-process, whatever it is compressed with, and only the source comes out.
func TestUnpack(t *testing.T) {
	for _, compressor := range []string{"gzip", "xz", "zstd"} {
		t.Run(compressor, func(t *testing.T) {
			v := mustDriver(t, "2.24.7.0")
			rpm := writeTemp(t, FileName(v), packRPM(t, "2.24.7.0", compressor, sourceFiles()))
			dst := filepath.Join(t.TempDir(), "source")
			s, err := Unpack(t.Context(), rpm, v, dst)
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(dst, "usr/src/aws-neuronx-2.24.7.0"); s.Dir != want || s.Version != v {
				t.Errorf("got %+v, want the tree %s", s, want)
			}
			want := map[string]string{}
			for name, text := range sourceFiles() {
				want["usr/src/aws-neuronx-2.24.7.0/"+name] = "-rw-r--r-- " + text
			}
			if diff := cmp.Diff(want, listing(t, dst)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// R7.2: the one time that everything made of a package's source can carry comes from its header.
func TestUnpackMade(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	good := gzipped(t, cpioArchive(member{name: testTree + "Kbuild", mode: 0o100644}))
	number := func(n ...uint32) tag {
		made := tag{tag: 1006, typ: 4, count: uint32(len(n))}
		for _, v := range n {
			made.data = binary.BigEndian.AppendUint32(made.data, v)
		}
		return made
	}
	tests := []struct {
		name    string
		tags    []tag
		want    time.Time
		refused bool
	}{
		{"none", nil, time.Time{}, false},
		{"one", []tag{number(1700000000)}, time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC), false},
		{"after 2038", []tag{number(4000000000)}, time.Date(2096, 10, 2, 7, 6, 40, 0, time.UTC), false},
		{"two", []tag{number(1, 2)}, time.Time{}, true},
		{"text", []tag{stringTag(1006, "yesterday")}, time.Time{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tags := driverTags()
			for _, made := range tt.tags { // the header's data begins with it, so that it is aligned
				tags = append([]tag{made}, tags...)
			}
			s, err := Unpack(t.Context(), writeTemp(t, FileName(v), rawRPM(tags, good)), v, filepath.Join(t.TempDir(), "source"))
			if tt.refused {
				if err == nil || !strings.Contains(err.Error(), "build time") {
					t.Errorf("error %v, want one about the build time", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !s.Made.Equal(tt.want) || s.Made.Location() != time.UTC {
				t.Errorf("made %v, want %v", s.Made, tt.want)
			}
		})
	}
}

// testLimits are small enough that a test need not make much to pass them.
var testLimits = limits{entries: 40, file: 1 << 20, total: 2 << 20}

// hostile lists packages that must be refused, with what the error has to say.
func hostile(t testing.TB) []struct {
	name string
	rpm  []byte
	want string
} {
	file := func(name string) member { return member{name: name, mode: 0o100644} }
	link := func(name, to string) member { return member{name: name, mode: 0o120777, body: to} }
	zeros := func(name string, n int) member {
		return member{name: name, mode: 0o100644, body: strings.Repeat("\x00", n)}
	}
	archive := cpioArchive(file(testTree + "neuron_cdev.c"))
	whole := gzipped(t, archive)
	claim := func(offset int, digits string) []byte { // replaces a number in the archive's first header
		return rawRPM(driverTags(), gzipped(t, bytes.Join([][]byte{archive[:offset], archive[offset+8:]}, []byte(digits))))
	}
	retag := func(tg tag) []byte { return rawRPM(append(driverTags(), tg), whole) } // the last of a number counts
	return []struct {
		name string
		rpm  []byte
		want string
	}{
		{"name with ..", evilRPM(t, file(testTree+"../../../../evil")), "below the root"},
		{"name that begins with ..", evilRPM(t, file("../evil")), "below the root"},
		{"absolute name with ..", evilRPM(t, file("/../evil")), "below the root"},
		{"name with a line break", evilRPM(t, file(testTree+"a\nb")), "below the root"},
		{"link out of the tree", evilRPM(t, link(testTree+"out", "/etc")), "link"},
		{"link up the tree", evilRPM(t, link(testTree+"up", "../../../../..")), "link"},
		{"file through a link", evilRPM(t, link(testTree+"dir", "/tmp"), file(testTree+"dir/evil")), "link"},
		{"the tree is a link", rawRPM(driverTags(), gzipped(t, cpioArchive(
			link(strings.TrimSuffix(testTree, "/"), "/tmp"), file(testTree+"evil")))), "link"},
		{"hard link", evilRPM(t, member{name: testTree + "hard.c", mode: 0o100644, links: 2}), "hard link"},
		{"block device", evilRPM(t, member{name: testTree + "sda", mode: 0o060644}), "device"},
		{"character device", evilRPM(t, member{name: testTree + "null", mode: 0o020644}), "device"},
		{"pipe", evilRPM(t, member{name: testTree + "pipe", mode: 0o010644}), "device"},
		{"a name twice", evilRPM(t, file(testTree+"Kbuild")), "exists"},
		{"a file as a directory", evilRPM(t, file(testTree+"Kbuild/x")), "exists"},
		{"a bomb in one file", evilRPM(t, zeros(testTree+"bomb.c", 1<<20+1)), "at most 1048576 are taken"},
		{"a bomb beside the tree", evilRPM(t, zeros("/a", 1<<20), zeros("/b", 1<<20)), errTooLarge.Error()},
		{"too many files", evilRPM(t, make40(file("/a"))...), "more than 40 entries"},
		{"no source", rawRPM(driverTags(), gzipped(t, cpioArchive())), "neither Kbuild nor Makefile"},
		{"a file that claims 4 GB", claim(54, "FFFFFFFF"), "is 4294967295 bytes"},
		{"a name that claims 4 GB", claim(94, "FFFFFFFF"), "a name of 4294967295 bytes"},
		{"a negative size", claim(54, "-fffffff"), "eight hex digits"},
		{"a name of another length", claim(94, "00000010"), "does not end where its header says"},
		{"not an archive", rawRPM(driverTags(), gzipped(t, bytes.Repeat([]byte("tar?"), 100))), `begins with "tar?ta"`},
		{"not compressed", rawRPM(driverTags(), []byte("not compressed at all")), "gzip"},
		{"an archive without an end", rawRPM(driverTags(), gzipped(t, nil)), "unexpected EOF"},
		{"a truncated payload", rawRPM(driverTags(), whole[:len(whole)/2]), "unexpected EOF"},
		{"another compressor", retag(stringTag(1125, "bzip2")), "gzip, xz and zstd"},
		{"another archive form", retag(stringTag(1124, "drpm")), "only cpio"},
		{"another package", retag(stringTag(1000, "bash")), `package "bash"`},
		{"another version", retag(stringTag(1001, "2.24.7.1")), `version "2.24.7.1"`},
		{"no name", rawRPM(driverTags()[1:], whole), "its name"},
	}
}

func make40(m member) []member {
	list := make([]member, 40)
	for i := range list {
		list[i] = m
	}
	return list
}

// R3.1: what is not the driver's source is refused, nothing is written outside, and nothing stays behind.
func TestUnpackHostile(t *testing.T) {
	for _, tt := range hostile(t) {
		t.Run(tt.name, func(t *testing.T) {
			rpm := writeTemp(t, "evil.rpm", tt.rpm)
			parent := t.TempDir()
			dst := filepath.Join(parent, "source")
			_, err := unpack(t.Context(), rpm, mustDriver(t, "2.24.7.0"), dst, testLimits)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
			left, err := os.ReadDir(parent)
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

// R3.1: files elsewhere, as every package may have them, are passed over and not written anywhere; setuid
// and other modes are not taken over, and the umask does not matter.
func TestUnpackOutsideAndModes(t *testing.T) {
	mask := syscall.Umask(0o077)
	defer syscall.Umask(mask)
	outside := filepath.Join(t.TempDir(), "evil")
	rpm := writeTemp(t, "odd.rpm", evilRPM(t,
		member{name: outside, mode: 0o100644, body: "evil"},
		member{name: "/usr/src/aws-neuronx-2.24.7.0.evil", mode: 0o100644},
		member{name: "/dev/sdz", mode: 0o060644},
		member{name: "usr/lib64", mode: 0o120777, body: "/"},
		member{name: testTree + "setuid.sh", mode: 0o106755},
		member{name: testTree + "secret.c", mode: 0o100000},
		member{name: testTree + "open/", mode: 0o042777},
		member{name: testTree + "open/deep/file.h", mode: 0o100666},
	))
	dst := filepath.Join(t.TempDir(), "source")
	if _, err := Unpack(t.Context(), rpm, mustDriver(t, "2.24.7.0"), dst); err != nil {
		t.Fatal(err)
	}
	got := listing(t, dst)
	top := "usr/src/aws-neuronx-2.24.7.0/"
	want := map[string]string{
		top + "Kbuild":           "-rw-r--r-- obj-m += neuron.o\n",
		top + "setuid.sh":        "-rwxr-xr-x ",
		top + "secret.c":         "-rw-r--r-- ",
		top + "open/deep/file.h": "-rw-r--r-- ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Lstat(outside); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s was written", outside)
	}
	for _, dir := range []string{"", "usr", "usr/src", top, top + "open", top + "open/deep"} {
		info, err := os.Stat(filepath.Join(dst, dir))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != fs.ModeDir|0o755 {
			t.Errorf("directory %q: %v", dir, info.Mode())
		}
	}
}

// R8.1: unpacking stops when it is told to, and does not touch what is there.
func TestUnpackRefusals(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	rpm := writeTemp(t, FileName(v), packRPM(t, "2.24.7.0", "gzip", sourceFiles()))
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		dst := filepath.Join(t.TempDir(), "source")
		if _, err := Unpack(ctx, rpm, v, dst); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := os.Lstat(dst); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("left behind: %v", err)
		}
	})
	t.Run("there already", func(t *testing.T) {
		if _, err := Unpack(t.Context(), rpm, v, t.TempDir()); !errors.Is(err, fs.ErrExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no such package", func(t *testing.T) {
		dst := filepath.Join(t.TempDir(), "source")
		if _, err := Unpack(t.Context(), rpm+".gone", v, dst); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCleanName(t *testing.T) {
	for name, want := range map[string]string{
		"./usr/src/a": "usr/src/a", "/usr/src/a": "usr/src/a", "usr/src/a/": "usr/src/a", "//usr": "usr",
		".": ".", "./": ".", "/": ".", ".config": ".config", "./.config": ".config", "..a": "..a",
	} {
		if got, err := cleanName(name); got != want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"..", "../a", "a/../b", "a//b", "a/./b", "./../a", "a\x00b", "a\x7f", "a\xff"} {
		if got, err := cleanName(name); err == nil {
			t.Errorf("%q: got %q, want an error", name, got)
		}
	}
}
