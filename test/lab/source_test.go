package lab

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sassoftware/go-rpmutils"

	"neuron-kmod/internal/version"
)

func driverVersion(t *testing.T, s string) version.Driver {
	t.Helper()
	v, err := version.ParseDriver(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The texts that the patch rules look for are there in the drivers that have them and only there.
func TestDriverSourceHasTheTextsOfItsVersion(t *testing.T) {
	tests := []struct {
		file, text string
		count      map[string]int
	}{
		{"neuron_cdev.c", "KERNEL_VERSION(6, 4, 0)", map[string]int{"2.18.11.0": 1}},
		{
			"neuron_cdev.c", "RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 5)",
			map[string]int{"2.18.11.0": 0, "2.22.2.0": 2, "2.28.0.0": 2},
		},
		{"neuron_cdev.c", ".get_unmapped_area = ncdev_get_unmapped_area,", map[string]int{"2.24.7.0": 0, "2.28.0.0": 1}},
		{"neuron_cdev.c", "static unsigned long ncdev_get_unmapped_area(", map[string]int{"2.24.7.0": 0, "2.28.0.0": 1}},
		{
			"neuron_mmap.h", "mm_get_unmapped_area(current->mm, filep, addr, len, pgoff, flags)",
			map[string]int{"2.24.7.0": 0, "2.28.0.0": 1},
		},
		{
			"neuron_mmap.h", "current->mm->get_unmapped_area(filep, addr, len, pgoff, flags)",
			map[string]int{"2.24.7.0": 0, "2.28.0.0": 1},
		},
	}
	for _, tt := range tests {
		for v, want := range tt.count {
			files, err := DriverSource(driverVersion(t, v))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Count(string(files[tt.file]), tt.text); got != want {
				t.Errorf("driver %s: %s has %q %d times, want %d", v, tt.file, tt.text, got, want)
			}
		}
	}
}

func TestDriverRPM(t *testing.T) {
	v := driverVersion(t, "2.24.7.0")
	for _, compressor := range []string{"", "gzip", "xz", "zstd"} {
		t.Run("compressor="+compressor, func(t *testing.T) {
			spec := RPMSpec{Version: v, Compressor: compressor, Edit: func(f Files) { f["extra/note.txt"] = []byte("hello") }}
			first, err := DriverRPM(spec)
			if err != nil {
				t.Fatal(err)
			}
			second, err := DriverRPM(spec)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, second) {
				t.Error("two RPMs of one spec differ")
			}
			rpm, err := rpmutils.ReadRpm(bytes.NewReader(first))
			if err != nil {
				t.Fatal(err)
			}
			nevra, err := rpm.Header.GetNEVRA()
			if err != nil {
				t.Fatal(err)
			}
			if nevra.Name != "aws-neuronx-dkms" || nevra.Version != "2.24.7.0" || nevra.Arch != "noarch" {
				t.Errorf("NEVRA = %v", nevra)
			}
			want, err := DriverSource(v)
			if err != nil {
				t.Fatal(err)
			}
			want["extra/note.txt"] = []byte("hello")
			if d := cmp.Diff(want, unpack(t, rpm)); d != "" {
				t.Errorf("payload differs (-want +got):\n%s", d)
			}
		})
	}
}

// unpack reads an RPM's regular files, by path within the driver's directory.
func unpack(t *testing.T, rpm *rpmutils.Rpm) Files {
	t.Helper()
	payload, err := rpm.PayloadReaderExtended()
	if err != nil {
		t.Fatal(err)
	}
	got := Files{}
	for {
		info, err := payload.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&0o170000 != 0o100000 {
			continue
		}
		body, err := io.ReadAll(payload)
		if err != nil {
			t.Fatal(err)
		}
		got[strings.TrimPrefix(info.Name(), "/usr/src/aws-neuronx-2.24.7.0/")] = body
	}
}

// All of the driver's code is in the units, and only the units are compiled.
func TestInUnits(t *testing.T) {
	files, err := DriverSource(driverVersion(t, "2.24.7.0"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for name := range files {
		if strings.HasSuffix(name, ".c") {
			want = append(want, "#include \""+name+"\"")
		}
	}
	InUnits(2)(files)
	var got []string
	for _, unit := range []string{"neuron_unit_0.c", "neuron_unit_1.c"} {
		lines := strings.Split(strings.TrimSpace(string(files[unit])), "\n")
		if len(lines) < 2 {
			t.Errorf("%s: %q", unit, lines)
		}
		got = append(got, lines...)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	kbuild := string(files["Kbuild"])
	if strings.Count(kbuild, "neuron-objs") != 2 || !strings.Contains(kbuild, "neuron_unit_1.o") ||
		!strings.Contains(kbuild, "-Werror") {
		t.Errorf("Kbuild:\n%s", kbuild)
	}
}
