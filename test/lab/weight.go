package lab

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// RealWeight is how many files Heavier has to add so that the lab's driver costs about what the real 2.24.7.0 does, 28
// CPU-seconds: it has 14 of its own, for about 10.
const RealWeight = 24

// Heavier is an edit of a driver's source: n more files, each as much work for the compiler as one of the driver's own.
func Heavier(n int) func(Files) {
	return func(f Files) {
		for i := range n {
			name := fmt.Sprintf("neuron_bulk_%d", i)
			f[name+".c"] = fmt.Appendf(nil,
				"// SPDX-License-Identifier: GPL-2.0\nint %[1]s(int x);\nint %[1]s(int x)\n{\n\treturn x + %d;\n}\n", name, i)
			f["Kbuild"] = fmt.Appendf(f["Kbuild"], "neuron-objs += %s.o\n", name)
		}
	}
}

// InUnits is an edit of a driver's source: all of its code, but for the compiler in n files, which include the driver's
// own. Most of a file's cost is the kernel's headers, so that few files take a fraction of the time.
func InUnits(n int) func(Files) {
	return func(f Files) {
		units := make([][]byte, n)
		sources := slices.DeleteFunc(slices.Sorted(maps.Keys(f)),
			func(name string) bool { return !strings.HasSuffix(name, ".c") })
		for i, name := range sources {
			units[i%n] = fmt.Appendf(units[i%n], "#include %q\n", name)
		}
		var kbuild []byte
		for line := range bytes.Lines(f["Kbuild"]) {
			if !bytes.HasPrefix(line, []byte("neuron-objs ")) {
				kbuild = append(kbuild, line...)
			}
		}
		for i, text := range units {
			name := fmt.Sprintf("neuron_unit_%d", i)
			f[name+".c"] = text
			kbuild = fmt.Appendf(kbuild, "neuron-objs += %s.o\n", name)
		}
		f["Kbuild"] = kbuild
	}
}
