package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

const (
	maxPath  = 4096   // bytes of one path, as Linux has it
	maxNodes = 200000 // entries of one image or context
	maxHops  = 40     // links followed in one lookup, as Linux has it
)

var errLinkLoop = errors.New("too many symbolic links")

// node is a file, directory or link of a tree. Hard links share one node.
type node struct {
	kind byte  // tar type: TypeReg, TypeDir, TypeSymlink, or any other
	mode int64 // permission bits
	size int64 // of a TypeReg, in bytes
	link string

	layer, entry int // where the content is: which layer, which of its entries; -1 for none

	children map[string]*node // of a TypeDir
}

func newDir(mode int64) *node {
	return &node{kind: tar.TypeDir, mode: mode, layer: -1, entry: -1, children: map[string]*node{}}
}

func (n *node) isDir() bool     { return n != nil && n.kind == tar.TypeDir }
func (n *node) isRegular() bool { return n != nil && n.kind == tar.TypeReg }
func (n *node) isLink() bool    { return n != nil && n.kind == tar.TypeSymlink }

// tree is a root file system by name only: which paths are what. Paths have no leading slash; "" is the root. Nothing
// outside the root can be named: ".." at the root stays at the root, as in a chroot.
type tree struct {
	root  *node
	count int
}

func newTree() *tree { return &tree{root: newDir(0o755)} }

// cleanPath gives name as a tree names it. Every ".." that would leave the root is dropped.
func cleanPath(name string) (string, error) {
	if len(name) > maxPath {
		return "", fmt.Errorf("path of %d bytes is longer than %d", len(name), maxPath)
	}
	if strings.ContainsRune(name, 0) {
		return "", errors.New("path holds a NUL byte")
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}

func split(p string) []string {
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

// get is the node at exactly p, no link followed; nil if there is none.
func (t *tree) get(p string) *node {
	n := t.root
	for _, part := range split(p) {
		if n = n.children[part]; n == nil {
			return nil
		}
	}
	return n
}

// resolve follows the links of p, the last element's too when last is set, and returns the path without links, which
// need not exist.
func (t *tree) resolve(p string, last bool) (string, error) {
	rest, done := split(p), ""
	for hops := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = parent(done)
			continue
		}
		next := path.Join(done, part)
		n := t.get(next)
		if !n.isLink() || (len(rest) == 0 && !last) {
			done = next
			continue
		}
		if hops++; hops > maxHops {
			return "", fmt.Errorf("/%s: %w", p, errLinkLoop)
		}
		if strings.HasPrefix(n.link, "/") {
			done = ""
		}
		rest = append(strings.Split(n.link, "/"), rest...)
		if len(rest) > maxPath {
			return "", fmt.Errorf("/%s: %w", p, errLinkLoop)
		}
	}
	return done, nil
}

func parent(p string) string {
	if dir := path.Dir(p); dir != "." {
		return dir
	}
	return ""
}

// find follows all links of p; a nil node means that there is nothing there.
func (t *tree) find(p string) (*node, error) {
	target, err := t.resolve(p, true)
	if err != nil {
		return nil, err
	}
	return t.get(target), nil
}

// put sets p to n. Directories on the way are made; what is no directory on the way is replaced by one, as in an upper
// layer of an image. A directory put over a directory keeps what is in it.
func (t *tree) put(p string, n *node) error {
	if t.count++; t.count > maxNodes {
		return fmt.Errorf("more than %d entries", maxNodes)
	}
	if p == "" {
		if n.isDir() {
			t.root.mode = n.mode
		}
		return nil
	}
	dir := t.root
	for _, part := range split(parent(p)) {
		next := dir.children[part]
		if !next.isDir() {
			next = newDir(0o755)
			dir.children[part] = next
		}
		dir = next
	}
	base := path.Base(p)
	if old := dir.children[base]; old.isDir() && n.isDir() {
		old.mode = n.mode
		return nil
	}
	dir.children[base] = n
	return nil
}

// remove takes p and all below it away.
func (t *tree) remove(p string) {
	if p == "" {
		t.root.children = map[string]*node{}
		return
	}
	if dir := t.get(parent(p)); dir.isDir() {
		delete(dir.children, path.Base(p))
	}
}

// walk visits all below n, which is at p, directories before what is in them, sorted.
func (t *tree) walk(p string, n *node, visit func(p string, n *node)) {
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		child, at := n.children[name], path.Join(p, name)
		visit(at, child)
		t.walk(at, child, visit)
	}
}
