package image

import (
	"context"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func kmodImage(t testing.TB) (v1.Image, LabelInput) {
	t.Helper()
	base := busyBoxBase(t)
	in := testLabels(t, base, "1.36.1")
	img, err := Assemble(context.Background(), kmodSpec(t, base, in))
	if err != nil {
		t.Fatal(err)
	}
	return img, in
}

// R5.1-R5.3: what was assembled is what KMM needs.
func TestVerify(t *testing.T) {
	img, in := kmodImage(t)
	if err := Verify(context.Background(), img, in.Driver, in.Kernel); err != nil {
		t.Error(err)
	}
	if got := ModulePath(in.Kernel); got != "/opt/lib/modules/5.14.0-570.96.1.el9_6.x86_64+rt/neuron.ko" {
		t.Errorf("ModulePath = %s", got)
	}
	// Without BusyBox there are no labels of it, whatever the base says.
	base := baseOf(t, docker, func(c *v1.ConfigFile) {
		c.Config.Labels = map[string]string{LabelBusyBoxVersion: "1.0", LabelBusyBoxLicense: "of the base"}
	}, entries{file("bin/sh", "x"), file("bin/cp", "x"), file("bin/mkdir", "x")})
	in = testLabels(t, base, "")
	img, err := Assemble(context.Background(), kmodSpec(t, base, in))
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(context.Background(), img, in.Driver, in.Kernel); err != nil {
		t.Error(err)
	}
}

// R5.2, R5.3, R10.1: every way in which an image can be wrong is said, all at once.
func TestVerifyFindsFaults(t *testing.T) {
	good, in := kmodImage(t)
	modules := "opt/lib/modules/" + in.Kernel.String() + "/"
	over := func(e ...entries) func(v1.Image) v1.Image {
		return func(img v1.Image) v1.Image {
			for _, l := range e {
				var err error
				if img, err = mutate.AppendLayers(img, l.layer(t, types.OCILayer)); err != nil {
					t.Fatal(err)
				}
			}
			return img
		}
	}
	label := func(name, value string) func(v1.Image) v1.Image {
		return withConfig(t, func(c *v1.ConfigFile) { c.Config.Labels[name] = value })
	}
	tests := map[string]struct {
		change func(v1.Image) v1.Image
		want   []string
	}{
		"no module":             {over(entries{file(modules+".wh.neuron.ko", "")}), []string{"it has no file /" + modules + "neuron.ko"}},
		"module is a directory": {over(entries{file(modules+".wh.neuron.ko", "")}, entries{dir(modules + "neuron.ko")}), []string{"it has no file /" + modules + "neuron.ko"}},
		"nothing of depmod":     {over(entries{file(modules+".wh..wh..opq", ""), file(modules+"neuron.ko", "x")}), []string{"modules.dep\n", "modules.alias.bin\n", "modules.symbols.bin\n"}},
		"depmod ran without":    {over(entries{file(modules+"modules.dep", "other.ko:\n")}), []string{"modules.dep does not name neuron.ko"}},
		"no shell":              {over(entries{file("bin/.wh.sh", "")}), []string{"it has no /bin/sh"}},
		"another driver":        {label(LabelVersion, "2.24.6.0"), []string{`label org.opencontainers.image.version is "2.24.6.0", not "2.24.7.0"`}},
		"another kernel":        {label(LabelKernel, "6.1.0"), []string{`label kernel-version is "6.1.0"`}},
		"no time":               {label(LabelCreated, "yesterday"), []string{`label org.opencontainers.image.created is "yesterday"`}},
		"another BusyBox":       {label(LabelBusyBoxVersion, "1.35.0"), []string{`label busybox.version is "1.35.0", but the BusyBox in the image is "1.36.1"`}},
		"no labels": {withConfig(t, func(c *v1.ConfigFile) { c.Config.Labels = nil }), []string{
			"neuron-driver-version", "neuron-driver.source is not there", "neuron-driver.license", "neuron-driver.copyright",
			"image.source is not there", "image.created", "busybox.version", "busybox.source", "busybox.license", "busybox.copyright",
		}},
		"another platform": {withConfig(t, func(c *v1.ConfigFile) { c.Architecture = "arm64" }), []string{"linux/arm64"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := Verify(context.Background(), tt.change(good), in.Driver, in.Kernel)
			if err == nil {
				t.Fatal("nothing is found")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error()+"\n", want) {
					t.Errorf("error does not say %q:\n%v", want, err)
				}
			}
		})
	}
}
