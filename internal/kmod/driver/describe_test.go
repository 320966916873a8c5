package driver

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The description has the files, the devices in the order of their IDs, and the rules that are for the driver with what
// they would find.
func TestDescribe(t *testing.T) {
	files := map[string]string{
		"Kbuild": "obj-m += neuron.o\n",
		"neuron_device.h": "#define TRN2_DEVICE_ID0 0x7364\n  # define\tINF2_DEVICE_ID0\t0x7264 // twice\n" +
			"#define INF2_DEVICE_ID0 0x7264\n#define NEURON_IOCTL_HOST_DEVICE_ID _IOR(1)\n" +
			"#define FW_IO_REG_DEVICE_ID_OFFSET 0x10\n/* #define */ X_DEVICE_ID 0x1\n#define Y_DEVICE_ID 0x12345\n",
		"neuron_pci.c":  "#define TRN1_DEVICE_ID0 0x7164\n",
		"notes.txt":     "#define OLD_DEVICE_ID0 0x7000\n",
		"neuron_cdev.c": "RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 5)\n",
	}
	v := mustDriver(t, "2.24.7.0")
	path := writeTemp(t, FileName(v), packRPM(t, "2.24.7.0", "gzip", files))
	s, err := Unpack(t.Context(), asProven(t, path, v), filepath.Join(t.TempDir(), "source"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Describe()
	if err != nil {
		t.Fatal(err)
	}
	var got []File
	for _, name := range names(files) {
		got = append(got, File{name, int64(len(files[name]))})
	}
	if diff := cmp.Diff(got, d.Files); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Device{{"TRN1", 0x7164}, {"INF2", 0x7264}, {"TRN2", 0x7364}}, d.Devices); diff != "" {
		t.Error(diff)
	}
	if len(d.Rules) != 1 || d.Rules[0].Rule.Name != "class-show" || d.Rules[0].Found != 1 || d.Rules[0].Fits() {
		t.Errorf("rules %+v, want class-show, which finds its text once and not twice", d.Rules)
	}
}
