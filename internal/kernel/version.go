// Package kernel holds kernel versions: what `uname -r` prints on a node. It is pure: it reads and writes
// nothing and knows neither images nor drivers, only how a kernel's name is written and ordered.
//
// A kernel's name arrives from foreign images and files and ends up in paths, image tags and labels.
// Parse therefore is the only way to a Version, and what it lets through is safe in all three.
package kernel

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"neuron-kmod/internal/version"
)

// maxLen bounds a name in bytes: the kernel's own limit of what uname can report, __NEW_UTS_LEN in
// https://github.com/torvalds/linux/blob/master/include/uapi/linux/utsname.h
const maxLen = 64

const form = "what `uname -r` prints, such as 5.14.0-570.96.1.el9_6.x86_64"

var (
	startForm = regexp.MustCompile(`^[0-9]+\.[0-9]+`)
	foreign   = regexp.MustCompile(`[^A-Za-z0-9._+~-]`)
	endForm   = regexp.MustCompile(`[A-Za-z0-9_+]$`)
	noTag     = regexp.MustCompile(`[^A-Za-z0-9_.-]`)
)

// Version is a kernel's name as `uname -r` prints it. Values are comparable with ==; the zero value means
// that the kernel is not known.
type Version struct{ name string }

// Parse reads a kernel's name: at most 64 of the characters A-Z a-z 0-9 . _ + ~ -, starting with two dotted numbers,
// ending in one of A-Z a-z 0-9 _ +, and without two dots in a row. Names of RHEL, CentOS Stream, Debian and their
// real-time, 64k-page and debug flavours all have this form. The error quotes the name, so it is safe to print.
func Parse(s string) (Version, error) {
	if why := check(s); why != "" {
		if len(s) > maxLen {
			s = s[:maxLen] + "..."
		}
		return Version{}, fmt.Errorf("%q is not a kernel version: %s (want %s)", s, why, form)
	}
	return Version{name: s}, nil
}

// check says what is wrong with a name, "" if nothing is.
func check(s string) string {
	if s == "" {
		return "it is empty"
	}
	if len(s) > maxLen {
		return fmt.Sprintf("it is longer than %d bytes", maxLen)
	}
	if at := foreign.FindStringIndex(s); at != nil {
		return fmt.Sprintf("unexpected %q at byte %d", s[at[0]:at[1]], at[0]+1)
	}
	switch {
	case !startForm.MatchString(s):
		return "it does not start with two numbers and a dot between them"
	case strings.Contains(s, ".."):
		return "it has two dots in a row"
	case !endForm.MatchString(s):
		return fmt.Sprintf("it ends in %q", s[len(s)-1:])
	}
	return ""
}

// String returns the name, and "" for the zero value.
func (v Version) String() string { return v.name }

// IsZero reports whether v is the zero value.
func (v Version) IsZero() bool { return v.name == "" }

// Tag returns the name in the form that KMM gives to $KERNEL_VERSION in image names: every character that
// a tag cannot hold becomes "_", so that "+rt" is "_rt".
// https://github.com/kubernetes-sigs/kernel-module-management/blob/main/internal/kernel/kernel.go
//
// Two kernels may have one tag form; whoever publishes several has to look for that.
func (v Version) Tag() string { return noTag.ReplaceAllString(v.name, "_") }

// Tag returns the tag of the image that holds a driver for a kernel: "DRIVER-KERNEL" in tag form. It needs
// both; with what version.ParseDriver and Parse let through it stays within the 128 characters of a tag.
func Tag(driver version.Driver, k Version) (string, error) {
	switch {
	case driver.IsZero():
		return "", errors.New("image tag: the driver version is not known")
	case k.IsZero():
		return "", fmt.Errorf("image tag of driver %s: the kernel version is not known", driver)
	}
	return TagPrefix(driver) + k.Tag(), nil
}

// TagPrefix returns what the tags of a driver's images begin with, and no other driver's.
func TagPrefix(driver version.Driver) string { return driver.String() + "-" }

// MarshalText writes the name; the zero value is empty text.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.name), nil }

// UnmarshalText reads what MarshalText writes, as strictly as Parse.
func (v *Version) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*v = Version{}
		return nil
	}
	*v, err = Parse(string(text))
	return err
}
