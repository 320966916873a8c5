package release

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	// Not compress/gzip: its output may change with the Go release, and the digest of an archive must not depend on
	// who compiled this program.
	"github.com/klauspost/compress/gzip"
)

// undated is the time of files that have none of their own. It is not 1970: tar warns of such files as implausibly
// old, and some tools take the time 0 for none.
var undated = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// contents are what is in an archive, by name: slashes between, none at the beginning or end.
type contents map[string]member

// member is a directory, a file or a link of an archive.
type member struct {
	mode fs.FileMode                   // the type, and 0644 or 0755
	link string                        // where a link leads
	size int64                         // of a file, in bytes
	open func() (io.ReadCloser, error) // of a file
}

var directory = member{mode: fs.ModeDir | 0o755}

// file is a member that is in memory.
func file(data []byte, mode fs.FileMode) member {
	return member{mode: mode, size: int64(len(data)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// read returns the text of a file that has to be there.
func (c contents) read(name string) (string, error) {
	m, found := c[name]
	if !found || m.open == nil || m.size == 0 {
		return "", fmt.Errorf("there is no %s in it", name)
	}
	r, err := m.open()
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(r)
	return string(data), errors.Join(err, r.Close())
}

// add adds a member. A name that is there is an error, except for a directory that is one already.
func (c contents) add(name string, m member) error {
	if old, found := c[name]; found && !(old.mode.IsDir() && m.mode.IsDir()) {
		return fmt.Errorf("%.200q is there twice", name)
	}
	c[name] = m
	return nil
}

// addTree adds the files and directories of dir below name. They are read when the archive is written.
func (c contents) addTree(name, dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		at := path.Join(name, filepath.ToSlash(rel))
		if d.IsDir() {
			return c.add(at, directory)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a file or a directory", p)
		}
		return c.add(at, member{mode: permissions(int64(info.Mode().Perm())), size: info.Size(),
			open: func() (io.ReadCloser, error) { return os.Open(p) }})
	})
}

// permissions reduces a mode to the two that a source file can have.
func permissions(mode int64) fs.FileMode {
	if mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// complete adds the directories that members are in and that are not listed. A member that is in something else than a
// directory is an error.
func (c contents) complete() error {
	for name := range maps.Clone(c) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if m, found := c[dir]; found && !m.mode.IsDir() {
				return fmt.Errorf("%.200q is in %.200q, which is not a directory", name, dir)
			}
			c[dir] = directory
		}
	}
	return nil
}

// write makes the archive at p: under a temporary name beside it, which is renamed once it is whole and removed if
// anything fails. Whoever calls it sees to it that nobody else makes the same file. Every member gets the time made,
// which a tar holds to the second, and belongs to root.
func (c contents) write(ctx context.Context, p string, made time.Time) (_ Archive, err error) {
	if err := c.complete(); err != nil {
		return Archive{}, err
	}
	partial := filepath.Join(filepath.Dir(p), "."+filepath.Base(p)+".partial")
	f, err := os.Create(partial)
	if err != nil {
		return Archive{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	if err := errors.Join(c.compress(ctx, f, made), f.Sync(), f.Close()); err != nil {
		return Archive{}, err
	}
	a, err := describeArchive(partial, filepath.Base(p))
	if err != nil {
		return Archive{}, err
	}
	a.Path = p
	return a, os.Rename(partial, p)
}

// describeArchive reads a file that is an archive of that name.
func describeArchive(p, name string) (_ Archive, err error) {
	f, err := os.Open(p)
	if err != nil {
		return Archive{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return Archive{}, err
	}
	return Archive{Name: name, Path: p, Size: n, Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil))}, nil
}

// compress writes the members in the order of their names. The gzip header has no name, and 0 for its time, which means
// none (RFC 1952, 2.3.1); left alone, this package would write the year 1 as one in 2042.
func (c contents) compress(ctx context.Context, w io.Writer, made time.Time) error {
	zw, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	zw.ModTime = time.Unix(0, 0)
	tw := tar.NewWriter(zw)
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := c[name].write(tw, name, made); err != nil {
			return fmt.Errorf("%.200q: %w", name, err)
		}
	}
	return errors.Join(tw.Close(), zw.Close())
}

func (m member) write(tw *tar.Writer, name string, made time.Time) (err error) {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(m.mode.Perm()), Size: m.size, ModTime: made}
	switch m.mode.Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case fs.ModeSymlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, m.link
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if m.open == nil {
		return nil
	}
	r, err := m.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	n, err := io.Copy(tw, io.LimitReader(r, m.size))
	if err == nil && n != m.size {
		err = fmt.Errorf("it shrank from %d to %d bytes while it was read", m.size, n)
	}
	return err
}
