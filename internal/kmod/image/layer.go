package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	// Not compress/gzip: its output may change with the Go release, and the digest of an image must not depend on who
	// compiled this program.
	"github.com/klauspost/compress/gzip"
)

// entry is one entry of a layer to be made.
type entry struct {
	kind     byte // TypeReg, TypeDir or TypeSymlink
	mode     int64
	uid, gid int
	link     string
	source   string // of a TypeReg: its path in the context
	size     int64
}

// layer is a layer of ours, compressed, in memory: a few hundred kilobytes for a kernel module, and bounded by the
// bound on the context.
type layer struct {
	compressed     []byte
	digest, diffID v1.Hash
	mediaType      types.MediaType
}

// newLayer writes entries in the order of their paths. Only paths, kinds, modes, owners and content go in, and created
// as the time of everything, so equal input makes equal bytes.
func newLayer(
	entries map[string]entry, created time.Time, mt types.MediaType, open func(source string) (io.ReadCloser, error),
) (*layer, error) {
	var buf bytes.Buffer
	zw, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	plain := sha256.New()
	tw := tar.NewWriter(io.MultiWriter(zw, plain))
	for _, p := range slices.Sorted(maps.Keys(entries)) {
		if err := writeEntry(tw, p, entries[p], created, open); err != nil {
			return nil, fmt.Errorf("/%s: %w", p, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	compressed := sha256.Sum256(buf.Bytes())
	return &layer{
		compressed: buf.Bytes(),
		digest:     sha256Hash(compressed[:]),
		diffID:     sha256Hash(plain.Sum(nil)),
		mediaType:  mt,
	}, nil
}

func sha256Hash(sum []byte) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum)}
}

func writeEntry(tw *tar.Writer, p string, e entry, created time.Time, open func(string) (io.ReadCloser, error)) error {
	h := &tar.Header{
		Typeflag: e.kind,
		Name:     p,
		Linkname: e.link,
		Mode:     e.mode,
		Uid:      e.uid,
		Gid:      e.gid,
		Size:     e.size,
		ModTime:  created,
	}
	if e.kind == tar.TypeDir {
		h.Name += "/"
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if e.kind != tar.TypeReg {
		return nil
	}
	f, err := open(e.source)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(tw, io.LimitReader(f, e.size))
	if err == nil && n != e.size {
		err = fmt.Errorf("it shrank from %d to %d bytes while it was read", e.size, n)
	}
	return err
}

func (l *layer) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *layer) Size() (int64, error)                { return int64(len(l.compressed)), nil }
func (l *layer) MediaType() (types.MediaType, error) { return l.mediaType, nil }

func (l *layer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.compressed)), nil
}

func (l *layer) Uncompressed() (io.ReadCloser, error) {
	return gzip.NewReader(bytes.NewReader(l.compressed))
}
