package version

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const (
	ocpForm = "MAJOR.MINOR.PATCH, such as 4.20.16 or 4.23.0-rc.1"

	// maxOCP bounds a version in bytes. Nightly and CI builds have the longest names, of about 50.
	maxOCP = 64
)

// OCP is the version of an OpenShift release: "4.20.16", or with a pre-release part "4.23.0-rc.1". Order
// and form are those of https://semver.org/spec/v2.0.0.html, without build metadata, which release tags
// cannot carry. Values are comparable with ==; the zero value means no version.
type OCP struct {
	part [3]uint32
	pre  string // without the dash; empty for a release
}

// ParseOCP reads a full OpenShift version. The result is safe in file names and tags.
func ParseOCP(s string) (OCP, error) {
	v, why := parseOCP(s)
	if why != "" {
		return OCP{}, invalid(s, "an OpenShift version", why, ocpForm)
	}
	return v, nil
}

// parseOCP is ParseOCP with only the reason for an error, "" if there is none.
func parseOCP(s string) (v OCP, why string) {
	if len(s) > maxOCP {
		return OCP{}, fmt.Sprintf("it is longer than %d characters", maxOCP)
	}
	core, pre, hasPre := strings.Cut(s, "-")
	n, why := numbers(core, v.part[:])
	switch {
	case why != "":
		return OCP{}, why
	case v.part[0] == 0:
		return OCP{}, "there is no OpenShift 0"
	case n < len(v.part):
		return OCP{}, fmt.Sprintf("it has %d of the 3 numbers", n)
	case hasPre:
		why = checkPre(pre)
	}
	v.pre = pre
	return v, why
}

// checkPre says what is wrong with a pre-release part, "" if nothing is.
func checkPre(pre string) string {
	for id := range strings.SplitSeq(pre, ".") {
		switch {
		case id == "":
			return "a part of its pre-release is empty"
		case strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-") != "":
			return "its pre-release has characters other than letters, digits, dots and dashes"
		case isNumber(id) && len(id) > 1 && id[0] == '0':
			return "a number of its pre-release has a leading zero"
		}
	}
	return ""
}

func isNumber(id string) bool { return strings.Trim(id, "0123456789") == "" }

// String returns the version as it was parsed, and "" for the zero value.
func (v OCP) String() string {
	if v.IsZero() {
		return ""
	}
	if v.pre == "" {
		return dotted(v.part[:])
	}
	return dotted(v.part[:]) + "-" + v.pre
}

// IsZero reports whether v is the zero value.
func (v OCP) IsZero() bool { return v == OCP{} }

// IsPreRelease reports whether v has a pre-release part, as 4.23.0-rc.1 has.
func (v OCP) IsPreRelease() bool { return v.pre != "" }

// Major returns the first number, 4 of 4.20.16.
func (v OCP) Major() uint32 { return v.part[0] }

// Minor returns the minor release a version belongs to: "4.20" for 4.20.16. It is "" for the zero value.
func (v OCP) Minor() string {
	if v.IsZero() {
		return ""
	}
	return dotted(v.part[:2])
}

// Compare is semver's order: by the three numbers, and a pre-release before its release. It is 0 only for v == o.
func (v OCP) Compare(o OCP) int {
	return cmp.Or(slices.Compare(v.part[:], o.part[:]), comparePre(v.pre, o.pre))
}

func comparePre(a, b string) int {
	if a == "" || b == "" {
		return -cmp.Compare(len(a), len(b)) // none is after any
	}
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), compareIdentifier)
}

// compareIdentifier orders numbers by value and before words, words by their bytes. Numbers have no leading
// zero, so that of two the longer is the larger.
func compareIdentifier(a, b string) int {
	switch aNum, bNum := isNumber(a), isNumber(b); {
	case aNum && bNum:
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	case aNum:
		return -1
	case bNum:
		return 1
	}
	return strings.Compare(a, b)
}

// MarshalText writes the version; the zero value is empty text.
func (v OCP) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText writes, as strictly as ParseOCP.
func (v *OCP) UnmarshalText(text []byte) error { return unmarshal(v, text, ParseOCP) }
