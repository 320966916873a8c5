package lab

import "fmt"

// RealWeight is how many files Heavier has to add so that the lab's driver costs
// about what the real 2.24.7.0 does, 28 CPU-seconds: it has 14 of its own, for
// about 10.
const RealWeight = 24

// Heavier is an edit of a driver's source: n more files, each as much work for
// the compiler as one of the driver's own.
func Heavier(n int) func(Files) {
	return func(f Files) {
		for i := range n {
			name := fmt.Sprintf("neuron_bulk_%d", i)
			f[name+".c"] = fmt.Appendf(nil, "// SPDX-License-Identifier: GPL-2.0\nint %[1]s(int x);\nint %[1]s(int x)\n{\n\treturn x + %d;\n}\n", name, i)
			f["Kbuild"] = fmt.Appendf(f["Kbuild"], "neuron-objs += %s.o\n", name)
		}
	}
}
