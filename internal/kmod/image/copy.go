package image

import (
	"archive/tar"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// copying is one instruction that adds files: its entries become one layer.
type copying struct {
	*assembly
	in      instruction
	entries map[string]entry

	uid, gid int
	mode     int64 // of --chmod; -1 without it
}

// copy carries out COPY [--chown=U[:G]] [--chmod=MODE] SOURCE... DEST.
func (a *assembly) copy(in instruction) error {
	c := &copying{assembly: a, in: in, entries: map[string]entry{}, mode: -1}
	if err := c.readFlags(); err != nil {
		return err
	}
	words, err := c.readWords()
	if err != nil {
		return err
	}
	var from []source
	for _, w := range words[:len(words)-1] {
		found, err := a.context.match(w)
		if err != nil {
			return in.errorf("%w", err)
		}
		from = append(from, found...)
	}
	dest := words[len(words)-1]
	if len(words) > 2 && !strings.HasSuffix(dest, "/") {
		return in.errorf("with several sources the destination has to end in a slash: %s/", dest)
	}
	if err := c.place(from, dest); err != nil {
		return err
	}
	return c.commit()
}

func (c *copying) readFlags() error {
	for _, f := range c.in.flags {
		f, err := c.scope.expand(c.in, f)
		if err != nil {
			return err
		}
		name, value, _ := strings.Cut(f, "=")
		if name == "--chown" {
			err = c.chown(value)
		} else { // checkNative let nothing else through
			err = c.chmod(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *copying) chown(value string) error {
	user, group, ok := strings.Cut(value, ":")
	if !ok {
		group = user
	}
	uid, err1 := strconv.ParseUint(user, 10, 21) // what a ustar header holds
	gid, err2 := strconv.ParseUint(group, 10, 21)
	if err1 != nil || err2 != nil {
		return c.in.needsEngine("--chown=%s is not UID:GID", value)
	}
	c.uid, c.gid = int(uid), int(gid)
	return nil
}

func (c *copying) chmod(value string) error {
	mode, err := strconv.ParseUint(value, 8, 12)
	if err != nil {
		return c.in.needsEngine("--chmod=%s is not an octal mode", value)
	}
	c.mode = int64(mode)
	return nil
}

// readWords expands the sources and the destination.
func (c *copying) readWords() ([]string, error) {
	var words []string
	for _, w := range c.in.words {
		if w == "" {
			continue
		}
		v, err := c.scope.expand(c.in, w)
		if err != nil {
			return nil, err
		}
		if v == "" {
			return nil, c.in.errorf("%s comes out empty", w)
		}
		words = append(words, v)
	}
	if len(words) < 2 {
		return nil, c.in.errorf("wants SOURCE... DESTINATION")
	}
	return words, nil
}

// place puts the sources where the destination says: a directory's content into
// it, files into it where it is or has to be a directory, else one file as it.
func (c *copying) place(from []source, dest string) error {
	p := dest
	if !path.IsAbs(dest) {
		p = path.Join("/", c.cfg.Config.WorkingDir, dest)
	}
	p, err := cleanPath(p)
	if err != nil {
		return c.in.errorf("%w", err)
	}
	target, err := c.fs.resolve(p, true)
	if err != nil {
		return c.in.errorf("%w", err)
	}
	folder := strings.HasSuffix(dest, "/") || path.Base(dest) == "." || c.fs.get(target).isDir()
	if len(from) > 1 && !folder {
		return c.in.errorf("%d files match, but %s is no folder: end it in a slash", len(from), dest)
	}
	for _, s := range from {
		switch {
		case s.node.isDir():
			err = c.placeDir(s, target)
		case folder:
			err = c.placeFile(s.path, s.node, path.Join(target, s.name))
		case c.fs.get(p).isLink():
			err = c.in.needsEngine("/%s is a link in the image", p)
		default:
			err = c.placeFile(s.path, s.node, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// placeDir copies what is in a directory, not the directory itself.
func (c *copying) placeDir(s source, target string) error {
	if err := c.makeDir(target); err != nil {
		return err
	}
	var err error
	c.context.walk(s.path, s.node, func(p string, n *node) {
		if err == nil {
			rel := strings.TrimPrefix(strings.TrimPrefix(p, s.path), "/")
			err = c.placeFile(p, n, path.Join(target, rel))
		}
	})
	return err
}

// placeFile adds one file, directory or link of the context to the layer, as at.
// What an engine would do where a directory meets a file or a link is left to an engine.
func (c *copying) placeFile(from string, n *node, at string) error {
	old := c.fs.get(at)
	if old != nil && (old.kind != n.kind || old.isLink()) {
		return c.in.needsEngine("/%s is something else in the image", at)
	}
	if err := c.makeDir(parent(at)); err != nil {
		return err
	}
	e := entry{kind: n.kind, mode: n.mode, uid: c.uid, gid: c.gid, link: n.link}
	if c.mode >= 0 && !n.isLink() {
		e.mode = c.mode
	}
	if n.isRegular() {
		e.source, e.size = from, n.size
	}
	return c.put(at, e)
}

// makeDir makes directory p and those above it where they are not there. As with
// podman they get the owner of --chown, but not the mode of --chmod.
func (c *copying) makeDir(p string) error {
	if p == "" || c.fs.get(p).isDir() {
		return nil
	}
	if c.fs.get(p) != nil {
		return c.in.needsEngine("/%s is no folder in the image", p)
	}
	if err := c.makeDir(parent(p)); err != nil {
		return err
	}
	return c.put(p, entry{kind: tar.TypeDir, mode: 0o755, uid: c.uid, gid: c.gid})
}

func (c *copying) put(p string, e entry) error {
	n := &node{kind: e.kind, mode: e.mode, size: e.size, link: e.link, layer: -1, entry: -1}
	if e.kind == tar.TypeDir {
		n.children = map[string]*node{}
	}
	if err := c.fs.put(p, n); err != nil {
		return c.in.errorf("/%s: %w", p, err)
	}
	c.entries[p] = e
	return nil
}

// commit makes the layer, if there is anything in it, and the history entry.
func (c *copying) commit() error {
	if len(c.entries) == 0 {
		c.record(c.in, true)
		return nil
	}
	l, err := newLayer(c.entries, c.created, c.family.layer, c.context.open)
	if err != nil {
		return fmt.Errorf("%s:%d: %s: %w", c.in.file, c.in.line, c.in.name, err)
	}
	c.layers = append(c.layers, l)
	c.record(c.in, false)
	return nil
}
