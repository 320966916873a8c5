package release

import (
	"archive/tar"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode"

	"github.com/klauspost/compress/gzip"

	"neuron-kmod/internal/platform/limit"
)

// limits bound what is taken of an archive.
type limits struct {
	download int64 // bytes of the compressed archive
	entries  int   // of any kind
	total    int64 // bytes of the uncompressed archive, and of what is in it
}

var (
	gzipMagic  = []byte{0x1f, 0x8b}
	bzip2Magic = []byte("BZh")
)

var errTooLarge = errors.New("it is larger than any such archive")

// readContents reads an archive: a tar, compressed with gzip or bzip2, that is whole, has one directory at its top and
// nothing that leads out. It returns what is in it, with the top directory called name.
func readContents(ctx context.Context, archive []byte, name string, lim limits) (contents, error) {
	switch {
	case bytes.HasPrefix(archive, gzipMagic):
		z, err := gzip.NewReader(bytes.NewReader(archive))
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		return readTar(ctx, z, name, lim)
	case bytes.HasPrefix(archive, bzip2Magic):
		return readTar(ctx, bzip2.NewReader(bytes.NewReader(archive)), name, lim)
	}
	return nil, fmt.Errorf("it is not an archive: %s", beginning(archive))
}

// readTar reads the uncompressed archive.
func readTar(ctx context.Context, stream io.Reader, name string, lim limits) (contents, error) {
	left := lim.total
	bounded := &zeroCounter{r: &limit.Reader{Ctx: ctx, R: stream, Left: &left, Exceeded: errTooLarge}}
	t := unpacked{found: contents{}, name: name, left: lim.total}
	tr := tar.NewReader(bounded)
	for n := 1; ; n++ {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		if n > lim.entries {
			return nil, fmt.Errorf("it has more than %d entries", lim.entries)
		}
		if err := t.add(h, tr); err != nil {
			return nil, err
		}
	}
	// The compressed stream's end holds its checksum.
	if _, err := io.Copy(io.Discard, bounded); err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	// A server that fails while it packs may leave a good gzip of half a tar, which package tar takes for a whole one if
	// it ends between two files.
	if bounded.zeros < tarEnd {
		return nil, fmt.Errorf("read the archive: its end is missing: %w", io.ErrUnexpectedEOF)
	}
	return t.found, t.found.complete()
}

// beginning quotes the first bytes, which tell a web page at a glance.
func beginning(data []byte) string {
	if len(data) == 0 {
		return "it is empty"
	}
	return fmt.Sprintf("it begins with %q", data[:min(len(data), 24)])
}

// unpacked takes the entries of an archive with one directory at its top.
type unpacked struct {
	found contents
	name  string // the new name of the top directory
	top   string // its name in the archive
	left  int64  // bytes that files may still have
}

func (t *unpacked) add(h *tar.Header, body io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader { // git puts the commit there
		return nil
	}
	name := strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")
	if !fs.ValidPath(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("the name %.200q is not one of a file in a directory", h.Name)
	}
	top, rest, below := strings.Cut(name, "/")
	if t.top == "" {
		t.top = top
	}
	if top != t.top {
		return fmt.Errorf("it has both %.100q and %.100q at its top", t.top, top)
	}
	m, err := t.member(h, rest, body)
	if err != nil {
		return err
	}
	if !below && !m.mode.IsDir() {
		return fmt.Errorf("%.100q at its top is not a directory", top)
	}
	return t.found.add(path.Join(t.name, rest), m)
}

// member makes the member of an entry; name is its name below the top directory.
func (t *unpacked) member(h *tar.Header, name string, body io.Reader) (member, error) {
	switch h.Typeflag {
	case tar.TypeDir:
		return directory, nil
	case tar.TypeSymlink:
		to := path.Join(path.Dir(name), h.Linkname)
		if !fs.ValidPath(to) || path.IsAbs(h.Linkname) || strings.ContainsFunc(h.Linkname, unicode.IsControl) {
			return member{}, fmt.Errorf("the link %.200q leads to %.200q, out of the source", h.Name, h.Linkname)
		}
		return member{mode: fs.ModeSymlink | 0o777, link: h.Linkname}, nil
	case tar.TypeReg:
		// The size of a sparse file says nothing of how much of the archive it takes.
		if t.left -= h.Size; t.left < 0 {
			return member{}, errTooLarge
		}
		data := make([]byte, h.Size)
		if _, err := io.ReadFull(body, data); err != nil {
			return member{}, fmt.Errorf("%.200q: %w", h.Name, err)
		}
		return file(data, permissions(h.Mode)), nil
	}
	return member{}, fmt.Errorf("%.200q is not a file, a directory or a link (type %q)", h.Name, h.Typeflag)
}

// tarEnd is how many zero bytes a tar ends in, at least: two blocks.
const tarEnd = 1024

// zeroCounter reads from r and counts the zero bytes at the end of what it has read.
type zeroCounter struct {
	r     io.Reader
	zeros int
}

func (z *zeroCounter) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	if other := len(bytes.TrimRight(p[:n], "\x00")); other > 0 {
		z.zeros = -other
	}
	z.zeros += n
	return n, err
}
