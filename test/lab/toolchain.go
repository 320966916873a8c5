package lab

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"strings"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

// toolchainPackages are what a DTK has to compile a module and to run depmod and modinfo.
var toolchainPackages = []string{"bash", "binutils", "gcc-12", "kmod", "libelf1", "make", "xz-utils"}

// toolchainRecipe changes when toolchainLayer makes something else.
const toolchainRecipe = "toolchain layer 1"

// toolchainLayer makes the layer that all DTK stand-ins share: a minimal Debian with the compiler that built the
// kernels.
func toolchainLayer(ctx context.Context, s *store) (*layer, error) {
	recipe := strings.Join(append([]string{toolchainRecipe, debianRelease}, toolchainPackages...), " ")
	dir, err := s.make(ctx, "toolchain", recipe, func(ctx context.Context, dir string) error {
		sources, err := aptSources(ctx)
		if err != nil {
			return err
		}
		w, err := newLayerWriter(dir)
		if err != nil {
			return err
		}
		c := command.Cmd{
			Name: "mmdebstrap",
			Args: append([]string{
				"--quiet", "--variant=minbase", "--format=tar", "--include=" + strings.Join(toolchainPackages, ","),
				debianRelease, "-",
			}, sources...),
			Dir: dir,
		}
		err = stream(ctx, c, func(r io.Reader) error {
			return eachEntry(r, func(h *tar.Header, body io.Reader) error { return addToolchainFile(w, h, body) })
		})
		if err != nil {
			return fault.Wrap(err,
				"mmdebstrap comes with scripts/setup.sh; without root it needs user namespaces (package uidmap)")
		}
		return errors.Join(w.symlink("usr/bin/gcc", "gcc-12"), w.close())
	})
	if err != nil {
		return nil, err
	}
	return openLayer(dir)
}

// toolchainLeaves are the parts of a Debian that no compile of a module needs, and what would tell where the lab was
// made (apt's sources, resolv.conf, host name).
var toolchainLeaves = []string{
	"dev/", "run/", "tmp/", "proc/", "sys/", "var/",
	"etc/apt/", "etc/resolv.conf", "etc/hostname", "etc/hosts", "etc/machine-id",
	"usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/info/", "usr/share/i18n/",
	"usr/share/zoneinfo/", "usr/share/perl/", "usr/lib/x86_64-linux-gnu/perl/", "usr/lib/x86_64-linux-gnu/gconv/",
	"usr/lib/x86_64-linux-gnu/libasan.", "usr/lib/x86_64-linux-gnu/libtsan.", "usr/lib/x86_64-linux-gnu/liblsan.",
	"usr/lib/x86_64-linux-gnu/libubsan.", "usr/lib/x86_64-linux-gnu/libperl.", "usr/lib/x86_64-linux-gnu/gprofng/",
	"usr/lib/x86_64-linux-gnu/libgprofng.", "usr/lib/gcc/x86_64-linux-gnu/12/lto1",
	"usr/lib/gcc/x86_64-linux-gnu/12/libasan", "usr/lib/gcc/x86_64-linux-gnu/12/libtsan",
	"usr/lib/gcc/x86_64-linux-gnu/12/liblsan", "usr/lib/gcc/x86_64-linux-gnu/12/libubsan",
	"usr/bin/x86_64-linux-gnu-lto-dump-12", "usr/bin/x86_64-linux-gnu-ld.gold", "usr/bin/x86_64-linux-gnu-dwp",
}

func addToolchainFile(w *layerWriter, h *tar.Header, body io.Reader) error {
	name := strings.TrimPrefix(h.Name, "./")
	for _, leave := range toolchainLeaves {
		if strings.HasPrefix(name, leave) && (name != leave || !strings.HasSuffix(leave, "/")) {
			return nil // the directories themselves stay
		}
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink:
		return w.entry(*h, body)
	}
	return nil
}
