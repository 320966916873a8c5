package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"neuron-kmod/internal/platform/fault"
)

// maxContext bounds the bytes of a context. A kernel module is 1 MB, 10 MB with debug information.
const maxContext = 128 << 20

// contextDir is the directory that COPY reads: names, kinds and sizes of all that is in it. Nothing outside the
// directory can be reached through it.
type contextDir struct {
	tree *tree
	root *os.Root
}

// openContext indexes the directory dir. It refuses what has no place in an image or could lead out of the directory:
// devices, sockets, pipes, and links that are absolute or climb above it. The caller closes root.
func openContext(ctx context.Context, dir string) (*contextDir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	c := &contextDir{tree: newTree(), root: root}
	left := int64(maxContext)
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return c.index(p, d, &left)
	})
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("context %s: %w", dir, err)
	}
	return c, nil
}

func (c *contextDir) index(p string, d fs.DirEntry, left *int64) error {
	if p == "." {
		return nil
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	n := &node{mode: 0o755, layer: -1, entry: -1}
	switch info.Mode().Type() {
	case 0:
		n.kind, n.size = tar.TypeReg, info.Size()
		if info.Mode()&0o111 == 0 {
			n.mode = 0o644
		}
		if *left -= n.size; *left < 0 {
			return fmt.Errorf("larger than %d MiB", maxContext>>20)
		}
	case fs.ModeDir:
		n.kind, n.children = tar.TypeDir, map[string]*node{}
	case fs.ModeSymlink:
		n.kind, n.mode = tar.TypeSymlink, 0o777
		if n.link, err = c.root.Readlink(p); err != nil {
			return err
		}
		if leaves(p, n.link) && !isHostLink(p, n.link) {
			return fault.Wrap(fmt.Errorf("link %s leads out of it, to %s", p, n.link),
				"make the link relative and let it end inside the directory, or put a copy in its place")
		}
	default:
		return fmt.Errorf("%s is neither a file, a directory nor a link", p)
	}
	return c.tree.put(p, n)
}

// isHostLink reports whether a link is the one by which a module with in-tree dependencies finds the kernel's own
// modules on the node. It is the only link of a kmod image that may lead out of it:
// https://openshift-kmm.netlify.app/documentation/kmod_image/#depmod
func isHostLink(p, link string) bool {
	k := path.Base(path.Dir(p))
	return p == "opt/lib/modules/"+k+"/host" && link == "/lib/modules/"+k
}

// leaves reports whether a link at p with that target leads out of the directory.
func leaves(p, link string) bool {
	if path.IsAbs(link) {
		return true
	}
	to := path.Join(path.Dir(p), link)
	return to == ".." || strings.HasPrefix(to, "../")
}

// open opens a regular file of the context for reading.
func (c *contextDir) open(p string) (io.ReadCloser, error) {
	f, err := c.root.Open(p)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() != c.tree.get(p).size) {
		err = errors.New("it changed while it was read")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
