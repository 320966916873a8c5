package module

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"neuron-kmod/internal/kernel"
)

const (
	// MaxOutput bounds what a compile may leave, and with it a module, in bytes. One with debugging information has 10 MB.
	MaxOutput = 64 << 20
	// maxFiles bounds how many files it may leave; depmod makes a dozen.
	maxFiles = 1000
)

// Dir is the directory in which KMM looks for a kernel's module, relative to an image's root and to a compile's output,
// with slashes.
// https://docs.redhat.com/en/documentation/openshift_container_platform/4.19/html/specialized_hardware_and_driver_enablement/kmm-creating-kmod-image_kernel-module-management-operator
func Dir(k kernel.Version) string { return path.Join("opt/lib/modules", k.String()) }

func modulePath(k kernel.Version) string { return path.Join(Dir(k), Name+".ko") }

// inspectOutput inspects the module that a job has left in dir. The container was a foreign image's: what is not a
// plain file in the one right directory, or a link that KMM knows, is refused, and nothing is opened by way of a link.
func inspectOutput(dir string, k kernel.Version) (Info, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Info{}, fmt.Errorf("open the compile's output: %w", err)
	}
	defer root.Close()
	if err := checkTree(root, k); err != nil {
		return Info{}, fmt.Errorf("the compile's output: %w", err)
	}
	f, err := root.Open(modulePath(k))
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, fmt.Errorf("the compile ended well, but has left no %s", modulePath(k))
	}
	if err != nil {
		return Info{}, fmt.Errorf("open the compiled module: %w", err)
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return Info{}, fmt.Errorf("open the compiled module: %w", err)
	}
	info, err := Inspect(f, stat.Size())
	if err != nil {
		return Info{}, fmt.Errorf("inspect %s: %w", modulePath(k), err)
	}
	return info, nil
}

// checkTree refuses output that has other files than a compile leaves.
func checkTree(root *os.Root, k kernel.Version) error {
	files, size := 0, int64(0)
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && path.Dir(name) != Dir(k) || d.IsDir() && !leadsTo(name, Dir(k)) {
			return fmt.Errorf("%q is outside %s", name, Dir(k))
		}
		if files++; files > maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}
		switch {
		case d.IsDir():
			return nil
		case d.Type() == fs.ModeSymlink && path.Base(name) == hostLink:
			return checkHostLink(root, name, k)
		case !d.Type().IsRegular():
			return fmt.Errorf("%q is not a regular file", name)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if size += info.Size(); size > MaxOutput {
			return fmt.Errorf("more than %d MiB", MaxOutput>>20)
		}
		return nil
	})
}

// leadsTo reports whether the directory name is dir or one above it.
func leadsTo(name, dir string) bool {
	return name == "." || name == dir || strings.HasPrefix(dir, name+"/")
}

// hostLink is the link by which a module finds the kernel's own modules, see build-module.sh.
const hostLink = "host"

func checkHostLink(root *os.Root, name string, k kernel.Version) error {
	target, err := root.Readlink(name)
	if err != nil {
		return err
	}
	if want := "/lib/modules/" + k.String(); target != want {
		return fmt.Errorf("%q leads to %q, want %s", name, target, want)
	}
	return nil
}
