package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"

	"neuron-kmod/internal/version"
)

// Unpack unpacks the driver's source from a package into the directory dst, which must not exist while its parent must.
// It returns the tree of usr/src/aws-neuronx-<version> below dst; what else a package holds, as the real one holds
// /usr/share/aws-neuronx, is read but not unpacked.
//
// Files come out as 0644 or 0755 whatever the package says. It is an error if the package is not the driver's of that
// version, if a name leads out of the root, if the tree has anything but files and directories, or if the package is
// larger than a driver's source can be. Nothing is left after an error.
func Unpack(ctx context.Context, rpm string, v version.Driver, dst string) (*Source, error) {
	s, err := unpack(ctx, rpm, v, dst, defaultLimits)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", rpm, explainDisk(err, dst))
	}
	return s, nil
}

func unpack(ctx context.Context, rpm string, v version.Driver, dst string, lim limits) (_ *Source, err error) {
	r, err := openRPM(rpm)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.identify(v); err != nil {
		return nil, err
	}
	made, err := r.made()
	if err != nil {
		return nil, err
	}
	err = createDir(dst, func(root *os.Root) error {
		t := tree{root: root, top: treePath(v)}
		if err := r.walk(ctx, lim, t.add); err != nil {
			return err
		}
		return t.complete()
	})
	if err != nil {
		return nil, err
	}
	return &Source{Version: v, Dir: filepath.Join(dst, filepath.FromSlash(treePath(v))), Made: made}, nil
}

// createDir makes the directory dst with what fill writes into it: under a temporary name beside it, which is renamed
// once fill is done and removed if anything fails. fill can reach nothing outside.
func createDir(dst string, fill func(*os.Root) error) (err error) {
	if _, err := os.Lstat(dst); err == nil {
		return fmt.Errorf("%s: %w", dst, fs.ErrExist)
	}
	temp, err := os.MkdirTemp(filepath.Dir(dst), "."+filepath.Base(dst)+".partial-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	root, err := os.OpenRoot(temp)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(root), root.Close()); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	return os.Rename(temp, dst)
}

// tree takes the entries of a package that belong to the driver's source.
type tree struct {
	root *os.Root
	top  string // the source's directory below the root
}

func (t tree) add(e entry, body io.Reader) error {
	name, err := cleanName(e.name)
	if err != nil {
		return err
	}
	if name != t.top && !strings.HasPrefix(name, t.top+"/") {
		return nil
	}
	switch {
	case e.kind() == kindDir:
		return makeDirs(t.root, name)
	case e.kind() != kindFile:
		return fmt.Errorf("RPM payload: %q is a link or a device (mode %#o), the driver's source has only files and "+
			"directories",
			e.name, e.mode)
	case e.links > 1:
		return fmt.Errorf("RPM payload: %q is a hard link, the driver's source has none", e.name)
	}
	// A package need not list the directories that it has files in.
	if err := makeDirs(t.root, path.Dir(name)); err != nil {
		return err
	}
	return writeFile(t.root, name, fileMode(fs.FileMode(e.mode)), body, e.size)
}

// complete checks that what came out can be a driver's source (R3.1).
func (t tree) complete() error {
	for _, name := range []string{"Kbuild", "Makefile"} {
		info, err := t.root.Lstat(path.Join(t.top, name))
		if err == nil && info.Mode().IsRegular() {
			return nil
		}
	}
	return fmt.Errorf("RPM payload: there is neither Kbuild nor Makefile in /%s", t.top)
}

// writeFile writes a new file of that size and mode. One that exists is an error: an archive that brings a name twice
// is not what it seems.
func writeFile(root *os.Root, name string, mode fs.FileMode, body io.Reader, size int64) (err error) {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, body)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if n != size {
		return fmt.Errorf("%s: %w after %d of %d bytes", name, io.ErrUnexpectedEOF, n, size)
	}
	return f.Chmod(mode) // whatever the umask is
}

// makeDirs makes the directories of a path that are not there, with their mode whatever the umask is.
func makeDirs(root *os.Root, name string) error {
	for i := range len(name) + 1 {
		if i < len(name) && name[i] != '/' {
			continue
		}
		dir := name[:i]
		err := root.Mkdir(dir, 0o755)
		if err == nil {
			err = root.Chmod(dir, 0o755)
		} else if info, statErr := root.Lstat(dir); statErr == nil && info.IsDir() {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fileMode reduces a mode to the two that a source file can have.
func fileMode(m fs.FileMode) fs.FileMode {
	if m&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// cleanName turns an archive's name into one below the root, without a leading slash; "." is the root. rpm writes
// "./usr/src", other tools "/usr/src"; both mean the same. A name that needs more than that, such as one with "..", is
// an error.
func cleanName(s string) (string, error) {
	name := strings.TrimPrefix(s, ".")
	if !strings.HasPrefix(name, "/") {
		name = s // it is a name like "usr", ".." or ".config"
	}
	name = strings.TrimSuffix(strings.TrimLeft(name, "/"), "/")
	if name == "" {
		name = "."
	}
	if !fs.ValidPath(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", fmt.Errorf("RPM payload: the name %.200q is not one of a file below the root", s)
	}
	return name, nil
}
