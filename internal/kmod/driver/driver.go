// Package driver holds the Neuron driver's source: it fetches the package, checks and unpacks it without any outside
// program, and prepares a copy of the source for one kernel by rules that are data.
//
// A package is hostile until it has been checked: every size that it states is bounded before it is believed, and
// nothing in it can be written outside the directory it is unpacked into. This package knows nothing of containers,
// images or registries, and does not read the environment.
package driver

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// packageName is the NAME of the driver's package. The release part of its NEVRA ("dkms") is not in the file's name:
// https://github.com/aws-neuron/aws-neuron-driver/blob/main/aws-neuronx-dkms-mkrpm.spec
const packageName = "aws-neuronx-dkms"

// Source is the driver's source as the package brought it. Nothing in this package changes it once Unpack has returned
// it; what is built is a copy that Prepare makes.
type Source struct {
	Version version.Driver
	Dir     string    // the directory with Kbuild and the C files
	Made    time.Time // when the package was made, in UTC, as its header says; zero where it says nothing
}

// FileName returns the name of the file that holds a version's package.
func FileName(v version.Driver) string {
	return packageName + "-" + v.String() + ".noarch.rpm"
}

// treePath is where the package holds the source, below the root and with slashes.
func treePath(v version.Driver) string {
	return "usr/src/aws-neuronx-" + v.String()
}

// explainDisk names the directory whose file system is full, which the error of a write does not do.
func explainDisk(err error, dir string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("the disk that holds %s is full: %w", dir, err)
		return fault.Wrap(err,
			fmt.Sprintf("free some space on the disk that holds %s, or point the program at another one", dir))
	}
	return err
}
