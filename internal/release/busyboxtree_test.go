package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// smallLimits are small enough that a test need not make much to pass them.
var smallLimits = limits{download: 1 << 20, entries: 20, total: 64 << 10}

const top = "busybox-1.36.1/"

// with is the small source with more entries, or without the one whose name is given.
func with(t testing.TB, more ...entry) []byte {
	return gzipped(t, tarred(t, append(busyBoxSource(top, 36), more...)...))
}

func without(t testing.TB, name string) []byte {
	kept := slices.DeleteFunc(busyBoxSource(top, 36), func(e entry) bool { return e.Name == top+name })
	return gzipped(t, tarred(t, kept...))
}

// special is an entry without a body.
func special(typ byte, name, to string) entry {
	return entry{tar.Header{Typeflag: typ, Name: name, Linkname: to, Mode: 0o644}, ""}
}

func makefile(text string) []entry {
	return []entry{regular(top+"Makefile", text), regular(top+"LICENSE", "GPL")}
}

// refused lists archives that must not be attached, with what the error has to say.
func refused(t testing.TB) []struct {
	name    string
	archive []byte
	want    string
} {
	whole := tarred(t, busyBoxSource(top, 36)...)
	var many []entry
	for range smallLimits.entries {
		many = append(many, special(tar.TypeDir, top, ""))
	}
	damaged := gzipped(t, whole)
	damaged[len(damaged)-5] ^= 1 // in the checksum of the whole
	return []struct {
		name    string
		archive []byte
		want    string
	}{
		{"empty", nil, "it is empty"},
		{"a page", []byte(page), `begins with "<!DOCTYPE html>`},
		{"not compressed", whole, "not an archive"},
		{"a page in a gzip", gzipped(t, []byte(page)), "read the archive"},
		{"an empty gzip", gzipped(t, nil), "its end is missing"},
		{"an empty tar", gzipped(t, tarred(t)), "no busybox-1.36.1/Makefile"},
		{"gzip magic alone", gzipMagic, "read the archive"},
		{"bzip2 magic alone", bzip2Magic, "read the archive"},
		{"cut short", gzipped(t, whole)[:200], "unexpected EOF"},
		{"without its end", gzipped(t, whole)[:len(damaged)-8], "unexpected EOF"},
		{"tar cut short", gzipped(t, whole[:550]), "unexpected EOF"},
		{"tar cut short between files", gzipped(t, whole[:len(whole)-1024]), "its end is missing"},
		{"damaged", damaged, "checksum"},

		{"too many entries", with(t, many...), "more than 20 entries"},
		{"bomb", with(t, regular(top+"zeros", strings.Repeat("\x00", 65<<10))), "larger than any such archive"},
		{"bomb after the tar", gzipped(t, slices.Concat(whole, make([]byte, 65<<10))), "larger than any such archive"},
		{"claims more than there is", gzipped(t, claim(t, 60<<10)), "unexpected EOF"},
		{"claims gigabytes", gzipped(t, claim(t, 1<<40)), "larger than any such archive"},

		{"absolute name", with(t, regular("/etc/passwd", "")), "not one of a file in a directory"},
		{"name with ..", with(t, regular(top+"../../evil", "")), "not one of a file in a directory"},
		{"name with a line break", with(t, regular(top+"a\nb", "")), "not one of a file in a directory"},
		{"name that is not UTF-8", with(t, regular(top+"\xff", "")), "not one of a file in a directory"},
		{"two directories", with(t, regular("other/file", "")), `both "busybox-1.36.1" and "other"`},
		{"a file beside the directory", with(t, regular("file", "")), `both "busybox-1.36.1" and "file"`},
		{"a file in the directory's place", gzipped(t, tarred(t, regular("busybox-1.36.1", "x"))), "at its top is not a directory"},
		{"a link in the directory's place", gzipped(t, tarred(t, symlink("busybox-1.36.1", "x"))), "at its top is not a directory"},
		{"twice", with(t, regular(top+"LICENSE", "other")), "twice"},
		{"a directory in a file's place", with(t, special(tar.TypeDir, top+"LICENSE/", "")), "twice"},
		{"a file in a file", with(t, regular(top+"LICENSE/x", "")), "not a directory"},
		{"a file in a link", with(t, symlink(top+"l", "docs"), regular(top+"l/x", "")), "not a directory"},
		{"link that leads out", with(t, symlink(top+"docs/l", "../../x")), "out of the source"},
		{"absolute link", with(t, symlink(top+"l", "/etc/passwd")), "out of the source"},
		{"hard link", with(t, special(tar.TypeLink, top+"l", top+"LICENSE")), "not a file, a directory or a link"},
		{"device", with(t, special(tar.TypeChar, top+"null", "")), "not a file, a directory or a link"},
		{"pipe", with(t, special(tar.TypeFifo, top+"pipe", "")), "not a file, a directory or a link"},

		{"no busybox-1.36.1/Makefile", without(t, "Makefile"), "no busybox-1.36.1/Makefile"},
		{"no busybox-1.36.1/LICENSE", without(t, "LICENSE"), "no busybox-1.36.1/LICENSE"},
		{"empty LICENSE", gzipped(t, tarred(t, regular(top+"Makefile", "VERSION=1\nPATCHLEVEL=36\nSUBLEVEL=1\n"), regular(top+"LICENSE", ""))), "no busybox-1.36.1/LICENSE"},
		{"LICENSE is a directory", gzipped(t, tarred(t, append(makefile("")[:1], special(tar.TypeDir, top+"LICENSE/", ""))...)), "no busybox-1.36.1/Makefile"},
		{"another version", gzipped(t, tarred(t, busyBoxSource(top, 37)...)), `version "1.37.1"`},
		{"no version", gzipped(t, tarred(t, makefile("all:\n")...)), `version ".."`},
		{"a development version", gzipped(t, tarred(t, makefile("VERSION = 1\nPATCHLEVEL = 36\nSUBLEVEL = 1\nEXTRAVERSION = .git\n")...)), `version "1.36.1.git"`},
		{"another program", gzipped(t, tarred(t, regular("linux-6.1/Makefile", "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 1\n"))), `version "6.1.1"`},
	}
}

// claim is a tar whose last file says that it is larger than what follows.
func claim(t testing.TB, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range makefile("VERSION=1\nPATCHLEVEL=36\nSUBLEVEL=1\n") {
		if err := errors.Join(w.WriteHeader(&e.Header), writeAll(w, e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: top + "big", Size: size}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeAll(w *tar.Writer, s string) error {
	if _, err := w.Write([]byte(s)); err != nil {
		return err
	}
	return w.Flush()
}

// R7.2: only the source of that version, whole and within its directory, is attached to a release.
func TestReadBusyBoxRefuses(t *testing.T) {
	for _, tt := range refused(t) {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readBusyBox(t.Context(), tt.archive, "1.36.1", smallLimits)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestReadBusyBox(t *testing.T) {
	for name, archive := range map[string][]byte{
		"as it is":           with(t),
		"listed directories": with(t, special(tar.TypeDir, top, ""), special(tar.TypeDir, top+"shell/", ""), special(tar.TypeDir, top+"empty/", "")),
		"names with ./":      with(t, regular("./"+top+"x", "")),
		"other top":          githubArchive(t, 36),
		"bzip2":              bzip2Archive(t),
		"link within":        with(t, symlink(top+"a", "b/../c"), symlink(top+"docs/b", "..")),
		"as large as may":    with(t, regular(top+"zeros", strings.Repeat("\x00", 48<<10))),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := readBusyBox(t.Context(), archive, "1.36.1", smallLimits)
			if err != nil {
				t.Fatal(err)
			}
			if c[top+"shell/ash.c"].size != int64(len("int ash;\n")) || !c["busybox-1.36.1"].mode.IsDir() {
				t.Errorf("got %v", c)
			}
		})
	}
}

func TestReadBusyBoxStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := readBusyBox(ctx, with(t), "1.36.1", smallLimits); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// FuzzReadBusyBox feeds tars, so that the fuzzer need not find its way through a compressor: whatever passes is within
// BusyBox's directory and the limits, and what is made of it is a source that passes again and is made into the same bytes.
func FuzzReadBusyBox(f *testing.F) {
	f.Add(tarred(f, busyBoxSource(top, 36)...))
	for _, r := range refused(f) {
		if z, err := gzip.NewReader(bytes.NewReader(r.archive)); err == nil {
			var plain bytes.Buffer
			_, _ = io.CopyN(&plain, z, 16<<10) // as much as there is; zeros teach the fuzzer nothing
			f.Add(plain.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		c, err := readTar(t.Context(), bytes.NewReader(plain), "busybox-1.36.1", smallLimits)
		if err != nil || checkIsBusyBox(c, "1.36.1") != nil {
			return
		}
		var total int64
		for name, m := range c {
			if !fs.ValidPath(name) || name != "busybox-1.36.1" && !strings.HasPrefix(name, top) {
				t.Errorf("member %q", name)
			}
			if typ := m.mode.Type(); typ != 0 && typ != fs.ModeDir && typ != fs.ModeSymlink {
				t.Errorf("%q: mode %v", name, m.mode)
			}
			total += m.size
		}
		if total > smallLimits.total {
			t.Errorf("%d bytes", total)
		}
		first := rewritten(t, c)
		again, err := readBusyBox(t.Context(), first, "1.36.1", busyBoxLimits)
		if err != nil {
			t.Fatalf("what was made is refused: %v", err)
		}
		if !bytes.Equal(rewritten(t, again), first) {
			t.Error("what was made is made into something else")
		}
	})
}

func rewritten(t *testing.T, c contents) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := c.compress(t.Context(), &b, undated); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
