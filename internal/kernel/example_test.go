package kernel_test

import (
	"fmt"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

// The tag of an image names the driver and the kernel; what a tag cannot hold becomes "_", as KMM does it.
func ExampleTag() {
	driver, err := version.ParseDriver("2.24.7.0")
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"5.14.0-570.96.1.el9_6.x86_64", "5.14.0-570.96.1.el9_6.x86_64+rt"} {
		k, err := kernel.Parse(name)
		if err != nil {
			panic(err)
		}
		tag, err := kernel.Tag(driver, k)
		if err != nil {
			panic(err)
		}
		fmt.Println(tag)
	}
	// Output:
	// 2.24.7.0-5.14.0-570.96.1.el9_6.x86_64
	// 2.24.7.0-5.14.0-570.96.1.el9_6.x86_64_rt
}
