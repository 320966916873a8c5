package kernel

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Release is the RHEL release a kernel is from, as its name tells: ".el9_6." is {9, 6, false}, and a bare
// ".el9.", as CentOS Stream names its kernels, is {9, 0, true}.
//
// RHEL 8 named the first kernels of its minors up to 8.7 with a bare ".el8" too; OpenShift ships the later
// ones of a minor, whose names carry it.
type Release struct {
	Major, Minor int
	Stream       bool // the name has no minor
}

// elForm is bounded to what Atoi can hold and RHEL will ever number.
var elForm = regexp.MustCompile(`\.el([1-9][0-9]?)(?:_(0|[1-9][0-9]?))?(?:[.+]|$)`)

// RHEL returns the RHEL release a kernel is from; false if the name tells none, as those of other distributions.
func (v Version) RHEL() (Release, bool) {
	m := elForm.FindStringSubmatch(v.name)
	if m == nil {
		return Release{}, false
	}
	major, err := strconv.Atoi(m[1])
	if err != nil {
		return Release{}, false
	}
	if m[2] == "" {
		return Release{Major: major, Stream: true}, true
	}
	minor, err := strconv.Atoi(m[2])
	if err != nil {
		return Release{}, false
	}
	return Release{Major: major, Minor: minor}, true
}

// Compare orders releases by major and minor. A Stream release is after every minor of its major, because
// it is what the next one is made from.
func (r Release) Compare(o Release) int {
	return cmp.Or(cmp.Compare(r.Major, o.Major), cmp.Compare(r.order(), o.order()))
}

func (r Release) order() int {
	if r.Stream {
		return math.MaxInt
	}
	return r.Minor
}

// String returns the release as people write it: "9.6", or "9 Stream".
func (r Release) String() string {
	if r.Stream {
		return fmt.Sprintf("%d Stream", r.Major)
	}
	return fmt.Sprintf("%d.%d", r.Major, r.Minor)
}

// Arch returns the architecture that a name tells, as uname -m writes it: "x86_64", "aarch64", "ppc64le" or
// "s390x", also where the name has Debian's word for it (amd64). It is "" if the name does not tell.
func (v Version) Arch() string {
	arch := ""
	for word := range strings.FieldsFuncSeq(v.name, func(r rune) bool { return strings.ContainsRune(".+~-", r) }) {
		switch word {
		case "x86_64", "amd64":
			arch = "x86_64"
		case "aarch64", "arm64":
			arch = "aarch64"
		case "ppc64le", "ppc64el":
			arch = "ppc64le"
		case "s390x":
			arch = "s390x"
		}
	}
	return arch
}
