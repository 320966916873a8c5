package driver

import (
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

// Rule is one textual change of one file of the driver's source, for certain drivers on certain kernels. Kernels that
// are not RHEL's get no rule: the driver compiles for them as it is.
//
// Find is exact text, whitespace included. It must occur Min to Max times where the rule applies and is replaced
// everywhere; any other count is an error, because a change that silently no longer happens is how such rules rot.
type Rule struct {
	Name          string
	Drivers       Range
	RHEL          ReleaseRange
	File          string // below the source's directory, with slashes
	Find, Replace string
	Min, Max      int
	Reason        string // for people: what breaks without it
}

// applies reports whether the rule is for a driver and a kernel.
func (r Rule) applies(v version.Driver, k kernel.Version) bool {
	release, ok := k.RHEL()
	return ok && r.Drivers.Contains(v) && r.RHEL.Contains(release)
}

// Rules returns the rules in the order they are applied. How often each text occurs was counted in the sources that AWS
// published, as collected in https://github.com/wombelix/aws-neuron-driver and
// https://github.com/aws-neuron/aws-neuron-driver; the same changes are made by container/build-module.sh of
// https://github.com/awslabs/kmod-with-kmm-for-ai-chips-on-aws.
func Rules() []Rule {
	return append([]Rule{classCreate(), classShow()}, unmappedArea()...)
}

// 2.16.7.0 and 2.17.17.0 have the text once, where they create their class. 2.15.9.0 and older have no such test and no
// rule could make them compile on RHEL 9, so that there is no lower bound: for them the rule fails and says so.
func classCreate() Rule {
	return Rule{
		Name:    "class-create",
		Drivers: Range{Before: driverVersion("2.18.12.0")},
		RHEL:    rhel(9, 0, 10, 0),
		File:    "neuron_cdev.c",
		Find:    "KERNEL_VERSION(6, 4, 0)",
		Replace: "KERNEL_VERSION(5, 14, 0)",
		Min:     1, Max: 1,
		Reason: "the driver tests for kernel 6.4.0 to tell which signatures the class functions have; " +
			"RHEL 9 (5.14.0) has that change backported",
	}
}

// 2.22.2.0 has the test twice, 2.23.9.0 and later three times. From 9.5 on it is true as it stands.
func classShow() Rule {
	return Rule{
		Name:    "class-show",
		Drivers: Range{From: driverVersion("2.22.2.0")},
		RHEL:    rhel(9, 4, 9, 5),
		File:    "neuron_cdev.c",
		Find:    "RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 5)",
		Replace: "RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 4)",
		Min:     2, Max: 3,
		Reason: "the driver declares its class show functions with const arguments from RHEL 9.5 on; 9.4 needs them as well",
	}
}

// unmappedArea is one change in four places: the driver's own placement of a mapping needs kernel functions that
// modules cannot link from RHEL 9.6 on, so the kernel places it. The helper reduces to the address, the file operation
// to NULL, and its function is marked as unused, since the driver compiles with -Werror.
//
// The helper's texts were seen in a published header, which has each once; those of neuron_cdev.c are the ones that the
// shell script replaces. Should a release differ, its builds fail by the rule's name.
//
// CentOS Stream 9 is what the next 9.x is made from, so it is included. RHEL 10 is not: whether its kernel (6.12) lets
// a module link them is to be answered by a compile, not assumed. Until it has been, its builds either work as the
// source stands or fail with the linker's words.
func unmappedArea() []Rule {
	rule := func(part, file, find, replace string) Rule {
		return Rule{
			Name:    "unmapped-area/" + part,
			Drivers: Range{From: driverVersion("2.28.0.0")},
			RHEL:    rhel(9, 6, 10, 0),
			File:    file, Find: find, Replace: replace, Min: 1, Max: 1,
			Reason: "the driver's get_unmapped_area operation uses kernel functions that modules cannot link from RHEL 9.6 on",
		}
	}
	return []Rule{
		rule("helper-mm", "neuron_mmap.h",
			"mm_get_unmapped_area(current->mm, filep, addr, len, pgoff, flags)", "(addr)"),
		rule("helper-field", "neuron_mmap.h",
			"current->mm->get_unmapped_area(filep, addr, len, pgoff, flags)", "(addr)"),
		rule("operation", "neuron_cdev.c",
			".get_unmapped_area = ncdev_get_unmapped_area,", ".get_unmapped_area = NULL,"),
		rule("function", "neuron_cdev.c",
			"static unsigned long ncdev_get_unmapped_area(", "static unsigned long __maybe_unused ncdev_get_unmapped_area("),
	}
}

// rhel is the span from one release up to, not including, another.
func rhel(major, minor, beforeMajor, beforeMinor int) ReleaseRange {
	return ReleaseRange{
		From:   kernel.Release{Major: major, Minor: minor},
		Before: kernel.Release{Major: beforeMajor, Minor: beforeMinor},
	}
}

// driverVersion is for the table's own constants.
func driverVersion(s string) version.Driver {
	v, err := version.ParseDriver(s)
	if err != nil {
		panic(err)
	}
	return v
}
