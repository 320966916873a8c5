package release

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/platform/limit"
)

// treeLimits bound what is taken of an archive of modified sources. One tree has about 100 files and 2 MB.
var treeLimits = limits{download: 64 << 20, entries: 20_000, total: 256 << 20}

// archiveError says that what the release has is not an archive of this program.
type archiveError struct{ err error }

func (e archiveError) Error() string { return e.err.Error() }
func (e archiveError) Unwrap() error { return e.err }

// treeNameForm is what ModifiedSource calls trees.
var treeNameForm = regexp.MustCompile(`^[a-z0-9]+([+-][a-z0-9]+)*-[0-9a-f]{12}$`)

// readTrees reads an archive that ModifiedSource has made, and writes its trees to directories of dir, which it makes.
// They are returned by their digests, which are computed from what is there. An archive that is something else is an
// archiveError.
func readTrees(ctx context.Context, body io.Reader, top, dir string, lim limits) (map[string]*tree, error) {
	data, err := limit.ReadAll(body, lim.download)
	if _, ok := errors.AsType[*limit.TooLargeError](err); ok {
		return nil, archiveError{errTooLarge}
	}
	if err != nil {
		return nil, err
	}
	c, err := readContents(ctx, data, top, lim)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, archiveError{err}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	held := map[string]*tree{}
	for _, name := range treeNames(c, top) {
		t, err := c.extractTree(path.Join(top, treesDir, name), filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if len(t.kernels) > 0 && strings.HasSuffix(name, nameEnd(t.digest)) { // else it was changed after it was named
			held[t.digest] = t
		}
	}
	return held, nil
}

// treeNames returns the names of the trees that are complete.
func treeNames(c contents, top string) []string {
	var names []string
	for name, m := range c {
		rest, below := strings.CutPrefix(name, top+"/"+treesDir)
		if !below || !m.mode.IsDir() || !treeNameForm.MatchString(rest) {
			continue
		}
		if c[name+changesSuffix].open != nil && c[name+scriptSuffix].open != nil && c[name+kernelsSuffix].open != nil {
			names = append(names, rest)
		}
	}
	return names
}

// extractTree writes the tree that is called at to dir, which it makes. Links, which no source of the driver has, are
// left out, so that the digest is another one.
func (c contents) extractTree(at, dir string) (_ *tree, err error) {
	t := &tree{name: path.Base(at), dir: dir}
	var kernels string
	for _, f := range []struct {
		suffix string
		text   *string
	}{{changesSuffix, &t.changes}, {scriptSuffix, &t.script}, {kernelsSuffix, &kernels}} {
		if *f.text, err = c.read(at + f.suffix); err != nil {
			return nil, archiveError{err}
		}
	}
	for _, name := range strings.Fields(kernels) {
		if k, err := kernel.Parse(name); err == nil { // anything else is none of this program's
			t.kernels = append(t.kernels, k)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	for name, m := range c {
		if rest, below := strings.CutPrefix(name, at+"/"); below {
			err = errors.Join(err, m.extract(root, rest))
		}
	}
	if err := errors.Join(err, root.Close()); err != nil {
		return nil, err
	}
	t.digest, err = driver.SourceDigest(dir, t.script)
	return t, err
}

// extract makes a file or a directory, with the directories that it is in.
func (m member) extract(root *os.Root, name string) (err error) {
	if m.mode.IsDir() {
		return root.MkdirAll(name, 0o755)
	}
	if m.open == nil {
		return nil
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	r, err := m.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Chmod(m.mode&fs.ModePerm), f.Close())
}
