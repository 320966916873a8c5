package release

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var made = time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)

// R7.2: an archive is its contents and nothing of the machine, the user or the moment that made it.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	if err := os.MkdirAll(filepath.Join(source, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"b.sh": 0o700, "a.c": 0o600} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	long := "top/" + strings.Repeat("long/", 40) + "name"
	path := filepath.Join(dir, "x.tar.gz")
	var first []byte
	for _, zone := range []*time.Location{time.UTC, time.FixedZone("", 7200)} {
		c := contents{"top/z": file([]byte("z"), 0o644), long: file(nil, 0o644)}
		if err := c.addTree("top/tree", source); err != nil {
			t.Fatal(err)
		}
		a, err := c.write(t.Context(), path, made.In(zone).Add(time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
		}
		if !bytes.Equal(got, first) {
			t.Error("the same contents gave other bytes")
		}
		if want := (Archive{"x.tar.gz", path, int64(len(got)), digest(got)}); a != want {
			t.Errorf("got %+v, want %+v", a, want)
		}
		nothingBut(t, dir, "source", "x.tar.gz")
	}
	entries := entriesOf(t, path)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
		if !e.ModTime.Equal(made) || e.Uid != 0 || e.Gid != 0 || e.Uname != "" || e.Gname != "" {
			t.Errorf("%s: time %v, owner %d %d %q %q", e.Name, e.ModTime, e.Uid, e.Gid, e.Uname, e.Gname)
		}
	}
	if !slices.IsSorted(names) || !slices.Contains(names, "top/long/long/") {
		t.Errorf("names are not sorted, or lack a directory: %q", names)
	}
	want := map[string]string{"top/tree/": "5 755 ", "top/tree/empty/": "5 755 ", "top/tree/b.sh": "0 755 b.sh", "top/tree/a.c": "0 644 a.c"}
	got := listed(entries)
	for name := range got {
		if !strings.HasPrefix(name, "top/tree/") {
			delete(got, name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// R8.2: what fails leaves nothing, and what was there before stays.
func TestWriteFails(t *testing.T) {
	broken := errors.New("broken")
	stopped, stop := context.WithCancelCause(t.Context())
	stop(broken)
	tests := []struct {
		name string
		ctx  context.Context
		c    contents
		want string
	}{
		{"stopped", stopped, contents{"a": file(nil, 0o644)}, "broken"},
		{"unreadable", t.Context(), contents{"a": {mode: 0o644, open: func() (io.ReadCloser, error) { return nil, broken }}}, "broken"},
		{"shrunk", t.Context(), contents{"a": {mode: 0o644, size: 9, open: file([]byte("12"), 0).open}}, "shrank from 9 to 2"},
		{"file in a file", t.Context(), contents{"a": file(nil, 0o644), "a/b": file(nil, 0o644)}, "not a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x.tar.gz")
			if err := os.WriteFile(path, []byte("before"), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := tt.c.write(tt.ctx, path, made); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			nothingBut(t, dir, "x.tar.gz")
			if got, err := os.ReadFile(path); string(got) != "before" || err != nil {
				t.Errorf("the file before: %q, %v", got, err)
			}
		})
	}
}

func TestAddTreeRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := (contents{}).addTree("x", dir); err == nil || !strings.Contains(err.Error(), "not a file or a directory") {
		t.Errorf("a link: %v", err)
	}
	c := contents{"x": file(nil, 0o644)}
	if err := c.addTree("x", t.TempDir()); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a directory in a file's place: %v", err)
	}
}

// An archive can be attached as it is.
func TestArchiveOpen(t *testing.T) {
	a, err := contents{"a": file([]byte("text"), 0o644)}.write(t.Context(), filepath.Join(t.TempDir(), "x.tar.gz"), made)
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil || int64(len(data)) != a.Size || digest(data) != a.Digest {
		t.Errorf("%d bytes of digest %s (%v), want %+v", len(data), digest(data), err, a)
	}
	if got := entriesOf(t, a.Path); len(got) != 1 || got[0].Typeflag != tar.TypeReg || got[0].body != "text" {
		t.Errorf("in it: %+v", got)
	}
}
