package lab

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// layer is an image layer in the store: layer.tar.gz and, beside it, what would take long to compute again.
type layer struct {
	path string
	meta layerMeta
}

type layerMeta struct {
	Digest v1.Hash `json:"digest"` // of the compressed bytes
	DiffID v1.Hash `json:"diff_id"`
	Size   int64   `json:"size"`
}

const (
	layerFile     = "layer.tar.gz"
	layerMetaFile = "layer.json"
)

// openLayer reads a layer that a layerWriter put into dir.
func openLayer(dir string) (*layer, error) {
	data, err := os.ReadFile(filepath.Join(dir, layerMetaFile))
	if err != nil {
		return nil, err
	}
	l := &layer{path: filepath.Join(dir, layerFile)}
	if err := json.Unmarshal(data, &l.meta); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, layerMetaFile), err)
	}
	return l, nil
}

// The methods of v1.Layer.

func (l *layer) Digest() (v1.Hash, error)             { return l.meta.Digest, nil }
func (l *layer) DiffID() (v1.Hash, error)             { return l.meta.DiffID, nil }
func (l *layer) Size() (int64, error)                 { return l.meta.Size, nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.OCILayer, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return os.Open(l.path) }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return openGzip(l.path) }

// gzipFile is a decompressed file that closes the file as well.
type gzipFile struct {
	*gzip.Reader
	file *os.File
}

func openGzip(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &gzipFile{z, f}, nil
}

func (g *gzipFile) Close() error { return errors.Join(g.Reader.Close(), g.file.Close()) }

// layerWriter writes a layer whose bytes depend on names, modes, links and contents alone: owners and times are set to
// fixed values. Of entries with one name the first stays.
type layerWriter struct {
	dir            string
	file           *os.File
	digest, diffID hash.Hash
	zip            *gzip.Writer
	tar            *tar.Writer
	seen           map[string]bool
}

func newLayerWriter(dir string) (*layerWriter, error) {
	f, err := os.Create(filepath.Join(dir, layerFile))
	if err != nil {
		return nil, err
	}
	w := &layerWriter{dir: dir, file: f, digest: sha256.New(), diffID: sha256.New(), seen: map[string]bool{}}
	w.zip = gzip.NewWriter(io.MultiWriter(f, w.digest))
	w.tar = tar.NewWriter(io.MultiWriter(w.zip, w.diffID))
	return w, nil
}

// entry writes one entry. The name is made relative to the root.
func (w *layerWriter) entry(h tar.Header, body io.Reader) error {
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	if name == "" || w.seen[name] {
		return nil
	}
	w.seen[name] = true
	out := tar.Header{
		Typeflag: h.Typeflag, Name: name, Linkname: h.Linkname, Mode: h.Mode & 0o7777,
		ModTime: madeAt, Format: tar.FormatPAX,
	}
	switch h.Typeflag {
	case tar.TypeDir:
		out.Name += "/"
	case tar.TypeReg:
		out.Size = h.Size
	case tar.TypeLink:
		out.Linkname = strings.TrimPrefix(path.Clean("/"+h.Linkname), "/")
	}
	if err := w.tar.WriteHeader(&out); err != nil {
		return err
	}
	if out.Size == 0 {
		return nil
	}
	_, err := io.CopyN(w.tar, body, out.Size)
	return err
}

// write adds a regular file and the directories above it.
func (w *layerWriter) write(name string, mode int64, body []byte) error {
	if err := w.parents(name); err != nil {
		return err
	}
	return w.entry(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(body))},
		bytes.NewReader(body))
}

// symlink adds a symbolic link and the directories above it.
func (w *layerWriter) symlink(name, target string) error {
	if err := w.parents(name); err != nil {
		return err
	}
	return w.entry(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
}

// parents adds the directories above an entry.
func (w *layerWriter) parents(name string) error {
	for i, c := range name {
		if c != '/' {
			continue
		}
		if err := w.entry(tar.Header{Typeflag: tar.TypeDir, Name: name[:i], Mode: 0o755}, nil); err != nil {
			return err
		}
	}
	return nil
}

// close finishes the layer and writes its description, last.
func (w *layerWriter) close() error {
	err := errors.Join(w.tar.Close(), w.zip.Close())
	info, statErr := w.file.Stat()
	if err := errors.Join(err, statErr, w.file.Close()); err != nil {
		return err
	}
	meta := layerMeta{
		Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(w.digest.Sum(nil))},
		DiffID: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(w.diffID.Sum(nil))},
		Size:   info.Size(),
	}
	data, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, layerMetaFile), data, 0o644)
}

// eachEntry calls f for every entry of a tar stream until f fails. The reader is valid during the call.
func eachEntry(r io.Reader, f func(h *tar.Header, body io.Reader) error) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(h, t); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// eachLayerEntry is eachEntry for a layer of the store.
func eachLayerEntry(l *layer, f func(h *tar.Header, body io.Reader) error) error {
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	return errors.Join(eachEntry(r, f), r.Close())
}
