package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/module"
	"neuron-kmod/internal/platform/limit"
	"neuron-kmod/internal/version"
)

// depmodFiles is what modprobe reads of depmod's output beside modules.dep:
// https://man7.org/linux/man-pages/man8/depmod.8.html
var depmodFiles = []string{
	"modules.dep", "modules.dep.bin",
	"modules.alias", "modules.alias.bin",
	"modules.symbols", "modules.symbols.bin",
	"modules.softdep",
}

// maxModulesDep bounds what is read of modules.dep: a line for each module of the image.
const maxModulesDep = 1 << 20

// ModulePath is where the module is in a kmod image: KMM's worker runs `modprobe -d /opt neuron` on what it copies out
// of the image.
func ModulePath(k kernel.Version) string {
	return path.Join("/", module.Dir(k), module.Name+".ko")
}

// Verify checks that img is a kmod image of driver d for kernel k: for linux/amd64, with the module and depmod's
// files, with sh, mkdir and cp, and with all labels of R5.2, which have to agree with d, k and the BusyBox inside. It
// reads all layers. The error lists everything that is wrong; it does not look into the module itself.
func Verify(ctx context.Context, img v1.Image, d version.Driver, k kernel.Version) error {
	cfg, err := checkPlatform("the image", img)
	if err != nil {
		return err
	}
	fs, err := readRootfs(ctx, img)
	if err != nil {
		return fmt.Errorf("reading the image: %w", err)
	}
	found, toolErr := fs.kmmTools(cfg.Config.Env)
	busyBox, err := fs.busyBox(ctx, found)
	if err != nil {
		return fmt.Errorf("looking for BusyBox in the image: %w", err)
	}
	return errors.Join(
		toolErr,
		fs.verifyModule(ctx, k),
		verifyLabels(cfg.Config.Labels, d, k),
		verifyBusyBox(cfg.Config.Labels, busyBox),
	)
}

// Module returns the module of an image for kernel k, the content of [ModulePath]. It reads all layers.
func Module(ctx context.Context, img v1.Image, k kernel.Version) ([]byte, error) {
	fs, err := readRootfs(ctx, img)
	if err != nil {
		return nil, fmt.Errorf("reading the image: %w", err)
	}
	n, err := fs.tree.find(ModulePath(k)[1:])
	if err != nil {
		return nil, err
	}
	var data []byte
	err = fs.read(ctx, n, func(r io.Reader) (err error) {
		data, err = limit.ReadAll(r, module.MaxOutput)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", ModulePath(k), err)
	}
	return data, nil
}

func (fs *rootfs) verifyModule(ctx context.Context, k kernel.Version) error {
	var errs []error
	for _, name := range append([]string{"neuron.ko"}, depmodFiles...) {
		p := path.Join(module.Dir(k), name)
		n, err := fs.tree.find(p)
		switch {
		case err != nil:
			errs = append(errs, err)
		case !n.isRegular():
			errs = append(errs, fmt.Errorf("it has no file /%s", p))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return fs.verifyDepends(ctx, path.Join(module.Dir(k), "modules.dep"))
}

// verifyDepends checks that depmod saw the module: modprobe finds it by this line only.
func (fs *rootfs) verifyDepends(ctx context.Context, p string) error {
	n, err := fs.tree.find(p)
	if err != nil {
		return err
	}
	known := false
	err = fs.read(ctx, n, func(r io.Reader) error {
		lines := bufio.NewScanner(io.LimitReader(r, maxModulesDep))
		lines.Buffer(nil, maxModulesDep)
		for lines.Scan() {
			known = known || strings.HasPrefix(lines.Text(), "neuron.ko:")
		}
		return lines.Err()
	})
	if err != nil {
		return fmt.Errorf("reading /%s: %w", p, err)
	}
	if !known {
		return fmt.Errorf("/%s does not name neuron.ko: depmod did not see the module", p)
	}
	return nil
}

func verifyLabels(labels map[string]string, d version.Driver, k kernel.Version) error {
	var errs []error
	for _, want := range []struct{ name, value string }{
		{LabelVersion, d.String()}, {LabelDriver, d.String()}, {LabelKernel, k.String()},
	} {
		if got := labels[want.name]; got != want.value {
			errs = append(errs, fmt.Errorf("label %s is %q, not %q", want.name, got, want.value))
		}
	}
	for _, name := range []string{LabelSource, LabelDriverSource, LabelDriverLicense, LabelDriverCopyright} {
		if labels[name] == "" {
			errs = append(errs, fmt.Errorf("label %s is not there", name))
		}
	}
	if _, err := time.Parse(time.RFC3339, labels[LabelCreated]); err != nil {
		errs = append(errs, fmt.Errorf("label %s is %q, not a time in ISO 8601", LabelCreated, labels[LabelCreated]))
	}
	return errors.Join(errs...)
}

// verifyBusyBox holds the busybox labels against the binary in the image.
func verifyBusyBox(labels map[string]string, inside string) error {
	var errs []error
	if got := labels[LabelBusyBoxVersion]; got != inside {
		errs = append(errs,
			fmt.Errorf("label %s is %q, but the BusyBox in the image is %q", LabelBusyBoxVersion, got, inside))
	}
	for _, name := range []string{LabelBusyBoxSource, LabelBusyBoxLicense, LabelBusyBoxCopyright} {
		if (labels[name] != "") != (inside != "") {
			errs = append(errs, fmt.Errorf("label %s is %q, but the BusyBox in the image is %q", name, labels[name], inside))
		}
	}
	return errors.Join(errs...)
}
