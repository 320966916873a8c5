package driver

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
)

// SourceDigest names what a module was compiled from: the prepared source in the directory dir, by the names, bytes and
// execute bits of all that is in it, and the script that compiles it. It is "sha256:" and 64 hexadecimal digits. Images
// carry it as a label for ever, so what goes into it must not change.
func SourceDigest(dir, script string) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "script %d\n%s\n", len(script), script)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("read the prepared source: %w", err)
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return addToDigest(sum, root, name, d)
	})
	if err := errors.Join(err, root.Close()); err != nil {
		return "", fmt.Errorf("read the prepared source: %w", err)
	}
	return fmt.Sprintf("sha256:%x", sum.Sum(nil)), nil
}

func addToDigest(sum hash.Hash, root *os.Root, name string, d fs.DirEntry) (err error) {
	if d.IsDir() {
		fmt.Fprintf(sum, "folder %q\n", name)
		return nil
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file or a folder", name)
	}
	fmt.Fprintf(sum, "file %q %#o %d\n", name, fileMode(info.Mode()), info.Size())
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(sum, f)
	return err
}
