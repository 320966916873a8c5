package lab

import (
	"archive/tar"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kernel"
)

// contents reads a layer: regular files by name, links as "-> TARGET".
func contents(t *testing.T, l *layer) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := eachLayerEntry(l, func(h *tar.Header, body io.Reader) error {
		switch h.Typeflag {
		case tar.TypeReg:
			data, err := io.ReadAll(body)
			got[h.Name] = string(data)
			return err
		case tar.TypeSymlink:
			got[h.Name] = "-> " + h.Linkname
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// makeLayer makes a layer of files; a text that begins with "-> " is a link.
func makeLayer(t *testing.T, files map[string]string, order ...string) *layer {
	t.Helper()
	dir := t.TempDir()
	w, err := newLayerWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range order {
		if target, ok := strings.CutPrefix(files[name], "-> "); ok {
			err = w.symlink(name, target)
		} else {
			err = w.write(name, 0o644, []byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	l, err := openLayer(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A stand-in has RHEL's name, macros and backports, and nothing else is changed.
func TestRHELKernelLayer(t *testing.T) {
	const base = "6.1.0-50-amd64"
	const own, common = "usr/src/linux-headers-" + base + "/", "usr/src/linux-headers-6.1.0-50-common/"
	files := map[string]string{
		own + "include/generated/utsrelease.h":         `#define UTS_RELEASE "6.1.0-50-amd64"`,
		own + "include/generated/uapi/linux/version.h": "#define LINUX_VERSION_CODE 393216",
		own + "include/config/kernel.release":          "6.1.170\n",
		own + ".kernelvariables":                       "override KERNELRELEASE = 6.1.0-50-amd64",
		own + "Makefile":                               "include /" + common + "Makefile",
		own + "Module.symvers":                         "0x1\tmm_get_unmapped_area\tvmlinux\n",
		common + "include/linux/device/class.h":        "(*show)(struct class *class, struct class_attribute *attr,",
		"usr/lib/modules/" + base + "/vmlinuz":         "image",
		"usr/lib/modules/" + base + "/build":           "-> /usr/src/linux-headers-" + base,
	}
	var order []string
	for name := range files {
		order = append(order, name)
	}
	k := rhelKernel{Name: "5.14.0-427.68.2.el9_4.x86_64", ConstClassShow: true, NoPlacement: true}
	got, err := rhelKernelLayer(t.Context(), testStore(t), k, base, makeLayer(t, files, order...))
	if err != nil {
		t.Fatal(err)
	}
	root := "usr/src/" + k.Name + "/"
	want := map[string]string{
		root + "include/generated/utsrelease.h":  `#define UTS_RELEASE "` + k.Name + `"`,
		root + "include/config/kernel.release":   k.Name + "\n",
		root + ".kernelvariables":                "override KERNELRELEASE = " + k.Name,
		root + "Makefile":                        files[own+"Makefile"],
		root + "Module.symvers":                  "0x1\tmm_get_unmapped_area_not_exported\tvmlinux\n",
		common + "include/linux/device/class.h":  "(*show)(const struct class *class, const struct class_attribute *attr,",
		"usr/lib/modules/" + k.Name + "/vmlinuz": "image",
		"usr/lib/modules/" + k.Name + "/build":   "-> /usr/src/" + k.Name,
	}
	all := contents(t, got)
	version := all[root+"include/generated/uapi/linux/version.h"]
	delete(all, root+"include/generated/uapi/linux/version.h")
	if d := cmp.Diff(want, all); d != "" {
		t.Errorf("layer differs (-want +got):\n%s", d)
	}
	for _, line := range []string{
		"#define LINUX_VERSION_CODE 331264\n", "#define RHEL_RELEASE_CODE 2308\n", "#define RHEL_MINOR 4\n",
	} {
		if !strings.Contains(version, line) {
			t.Errorf("version.h lacks %q:\n%s", line, version)
		}
	}
}

func TestRHELKernelsAreWhatTheyAreNamed(t *testing.T) {
	for _, k := range rhelKernels {
		v, err := kernel.Parse(k.Name)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, ok := v.RHEL(); !ok || flavourNames[k.From] == nil {
			t.Errorf("%+v: not a RHEL kernel made from a flavour", k)
		}
	}
}

// The same files give the same layer, whatever else differs.
func TestLayersAreReproducible(t *testing.T) {
	files := map[string]string{"a/b": "text", "a/c": "-> b"}
	one, two := makeLayer(t, files, "a/b", "a/c"), makeLayer(t, files, "a/b", "a/c", "a/b")
	if d := cmp.Diff(one.meta, two.meta); d != "" {
		t.Errorf("layers differ:\n%s", d)
	}
	if other := makeLayer(t, map[string]string{"a/b": "other"}, "a/b"); other.meta == one.meta {
		t.Error("different files give the same layer")
	}
}
