package kernel_test

import (
	"path/filepath"
	"regexp"
	"testing"

	"neuron-kmod/internal/kernel"
)

// tagForm is the grammar of a tag:
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
var tagForm = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// FuzzParse: what parses prints as it was written, is one path element that stays below its directory, and has
// a tag; order is antisymmetric and agrees with ==.
func FuzzParse(f *testing.F) {
	for i, n := range names {
		f.Add(n.name, names[(i+1)%len(names)].name)
	}
	for _, s := range []string{"", "..", "5.14.0/../x", "5.14.0\n", "5.14..0", "5.1\u0661", "5.14.0-", "1.1~~", "1.1-~a", "01.1"} {
		f.Add(s, "5.14.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		va, err := kernel.Parse(a)
		if (err != nil) != va.IsZero() {
			t.Fatalf("%q gives %q, %v", a, va, err)
		}
		if err != nil {
			if len(err.Error()) > 1024 {
				t.Errorf("the error for %q is %d bytes long", a, len(err.Error()))
			}
			return
		}
		if va.String() != a || !filepath.IsLocal(a) || filepath.Base(a) != a || !tagForm.MatchString(va.Tag()) {
			t.Errorf("%q prints as %q, with tag %q", a, va, va.Tag())
		}
		if again, err := kernel.Parse(va.Tag()); err != nil || again.Tag() != va.Tag() {
			t.Errorf("the tag %q gives %q, %v", va.Tag(), again.Tag(), err)
		}
		if r, ok := va.RHEL(); ok && (r.Major < 1 || r.Minor < 0 || r.Stream && r.Minor != 0) {
			t.Errorf("%q is of %+v", a, r)
		}
		vb, err := kernel.Parse(b)
		if err != nil {
			return
		}
		if ab, ba := va.Compare(vb), vb.Compare(va); ab != -ba || (ab == 0) != (va == vb) {
			t.Errorf("Compare(%q, %q) = %d and %d", a, b, ab, ba)
		}
	})
}

// FuzzCompare: order is transitive.
func FuzzCompare(f *testing.F) {
	f.Add("6.12-50", "6.12.1-3", "6.12~rc6")
	f.Add("6.1a", "6.1.1", "6.1-")
	f.Add("6.1~", "6.1~1", "6.1+")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		va, errA := kernel.Parse(a)
		vb, errB := kernel.Parse(b)
		vc, errC := kernel.Parse(c)
		if errA != nil || errB != nil || errC != nil {
			return
		}
		if va.Compare(vb) <= 0 && vb.Compare(vc) <= 0 && va.Compare(vc) > 0 {
			t.Errorf("%q <= %q <= %q, but %q > %q", a, b, c, a, c)
		}
	})
}
