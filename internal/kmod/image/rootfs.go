package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/platform/limit"
)

// maxUnpacked bounds the bytes read out of one image's layers, so that a layer that unpacks for ever ends. The largest
// of today's distribution images are below 2 GiB.
const maxUnpacked = 4 << 30

// Whiteouts are how a layer says what of the layers below is gone:
// https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// rootfs is what an image's layers, put on top of each other, amount to. It holds names only; content is read again
// from its layer.
type rootfs struct {
	tree   *tree
	layers []v1.Layer
}

// readRootfs reads every layer of img once.
func readRootfs(ctx context.Context, img v1.Image) (*rootfs, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("listing layers: %w", err)
	}
	fs := &rootfs{tree: newTree(), layers: layers}
	budget := int64(maxUnpacked)
	for i, l := range layers {
		err := eachEntry(ctx, l, &budget, fs.collector(i))
		if err != nil {
			return nil, fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err)
		}
	}
	return fs, nil
}

var (
	errStop     = errors.New("stop")
	errUnpacked = fmt.Errorf("image unpacks to more than %d GiB", int64(maxUnpacked)>>30)
)

// eachEntry calls visit for every entry of a layer, and once more with a nil header at the end. visit ends the reading
// early by returning errStop.
func eachEntry(
	ctx context.Context, l v1.Layer, budget *int64, visit func(i int, h *tar.Header, r io.Reader) error,
) error {
	rc, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	tr := tar.NewReader(&limit.Reader{Ctx: ctx, R: rc, Left: budget, Exceeded: errUnpacked})
	for i := 0; ; i++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			err = visit(i, nil, nil)
		} else if err == nil {
			err = visit(i, h, tr)
			if err == nil {
				continue
			}
		}
		if errors.Is(err, errStop) {
			return nil
		}
		return err
	}
}

// collector returns the visitor that adds layer number layer to the tree. A layer's whiteouts take away from the layers
// below only, wherever in the layer they stand, so they are applied before any of its other entries.
func (fs *rootfs) collector(layer int) func(int, *tar.Header, io.Reader) error {
	type entry struct {
		path   string
		header *tar.Header
		index  int
	}
	var entries []entry
	return func(i int, h *tar.Header, _ io.Reader) error {
		if h != nil {
			p, err := cleanPath(h.Name)
			if err != nil {
				return err
			}
			if fs.whiteout(p) {
				return nil
			}
			if len(entries) >= maxNodes {
				return fmt.Errorf("more than %d entries", maxNodes)
			}
			entries = append(entries, entry{path: p, header: h, index: i})
			return nil
		}
		for _, e := range entries {
			if err := fs.add(layer, e.index, e.path, e.header); err != nil {
				return err
			}
		}
		return nil
	}
}

// whiteout applies p if it is one. Nothing of p's own layer is in the tree yet.
func (fs *rootfs) whiteout(p string) bool {
	base := path.Base(p)
	if base == whiteoutOpaque {
		if dir := fs.tree.get(parent(p)); dir.isDir() {
			dir.children = map[string]*node{}
		}
		return true
	}
	gone, ok := strings.CutPrefix(base, whiteoutPrefix)
	if ok && gone != "" {
		fs.tree.remove(path.Join(parent(p), gone))
	}
	return ok
}

func (fs *rootfs) add(layer, index int, p string, h *tar.Header) error {
	n := &node{kind: h.Typeflag, mode: h.Mode & 0o7777, layer: layer, entry: index}
	switch h.Typeflag {
	case tar.TypeReg:
		n.size = h.Size
	case tar.TypeDir:
		n.children = map[string]*node{}
	case tar.TypeSymlink:
		if len(h.Linkname) > maxPath {
			return fmt.Errorf("link /%s: target is longer than %d bytes", p, maxPath)
		}
		n.link = h.Linkname
	case tar.TypeLink:
		target, err := cleanPath(h.Linkname)
		if err != nil {
			return fmt.Errorf("hard link /%s: %w", p, err)
		}
		if n = fs.tree.get(target); n == nil || n.isDir() {
			return fmt.Errorf("hard link /%s: its target /%s is not there", p, target)
		}
	case tar.TypeXGlobalHeader:
		return nil
	}
	if err := fs.tree.put(p, n); err != nil {
		return fmt.Errorf("/%s: %w", p, err)
	}
	return nil
}

// read hands the content of the regular file n to use.
func (fs *rootfs) read(ctx context.Context, n *node, use func(io.Reader) error) error {
	if !n.isRegular() || n.layer < 0 {
		return errors.New("not a regular file")
	}
	budget := int64(maxUnpacked)
	return eachEntry(ctx, fs.layers[n.layer], &budget, func(i int, h *tar.Header, r io.Reader) error {
		switch {
		case h == nil:
			return errors.New("layer changed while it was being read")
		case i < n.entry:
			return nil
		}
		if err := use(r); err != nil {
			return err
		}
		return errStop
	})
}
