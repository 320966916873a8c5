// Package layerfile reads one file out of an image's layers without pulling the image: the layers are streamed from the
// top down, and the transfer stops at the file.
//
// It knows how layers stack and are compressed, and nothing of what the file means.
package layerfile

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/limit"
)

const (
	// maxUnpacked bounds what one layer may unpack to. A Driver Toolkit unpacks to 2-6 GB in all its layers.
	maxUnpacked = 32 << 30
	// maxWindow bounds the memory of zstd; its usual levels need up to 8 MiB.
	maxWindow = 32 << 20
)

// ErrAbsent reports that an image does not have the file: no layer has it, or an upper layer removes it.
var ErrAbsent = errors.New("the image does not have the file")

// File is a file to look for.
type File struct {
	Path  string // from the root, without a leading slash: "etc/os-release"
	Limit int64  // the most bytes it may have
	Reach int64  // the most bytes of layers, as they are stored, that are read to find it; 0 means any number
}

// Read returns the file as a container of the image would see it. layers are those of an image of repo, from the bottom
// to the top. It blocks on the network until ctx ends. Among its errors are ErrAbsent and those of package registry.
func (f File) Read(
	ctx context.Context, client *registry.Client, repo name.Repository, layers []v1.Descriptor,
) ([]byte, error) {
	left := f.Reach
	for i, layer := range slices.Backward(layers) {
		found, err := f.readLayer(ctx, client, repo, layer, &left)
		if err != nil {
			return nil, fmt.Errorf("layer %d of %d (%s): %w", i+1, len(layers), layer.Digest, err)
		}
		if found.data != nil {
			return found.data, nil
		}
		if found.hidden {
			break
		}
	}
	return nil, ErrAbsent
}

// readLayer looks for the file in one layer, and ends the transfer as soon as the layer is decided. left is what
// remains of f.Reach.
//
// The digest of a layer can be checked only when all of it was read. A small layer is read whole before anything in it
// is believed; the beginning of a larger one is taken from the registry on trust.
func (f File) readLayer(
	ctx context.Context, client *registry.Client, repo name.Repository, d v1.Descriptor, left *int64,
) (finding, error) {
	blob, err := client.Blob(ctx, repo, d)
	if err != nil {
		return finding{}, err
	}
	defer blob.Close()
	var r io.Reader = blob
	if f.Reach > 0 {
		exceeded := fmt.Errorf("the file is not in the first %d MiB of the layers", f.Reach>>20)
		r = &limit.Reader{Ctx: ctx, R: blob, Left: left, Exceeded: exceeded}
	}
	if d.Size <= registry.LargestPiece {
		data, err := limit.ReadAll(r, registry.LargestPiece)
		if err != nil {
			return finding{}, err
		}
		r = bytes.NewReader(data)
	}
	return f.scan(ctx, r)
}

// finding is what a layer says about the file.
type finding struct {
	data   []byte // the file's content; nil if the layer does not have it
	hidden bool   // the layer removes the file of the layers below
}

// scan looks for the file in a layer in any compression that images use, and reads no further than the file itself.
// Memory does not grow with the layer.
func (f File) scan(ctx context.Context, r io.Reader) (finding, error) {
	unpacked, closeUnpacked, err := decompress(r)
	if err != nil {
		return finding{}, err
	}
	defer closeUnpacked()
	left := int64(maxUnpacked)
	return f.scanTar(&limit.Reader{Ctx: ctx, R: unpacked, Left: &left, Exceeded: errTooMuch})
}

var errTooMuch = fmt.Errorf("the layer unpacks to more than %d GiB", maxUnpacked>>30)

// decompress detects the compression from the first bytes, because media types are not always true.
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
		z, err := zstd.NewReader(buffered,
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return z, z.Close, nil
	}
	return buffered, func() {}, nil
}

// scanTar looks for the file in the tar archive of a layer. A whiteout hides what is in lower layers, never what is in
// its own layer, so the scan goes on after one.
// https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
func (f File) scanTar(r io.Reader) (finding, error) {
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
		case entry == f.Path:
			found.data, err = f.readEntry(tr, h)
			return found, err
		case f.hiddenBy(entry):
			found.hidden = true
		case entry == path.Dir(f.Path) && h.Typeflag != tar.TypeDir:
			return finding{}, fmt.Errorf("/%s is a %s in this layer, not a directory", entry, typeName(h.Typeflag))
		}
	}
}

// hiddenBy reports whether an entry is a whiteout that removes the file, or a directory above it, from the lower
// layers.
func (f File) hiddenBy(entry string) bool {
	dir, base := path.Split(entry)
	if !strings.HasPrefix(base, ".wh.") || base == ".wh." {
		return false
	}
	removed := dir + strings.TrimPrefix(base, ".wh.")
	if base == ".wh..wh..opq" {
		removed = strings.TrimSuffix(dir, "/")
	}
	return removed == "" || removed == f.Path || strings.HasPrefix(f.Path, removed+"/")
}

// readEntry returns the content of the file; r is at the start of it.
func (f File) readEntry(r io.Reader, h *tar.Header) ([]byte, error) {
	if h.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("/%s is a %s, not a file", f.Path, typeName(h.Typeflag))
	}
	if h.Size > f.Limit {
		return nil, fmt.Errorf("/%s has %d bytes, more than the %d that are read", f.Path, h.Size, f.Limit)
	}
	data := make([]byte, h.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("/%s: %w", f.Path, err)
	}
	return data, nil
}

func typeName(flag byte) string {
	switch flag {
	case tar.TypeReg:
		return "file"
	case tar.TypeDir:
		return "directory"
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
