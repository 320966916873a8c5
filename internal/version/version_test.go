package version_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/version"
)

// must returns the value of a parse that has to succeed.
func must[T any](t *testing.T, parse func(string) (T, error), s string) T {
	t.Helper()
	v, err := parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// all parses several.
func all[T any](t *testing.T, parse func(string) (T, error), ss ...string) (vs []T) {
	t.Helper()
	for _, s := range ss {
		vs = append(vs, must(t, parse, s))
	}
	return vs
}

// R2.3: DRIVER_VERSION is validated.
func TestParseDriver(t *testing.T) {
	for _, s := range []string{"2.24.7.0", "2.24", "2.24.7", "0.0", "999999999.999999999.999999999.999999999"} {
		if d, err := version.ParseDriver(s); err != nil || d.String() != s || d.IsZero() {
			t.Errorf("ParseDriver(%q) = %q, %v", s, d, err)
		}
	}
	refuse(t, version.ParseDriver, map[string]string{
		"":                                     "it is empty",
		"2.22.2.0]":                            `"2.22.2.0]" is not a driver version: unexpected ']' at character 9 (want 2 to 4 numbers`,
		"2":                                    "it has one number only",
		"2.24.7.0.1":                           "it has more than 4 numbers",
		"2.24.":                                "a number is missing beside a dot",
		".2.24":                                "a number is missing beside a dot",
		"2..24":                                "a number is missing beside a dot",
		"2.024":                                `the number "024" has a leading zero`,
		"2.1234567890":                         "a number has more than 9 digits",
		" 2.24":                                "unexpected ' ' at character 1",
		"2.24\n":                               `unexpected '\n' at character 5`,
		"+2.24":                                "unexpected '+'",
		"2.-4":                                 "unexpected '-'",
		"v2.24":                                "unexpected 'v'",
		"2.24/../x":                            "unexpected '/'",
		"2.2\u0664":                            "unexpected '٤' at character 4",
		"2.24\u202e":                           `unexpected '\u202e'`,
		"2.24\xff":                             "unexpected '\ufffd'",
		"ä2.24":                                "unexpected 'ä' at character 1",
		"latest":                               "unexpected 'l'",
		"2.24." + strings.Repeat("1", 1<<20):   "a number has more than 9 digits",
		"2.24." + strings.Repeat("1.", 1<<20):  "it has more than 4 numbers",
		strings.Repeat("\u0661", 1<<20):        "unexpected",
		"1.2.3." + strings.Repeat("0", 1<<20):  "more than 9 digits",
		"2.24.7.0-1":                           "unexpected '-' at character 9",
		"2.24.7.0 2.25":                        "unexpected ' ' at character 9",
		"0x2.24":                               "unexpected 'x'",
		"2,24":                                 "unexpected ','",
		"2.24.7.0\x00":                         `unexpected '\x00'`,
		"aws-neuronx-dkms-2.24.7.0.noarch.rpm": "unexpected 'a'",
		"https://example.com/2.24.7.0.noarch.rpm": "unexpected 'h'",
	})
}

// R2.2: OpenShift versions, pre-releases too.
func TestParseOCP(t *testing.T) {
	for s, minor := range map[string]string{
		"4.20.16": "4.20", "4.9.0": "4.9", "5.0.0": "5.0", "4.23.0-rc.1": "4.23", "4.23.0-ec.10": "4.23",
		"4.20.0-0.nightly-2025-09-01-123456": "4.20", "4.20.0-okd-scos.1": "4.20", "4.20.0--": "4.20",
	} {
		v, err := version.ParseOCP(s)
		if err != nil || v.String() != s || v.Minor() != minor || v.IsZero() || v.IsPreRelease() != strings.Contains(s, "-") {
			t.Errorf("ParseOCP(%q) = %q, %v, of minor %q", s, v, err, v.Minor())
		}
	}
	refuse(t, version.ParseOCP, map[string]string{
		"":                                    `"" is not an OpenShift version: it is empty (want MAJOR.MINOR.PATCH`,
		"4.20":                                "it has 2 of the 3 numbers",
		"4.20-rc.1":                           "it has 2 of the 3 numbers",
		"4":                                   "it has 1 of the 3 numbers",
		"4.20.1.2":                            "it has more than 3 numbers",
		"0.1.2":                               "there is no OpenShift 0",
		"4.20.016":                            "leading zero",
		"v4.20.16":                            "unexpected 'v'",
		"4.20.16]":                            "unexpected ']' at character 8",
		"4.20.16+build":                       "unexpected '+'",
		"4.20.16_x":                           "unexpected '_'",
		"4.20.16-":                            "a part of its pre-release is empty",
		"4.20.16-rc..1":                       "a part of its pre-release is empty",
		"4.20.16-rc.01":                       "a number of its pre-release has a leading zero",
		"4.20.16-rc/../x":                     "its pre-release has characters other than",
		"4.20.16-rc_1":                        "its pre-release has characters other than",
		"4.20.16-rc\n":                        "its pre-release has characters other than",
		"4.20.16-x86_64":                      "its pre-release has characters other than",
		"4.20.16-" + strings.Repeat("a", 57):  "it is longer than 64 characters",
		"4.20.16-" + strings.Repeat("a", 1e6): "it is longer than 64 characters",
	})
	if (version.OCP{}).Minor() != "" || !(version.OCP{}).IsZero() {
		t.Error("the zero value has a minor")
	}
}

func TestParseSelector(t *testing.T) {
	for _, s := range []string{"4.20", "4.20.16", "5.0", "4.23.0-rc.1"} {
		if sel, err := version.ParseSelector(s); err != nil || sel.String() != s || sel.IsZero() {
			t.Errorf("ParseSelector(%q) = %q, %v", s, sel, err)
		}
	}
	refuse(t, version.ParseSelector, map[string]string{
		"":            `"" is not an OpenShift selector: it is empty (want a minor release such as 4.20 or a release`,
		"4":           "it has 1 of the 3 numbers",
		"4.20.":       "a number is missing beside a dot",
		"4.20.x":      "unexpected 'x' at character 6",
		"4.*":         "unexpected '*'",
		"4.20.1.2":    "it has more than 3 numbers",
		"0.20":        "there is no OpenShift 0",
		"0.20.1":      "there is no OpenShift 0",
		"4.020":       "leading zero",
		"4.20-rc.1":   "it has 2 of the 3 numbers",
		"4.20.16]":    "unexpected ']' at character 8",
		"4.20.0-rc_1": "its pre-release has characters",
		"4.20,4.21":   "unexpected ','",
		" 4.20":       "unexpected ' '",
	})
}

// refuse checks that each text is refused for the given reason, with an error that is safe to print.
func refuse[T comparable](t *testing.T, parse func(string) (T, error), tests map[string]string) {
	t.Helper()
	var zero T
	for in, why := range tests {
		got, err := parse(in)
		if err == nil || got != zero {
			t.Errorf("%.80q gives %v, %v, want an error", in, got, err)
			continue
		}
		if !strings.Contains(err.Error(), why) {
			t.Errorf("%.80q: error %q does not say %q", in, err, why)
		}
		if len(err.Error()) > 1024 || strings.ContainsAny(err.Error(), "\n\x00\u202e") {
			t.Errorf("%.80q: error is not safe to print: %q", in, err)
		}
	}
}

func checkOrder[T interface{ Compare(T) int }](t *testing.T, ordered []T) {
	t.Helper()
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := a.Compare(b), min(max(i-j, -1), 1); got != want {
				t.Errorf("Compare(%v, %v) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestOrder(t *testing.T) {
	checkOrder(t, append([]version.Driver{{}}, all(t, version.ParseDriver,
		"0.0", "2.9.0.0", "2.18.12.0", "2.22", "2.22.0", "2.22.0.0", "2.22.2.0", "2.22.10.0", "2.24.7.0", "10.0.0.0")...))
	checkOrder(t, append([]version.OCP{{}}, all(t, version.ParseOCP, // https://semver.org/#spec-item-11
		"4.9.0", "4.20.0-1", "4.20.0-1.1", "4.20.0-2", "4.20.0-10", "4.20.0-alpha", "4.20.0-alpha.1", "4.20.0-alpha.beta",
		"4.20.0-rc.2", "4.20.0-rc.11", "4.20.0", "4.20.9", "4.20.16", "4.21.0-rc.1", "5.0.0")...))
	checkOrder(t, append([]version.Selector{{}}, all(t, version.ParseSelector,
		"4.9", "4.20", "4.20.0-rc.1", "4.20.0", "4.20.16", "4.21", "4.21.0", "5.0")...))
}

// R2.2: 4.18 matches 4.18.0, 4.18.1 and so on.
func TestSelectorMatch(t *testing.T) {
	tests := []struct {
		sel, release string
		want         bool
	}{
		{"4.20", "4.20.0", true}, {"4.20", "4.20.16", true}, {"4.20", "4.20.0-rc.1", true},
		{"4.20", "4.2.0", false}, {"4.2", "4.20.0", false}, {"4.20", "5.20.0", false},
		{"4.20.16", "4.20.16", true}, {"4.20.1", "4.20.16", false}, {"4.20.0", "4.20.0-rc.1", false},
	}
	for _, tt := range tests {
		sel, v := must(t, version.ParseSelector, tt.sel), must(t, version.ParseOCP, tt.release)
		if got := sel.Match(v); got != tt.want {
			t.Errorf("%s matches %s: %t, want %t", sel, v, got, tt.want)
		}
	}
	if (version.Selector{}).Match(version.OCP{}) {
		t.Error("the zero selector matches")
	}
}

// R2.3: OCP_VERSION narrows what the matrix selects.
func TestSelectorIntersect(t *testing.T) {
	tests := []struct{ a, b, want string }{
		{"4.20", "4.20", "4.20"}, {"4.20", "4.20.16", "4.20.16"}, {"4.20.16", "4.20.16", "4.20.16"},
		{"4.20", "4.21", ""}, {"4.20", "4.21.0", ""}, {"4.20.15", "4.20.16", ""}, {"4.20", "", ""}, {"", "", ""},
	}
	for _, tt := range tests {
		var a, b version.Selector
		if err := a.UnmarshalText([]byte(tt.a)); err != nil {
			t.Fatal(err)
		}
		if err := b.UnmarshalText([]byte(tt.b)); err != nil {
			t.Fatal(err)
		}
		for _, pair := range [][2]version.Selector{{a, b}, {b, a}} {
			got, ok := pair[0].Intersect(pair[1])
			if got.String() != tt.want || ok != (tt.want != "") {
				t.Errorf("%q and %q = %q, %t, want %q", pair[0], pair[1], got, ok, tt.want)
			}
		}
	}
}

// R8.1: what there is instead comes nearest first.
func TestNearest(t *testing.T) {
	have := all(t, version.ParseDriver, "2.9.0.0", "2.22.2.0", "2.24.6.0", "2.24.7.0", "2.24.9.0", "3.24.8.0")
	got := must(t, version.ParseDriver, "2.24.8.0").Nearest(have)
	want := all(t, version.ParseDriver, "2.24.9.0", "2.24.7.0", "2.24.6.0", "2.22.2.0", "2.9.0.0", "3.24.8.0")
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b version.Driver) bool { return a == b })); diff != "" {
		t.Errorf("drivers (-want +got):\n%s", diff)
	}
	sels := all(t, version.ParseSelector, "4.18", "4.20.9", "4.20.16", "4.21", "5.20")
	near := must(t, version.ParseSelector, "4.20.15").Nearest(sels)
	wantSels := all(t, version.ParseSelector, "4.20.16", "4.20.9", "4.21", "4.18", "5.20")
	if diff := cmp.Diff(wantSels, near, cmp.Comparer(func(a, b version.Selector) bool { return a == b })); diff != "" {
		t.Errorf("selectors (-want +got):\n%s", diff)
	}
	near = must(t, version.ParseSelector, "4.19").Nearest(sels)
	wantSels = all(t, version.ParseSelector, "4.20.16", "4.20.9", "4.18", "4.21", "5.20")
	if diff := cmp.Diff(wantSels, near, cmp.Comparer(func(a, b version.Selector) bool { return a == b })); diff != "" {
		t.Errorf("selectors near a minor (-want +got):\n%s", diff)
	}
	if sels[0].String() != "4.18" || have[0].String() != "2.9.0.0" {
		t.Error("Nearest changed what it was given")
	}
}

func TestNotFoundError(t *testing.T) {
	err := &version.NotFoundError{What: "driver 2.1", In: "build-matrix.json"}
	if got, want := err.Error(), "driver 2.1 is not in build-matrix.json"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	err.Have = []string{"a", "b"}
	if got, want := err.Error(), "driver 2.1 is not in build-matrix.json, which has a, b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	err.Have = strings.Split("a b c d e f g h i j", " ")
	if got, want := err.Error(), "driver 2.1 is not in build-matrix.json, which has a, b, c, d, e, f, g, h and 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJSON(t *testing.T) {
	type doc struct {
		Driver   version.Driver   `json:"driver,omitzero"`
		OCP      version.OCP      `json:"ocp,omitzero"`
		Selector version.Selector `json:"selector,omitzero"`
	}
	for _, text := range []string{`{}`, `{"driver":"2.24.7.0","ocp":"4.23.0-rc.1","selector":"4.20"}`} {
		var d doc
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if out, err := json.Marshal(d); err != nil || string(out) != text {
			t.Errorf("round trip of %s = %s, %v", text, out, err)
		}
	}
	for _, text := range []string{`{"driver":"2"}`, `{"ocp":"4.20"}`, `{"selector":"4"}`} {
		if err := json.Unmarshal([]byte(text), new(doc)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// Empty text is the zero value, whatever was there before.
func TestUnmarshalEmpty(t *testing.T) {
	driver := must(t, version.ParseDriver, "2.24.7.0")
	release := must(t, version.ParseOCP, "4.20.16")
	selector := must(t, version.ParseSelector, "4.20")
	err := errors.Join(driver.UnmarshalText(nil), release.UnmarshalText(nil), selector.UnmarshalText(nil))
	if err != nil || !driver.IsZero() || !release.IsZero() || !selector.IsZero() {
		t.Errorf("got %q, %q, %q, %v", driver, release, selector, err)
	}
}
