package toolkit

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	metadataPath = "etc/driver-toolkit-release.json"

	// maxUnpacked bounds what one layer may unpack to. A DTK unpacks to 2-6 GB in all its layers.
	maxUnpacked = 32 << 30
	// maxWindow bounds the memory of zstd; the usual levels need up to 8 MiB.
	maxWindow = 32 << 20
)

// finding is what a layer says about the file.
type finding struct {
	data   []byte // the file's text; nil if the layer does not have it
	hidden bool   // the layer removes the file of the layers below
}

// scanWhole reads all of r before it looks into it, so that r can check its content.
func scanWhole(ctx context.Context, r io.Reader) (finding, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return finding{}, err
	}
	return scanLayer(ctx, bytes.NewReader(data))
}

// scanLayer looks for the file in a layer, compressed in any way that images know, reading no further than to the file
// itself. Memory does not grow with the layer.
func scanLayer(ctx context.Context, r io.Reader) (finding, error) {
	unpacked, closeUnpacked, err := decompress(r)
	if err != nil {
		return finding{}, err
	}
	defer closeUnpacked()
	return scanTar(&limited{ctx: ctx, r: unpacked, left: maxUnpacked})
}

// decompress tells the compression by the first bytes, because media types are not always true.
func decompress(r io.Reader) (io.Reader, func(), error) {
	buffered := bufio.NewReader(r)
	start, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return z, func() { z.Close() }, nil
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return z, z.Close, nil
	}
	return buffered, func() {}, nil
}

// limited is a reader that fails when too much comes, and that ends with its context.
type limited struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

var errTooMuch = fmt.Errorf("the layer unpacks to more than %d GiB", maxUnpacked>>30)

func (l *limited) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errTooMuch
	}
	return n, err
}

// scanTar looks for the file in the tar of a layer. Whiteouts hide what is in lower layers, never what is in their own
// layer, so the scan goes on after one.
// https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
func scanTar(r io.Reader) (finding, error) {
	var found finding
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return finding{}, fmt.Errorf("tar: %w", err)
		}
		switch entry := path.Clean("/" + h.Name)[1:]; {
		case entry == metadataPath:
			found.data, err = readEntry(tr, h)
			return found, err
		case hides(entry):
			found.hidden = true
		case entry == path.Dir(metadataPath) && h.Typeflag != tar.TypeDir:
			return finding{}, fmt.Errorf("/%s is a %s in this layer, not a folder", entry, typeName(h.Typeflag))
		}
	}
}

// hides tells whether a path is a whiteout that removes the file, or a folder it is in, from the layers below.
func hides(entry string) bool {
	dir, base := path.Split(entry)
	if !strings.HasPrefix(base, ".wh.") || base == ".wh." {
		return false
	}
	removed := dir + strings.TrimPrefix(base, ".wh.")
	if base == ".wh..wh..opq" {
		removed = strings.TrimSuffix(dir, "/")
	}
	return removed == "" || removed == metadataPath || strings.HasPrefix(metadataPath, removed+"/")
}

// readEntry returns the text of the file, which the tar stands at.
func readEntry(r io.Reader, h *tar.Header) ([]byte, error) {
	if h.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("/%s is a %s, not a file", metadataPath, typeName(h.Typeflag))
	}
	if h.Size > maxMetadata {
		return nil, fmt.Errorf("/%s has %d bytes, more than the %d that are read", metadataPath, h.Size, maxMetadata)
	}
	data := make([]byte, h.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("/%s: %w", metadataPath, err)
	}
	return data, nil
}

func typeName(flag byte) string {
	switch flag {
	case tar.TypeReg:
		return "file"
	case tar.TypeDir:
		return "folder"
	case tar.TypeSymlink:
		return "symbolic link"
	case tar.TypeLink:
		return "hard link"
	case tar.TypeChar, tar.TypeBlock:
		return "device"
	case tar.TypeFifo:
		return "pipe"
	}
	return fmt.Sprintf("tar entry of type %q", flag)
}
