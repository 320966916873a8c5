package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

const (
	el9_4   = "5.14.0-427.68.2.el9_4.x86_64"
	el9_4rt = "5.14.0-427.68.2.el9_4.x86_64+rt"
	el9_5   = "5.14.0-503.40.1.el9_5.x86_64"
	el9_6   = "5.14.0-570.96.1.el9_6.x86_64"
	el9_8   = "5.14.0-687.1.1.el9_8.x86_64"
)

func mustDriver(t testing.TB, s string) version.Driver {
	t.Helper()
	v, err := version.ParseDriver(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustKernel(t testing.TB, s string) kernel.Version {
	t.Helper()
	k, err := kernel.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustReleases(t testing.TB, names ...string) []version.OCP {
	t.Helper()
	var vs []version.OCP
	for _, s := range names {
		v, err := version.ParseOCP(s)
		if err != nil {
			t.Fatal(err)
		}
		vs = append(vs, v)
	}
	return vs
}

// entry is an entry of an archive that a test makes or has read.
type entry struct {
	tar.Header
	body string
}

func regular(name, body string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body))}, body}
}

func symlink(name, to string) entry {
	return entry{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}, ""}
}

// tarred makes an archive of the entries as they are, in their order.
func tarred(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// entriesOf reads a finished archive.
func entriesOf(t testing.TB, path string) []entry {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if z.Name != "" || !z.ModTime.IsZero() {
		t.Errorf("the gzip header has the name %q and the time %v", z.Name, z.ModTime)
	}
	var all []entry
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{*h, string(body)})
	}
}

// listed renders entries by name, for comparing.
func listed(entries []entry) map[string]string {
	found := map[string]string{}
	for _, e := range entries {
		found[e.Name] = fmt.Sprintf("%c %o %s%s", e.Typeflag, e.Mode, e.Linkname, e.body)
	}
	return found
}

// nothingBut checks what is in a directory, hidden files included.
func nothingBut(t *testing.T, dir string, names ...string) {
	t.Helper()
	there, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, name := range names {
		want[name] = true
	}
	for _, e := range there {
		if !want[e.Name()] {
			t.Errorf("left behind: %s", e.Name())
		}
		delete(want, e.Name())
	}
	for name := range want {
		t.Errorf("missing: %s", name)
	}
}

func digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }
