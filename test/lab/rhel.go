package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"neuron-kmod/internal/kernel"
)

// rhelKernel is a stand-in for a RHEL kernel: a Debian kernel's headers under RHEL's name and with its
// release macros, changed where Red Hat's kernel of that release differs in what the driver uses.
type rhelKernel struct {
	Name string
	From Flavour
	// ConstClassShow: class attributes have const signatures, which Red Hat backported from 6.4.
	ConstClassShow bool
	// NoPlacement: mm_get_unmapped_area is not exported to modules.
	NoPlacement bool
}

// rhelKernels are the lab's. 9.4 has a mm that places mappings itself (before 6.10) and const signatures;
// 9.6 and Stream have the function but do not export it; 10.0 is close to 6.12 as it was released.
var rhelKernels = []rhelKernel{
	{Name: "5.14.0-427.68.2.el9_4.x86_64", From: Plain, ConstClassShow: true},
	{Name: "5.14.0-570.96.1.el9_6.x86_64", From: Plus, NoPlacement: true},
	{Name: "5.14.0-687.el9.x86_64", From: Plus, NoPlacement: true},
	{Name: "5.14.0-427.68.2.el9_4.x86_64+rt", From: RealTime, ConstClassShow: true},
	{Name: "6.12.0-55.43.1.el10_0.x86_64", From: Plus},
}

// rhelRecipe changes when rhelKernelLayer makes something else.
const rhelRecipe = "rhel kernel layer 1"

// rhelKernelLayer makes the layer of a stand-in out of the layer of the Debian kernel it comes from.
func rhelKernelLayer(ctx context.Context, s *store, k rhelKernel, base string, from *layer) (*layer, error) {
	version, err := kernel.Parse(k.Name)
	if err != nil {
		return nil, err
	}
	release, ok := version.RHEL()
	if !ok {
		return nil, fmt.Errorf("%s is not the name of a RHEL kernel", k.Name)
	}
	recipe := fmt.Sprintf("%s %+v %s", rhelRecipe, k, from.meta.Digest)
	dir, err := s.make(ctx, "kernel-"+k.Name, recipe, func(ctx context.Context, dir string) error {
		w, err := newLayerWriter(dir)
		if err != nil {
			return err
		}
		err = eachLayerEntry(from, func(h *tar.Header, body io.Reader) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return k.addFile(w, base, release, h, body)
		})
		if err != nil {
			return err
		}
		return w.close()
	})
	if err != nil {
		return nil, err
	}
	return openLayer(dir)
}

// addFile copies an entry under the stand-in's name. The depth of the directories stays: the links are relative.
func (k rhelKernel) addFile(w *layerWriter, base string, r kernel.Release, h *tar.Header, body io.Reader) error {
	rename := strings.NewReplacer("linux-headers-"+base, k.Name, "modules/"+base, "modules/"+k.Name)
	if strings.Contains(h.Name, base+"/") || strings.HasSuffix(h.Name, base) {
		h.Name = rename.Replace(h.Name)
	}
	if strings.HasSuffix(h.Linkname, base) {
		h.Linkname = rename.Replace(h.Linkname)
	}
	edit := k.edit(base, r, h.Name)
	if edit == nil || h.Typeflag != tar.TypeReg {
		return w.entry(*h, body)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	changed, err := edit(data)
	if err != nil {
		return err
	}
	h.Size = int64(len(changed))
	return w.entry(*h, bytes.NewReader(changed))
}

// edit is what has to change in a file, nil if nothing.
func (k rhelKernel) edit(base string, r kernel.Release, name string) func([]byte) ([]byte, error) {
	own := strings.HasPrefix(name, "usr/src/"+k.Name+"/")
	switch {
	case own && strings.HasSuffix(name, "/include/config/kernel.release"):
		return func([]byte) ([]byte, error) { return []byte(k.Name + "\n"), nil }
	case own && (strings.HasSuffix(name, "/utsrelease.h") || strings.HasSuffix(name, "/.kernelvariables")):
		return replacing(base, k.Name)
	case own && strings.HasSuffix(name, "/generated/uapi/linux/version.h"):
		return func([]byte) ([]byte, error) { return versionHeader(k.Name, r) }
	case own && strings.HasSuffix(name, "/Module.symvers") && k.NoPlacement:
		return replacing("\tmm_get_unmapped_area\t", "\tmm_get_unmapped_area_not_exported\t")
	case strings.HasSuffix(name, "/include/linux/device/class.h") && k.ConstClassShow:
		return replacing("(struct class *class, struct class_attribute *attr,",
			"(const struct class *class, const struct class_attribute *attr,")
	}
	return nil
}

// replacing replaces a text that has to be there.
func replacing(from, to string) func([]byte) ([]byte, error) {
	return func(data []byte) ([]byte, error) {
		if !bytes.Contains(data, []byte(from)) {
			return nil, fmt.Errorf("has no %q to replace", from)
		}
		return bytes.ReplaceAll(data, []byte(from), []byte(to)), nil
	}
}

// versionHeader is linux/version.h as a RHEL kernel generates it.
func versionHeader(name string, r kernel.Release) ([]byte, error) {
	var major, patch, sub int
	if _, err := fmt.Sscanf(name, "%d.%d.%d-", &major, &patch, &sub); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", name, err)
	}
	minor := r.Minor
	if r.Stream {
		minor = 9 // what Stream is made into is always ahead of the releases
	}
	return fmt.Appendf(nil, `#define LINUX_VERSION_CODE %d
#define KERNEL_VERSION(a,b,c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
#define LINUX_VERSION_MAJOR %d
#define LINUX_VERSION_PATCHLEVEL %d
#define LINUX_VERSION_SUBLEVEL %d
#define RHEL_MAJOR %d
#define RHEL_MINOR %d
#define RHEL_RELEASE_VERSION(a,b) (((a) << 8) + (b))
#define RHEL_RELEASE_CODE %d
#define RHEL_RELEASE "%s"
`, major<<16+patch<<8+sub, major, patch, sub, r.Major, minor, r.Major<<8+minor, name), nil
}
