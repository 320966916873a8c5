package version_test

import (
	"cmp"
	"regexp"
	"testing"

	"neuron-kmod/internal/version"
)

// value is what all three kinds of version have in common.
type value[T any] interface {
	comparable
	String() string
	IsZero() bool
	Compare(T) int
	MarshalText() ([]byte, error)
}

// safe is what may go into a file name, a tag and a URL without another look.
var safe = regexp.MustCompile(`^[0-9][0-9A-Za-z.-]*$`)

// checkParse: what parses prints as it was written and is safe; what does not parse has no value; order is
// antisymmetric and agrees with ==.
func checkParse[T value[T]](t *testing.T, parse func(string) (T, error), a, b string) {
	va, errA := parse(a)
	if (errA != nil) != va.IsZero() {
		t.Fatalf("%q gives %q, %v", a, va, errA)
	}
	if errA != nil {
		if len(errA.Error()) > 1024 {
			t.Errorf("the error for %q is %d bytes long", a, len(errA.Error()))
		}
		return
	}
	if va.String() != a || !safe.MatchString(a) {
		t.Errorf("%q prints as %q", a, va)
	}
	if text, err := va.MarshalText(); string(text) != a || err != nil {
		t.Errorf("%q marshals as %q, %v", a, text, err)
	}
	vb, errB := parse(b)
	if errB != nil {
		return
	}
	ab, ba := va.Compare(vb), vb.Compare(va)
	if ab != -ba || cmp.Compare(ab, 0) != ab || (ab == 0) != (va == vb) {
		t.Errorf("Compare(%q, %q) = %d and %d", a, b, ab, ba)
	}
}

func addPairs(f *testing.F) {
	for _, pair := range [][2]string{
		{"2.24.7.0", "2.22.2.0]"}, {"2.24", "2.24.0"}, {"4.20", "4.20.16"}, {"4.23.0-rc.1", "4.23.0"},
		{"4.23.0-rc.1", "4.23.0-rc.10"}, {"4.20.0-0.nightly-2025-09-01-123456", "5.0.0"}, {"1.02", "+1.2"}, {"", "v1"},
	} {
		f.Add(pair[0], pair[1])
		f.Add(pair[1], pair[0])
	}
}

func FuzzParseDriver(f *testing.F) {
	addPairs(f)
	f.Fuzz(func(t *testing.T, a, b string) { checkParse(t, version.ParseDriver, a, b) })
}

func FuzzParseOCP(f *testing.F) {
	addPairs(f)
	f.Fuzz(func(t *testing.T, a, b string) { checkParse(t, version.ParseOCP, a, b) })
}

// FuzzParseSelector also holds selectors to what they mean: both select a release exactly if their
// intersection does.
func FuzzParseSelector(f *testing.F) {
	addPairs(f)
	f.Fuzz(func(t *testing.T, a, b string) {
		checkParse(t, version.ParseSelector, a, b)
		sa, errA := version.ParseSelector(a)
		sb, errB := version.ParseSelector(b)
		if errA != nil || errB != nil {
			return
		}
		both, ok := sa.Intersect(sb)
		for _, s := range []string{a, b, a + ".0", b + ".7", "4.20.16"} {
			v, err := version.ParseOCP(s)
			if err != nil {
				continue
			}
			if got, want := both.Match(v), sa.Match(v) && sb.Match(v); got != want || want && !ok {
				t.Errorf("%q in both %q and %q: %t, but in %q, %t: %t", v, sa, sb, want, both, ok, got)
			}
		}
	})
}
