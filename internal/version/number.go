// Package version holds the version numbers of this field that are not kernels: the Neuron driver's
// (2.24.7.0), OpenShift's (4.20.16, 4.23.0-rc.1), and selectors of OpenShift releases (4.20, 4.20.16).
// It is pure: it reads and writes nothing and knows no file format. Values come from files and arguments
// that people edit, so parsing is exact: nothing is trimmed, repaired or defaulted.
package version

import (
	"fmt"
	"strconv"
	"strings"
)

// maxDigits bounds one number of a version, so that it fits in 32 bits.
const maxDigits = 9

// maxQuoted bounds how much of a refused text an error repeats.
const maxQuoted = 80

// invalid is the error for a text that is not a version of the wanted kind.
func invalid(s, kind, why, want string) error {
	if len(s) > maxQuoted {
		s = s[:maxQuoted] + "..."
	}
	return fmt.Errorf("%q is not %s: %s (want %s)", s, kind, why, want)
}

// numbers reads dotted numbers into out and returns how many there were. why says what is wrong, and is
// empty if nothing is.
func numbers(s string, out []uint32) (n int, why string) {
	if s == "" {
		return 0, "it is empty"
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); i >= 0 {
		return 0, fmt.Sprintf("unexpected %q at character %d", []rune(s[i:])[0], i+1)
	}
	for part := range strings.SplitSeq(s, ".") {
		switch {
		case n == len(out):
			return 0, fmt.Sprintf("it has more than %d numbers", len(out))
		case part == "":
			return 0, "a number is missing beside a dot"
		case len(part) > maxDigits:
			return 0, fmt.Sprintf("a number has more than %d digits", maxDigits)
		case len(part) > 1 && part[0] == '0':
			return 0, fmt.Sprintf("the number %q has a leading zero", part)
		}
		v, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return 0, err.Error()
		}
		out[n] = uint32(v)
		n++
	}
	return n, ""
}

// unmarshal reads what MarshalText of a type writes, as strictly as parse; empty text is the zero value.
func unmarshal[T any](out *T, text []byte, parse func(string) (T, error)) (err error) {
	if len(text) == 0 {
		*out = *new(T)
		return nil
	}
	*out, err = parse(string(text))
	return err
}

// dotted writes numbers with dots between them.
func dotted(ns []uint32) string {
	parts := make([]string, len(ns))
	for i, n := range ns {
		parts[i] = strconv.FormatUint(uint64(n), 10)
	}
	return strings.Join(parts, ".")
}
