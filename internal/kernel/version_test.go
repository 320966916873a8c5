package kernel_test

import (
	"encoding/json"
	"strings"
	"testing"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

// names are kernels as they are in the field, one of each form.
var names = []struct {
	name, tag, arch string
	rhel            kernel.Release
	isRHEL          bool
}{
	{"4.18.0-305.88.1.el8_4.x86_64", "", "x86_64", kernel.Release{Major: 8, Minor: 4}, true},
	{"4.18.0-553.8.1.rt7.349.el8_10.x86_64", "", "x86_64", kernel.Release{Major: 8, Minor: 10}, true},
	{"4.18.0-80.el8", "", "", kernel.Release{Major: 8, Stream: true}, true},
	{"5.14.0-70.13.1.el9_0.x86_64", "", "x86_64", kernel.Release{Major: 9}, true},
	{"5.14.0-427.68.2.el9_4.x86_64", "", "x86_64", kernel.Release{Major: 9, Minor: 4}, true},
	{"5.14.0-570.96.1.el9_6.x86_64+rt", "5.14.0-570.96.1.el9_6.x86_64_rt", "x86_64", kernel.Release{Major: 9, Minor: 6}, true},
	{"5.14.0-570.96.1.el9_6.aarch64+64k", "5.14.0-570.96.1.el9_6.aarch64_64k", "aarch64", kernel.Release{Major: 9, Minor: 6}, true},
	{"5.14.0-570.96.1.el9_6.aarch64+64k-debug", "5.14.0-570.96.1.el9_6.aarch64_64k-debug", "aarch64", kernel.Release{Major: 9, Minor: 6}, true},
	{"5.14.0-570.96.1.el9_6+rt", "5.14.0-570.96.1.el9_6_rt", "", kernel.Release{Major: 9, Minor: 6}, true},
	{"5.14.0-611.el9.x86_64", "", "x86_64", kernel.Release{Major: 9, Stream: true}, true},
	{"6.12.0-55.9.1.el10_0.x86_64", "", "x86_64", kernel.Release{Major: 10}, true},
	{"6.12.0-124.el10.s390x", "", "s390x", kernel.Release{Major: 10, Stream: true}, true},
	{"6.12.0-124.8.1.el10_1.ppc64le", "", "ppc64le", kernel.Release{Major: 10, Minor: 1}, true},
	{"6.1.0-50-amd64", "", "x86_64", kernel.Release{}, false},
	{"6.1.0-50-rt-amd64", "", "x86_64", kernel.Release{}, false},
	{"6.1.0-50-cloud-arm64", "", "aarch64", kernel.Release{}, false},
	{"6.12.107+deb12-amd64", "6.12.107_deb12-amd64", "x86_64", kernel.Release{}, false},
	{"6.12~rc6-amd64", "6.12_rc6-amd64", "x86_64", kernel.Release{}, false},
	{"6.1.0-50-powerpc64le", "", "", kernel.Release{}, false},
	{"6.8.0-47-generic", "", "", kernel.Release{}, false},
	{"6.11.4-301.fc41.x86_64", "", "x86_64", kernel.Release{}, false},
	{"6.1.0+", "6.1.0_", "", kernel.Release{}, false},
	{"5.15.0-200.el8uek.x86_64", "", "x86_64", kernel.Release{}, false},
	{"5.15.0-200.el08_1.x86_64", "", "x86_64", kernel.Release{}, false},
	{"5.15.0-200.el999.x86_64", "", "x86_64", kernel.Release{}, false},
	{"6.1", "", "", kernel.Release{}, false},
}

// R4.1: the kernel of every distribution and flavour in the field parses; R5.1: its tag form is KMM's.
func TestParse(t *testing.T) {
	for _, tt := range names {
		t.Run(tt.name, func(t *testing.T) {
			v, err := kernel.Parse(tt.name)
			if err != nil {
				t.Fatal(err)
			}
			if v.String() != tt.name || v.IsZero() {
				t.Errorf("String = %q", v)
			}
			want := tt.tag
			if want == "" {
				want = tt.name
			}
			if got := v.Tag(); got != want {
				t.Errorf("Tag = %q, want %q", got, want)
			}
			if got := v.Arch(); got != tt.arch {
				t.Errorf("Arch = %q, want %q", got, tt.arch)
			}
			if got, ok := v.RHEL(); got != tt.rhel || ok != tt.isRHEL {
				t.Errorf("RHEL = %+v, %t, want %+v, %t", got, ok, tt.rhel, tt.isRHEL)
			}
		})
	}
}

// R4.1: a kernel's name is validated before it becomes a path, a tag or a label.
func TestParseRefuses(t *testing.T) {
	tests := map[string]struct{ in, why string }{
		"empty":              {"", "it is empty"},
		"path traversal":     {"5.14.0/../../etc", `unexpected "/" at byte 7`},
		"only dots":          {"..", "does not start"},
		"dots inside":        {"5.14.0..el9", "two dots in a row"},
		"absolute":           {"/5.14.0", `unexpected "/" at byte 1`},
		"backslash":          {`5.14.0\x`, `unexpected "\\" at byte 7`},
		"leading dot":        {".5.14.0", "does not start"},
		"leading dash":       {"-5.14.0", "does not start"},
		"looks like a flag":  {"--help", "does not start"},
		"a word":             {"latest", "does not start"},
		"one number":         {"5", "does not start"},
		"trailing dot":       {"5.14.0.", `ends in "."`},
		"trailing dash":      {"5.14.0-", `ends in "-"`},
		"trailing newline":   {"5.14.0\n", `unexpected "\n" at byte 7`},
		"newline inside":     {"5.14.0\n::error::x", `unexpected "\n"`},
		"carriage return":    {"5.14.0\rx", `unexpected "\r"`},
		"nul":                {"5.14.0\x00", `unexpected "\x00"`},
		"escape":             {"5.14.0\x1b[31m", `unexpected "\x1b"`},
		"space":              {"5.14.0 x", `unexpected " "`},
		"shell":              {"5.14.0$(id)", `unexpected "$"`},
		"colon":              {"5.14.0:x", `unexpected ":"`},
		"cyrillic e":         {"5.14.0-1.\u0435l9.x86_64", `unexpected "е" at byte 10`},
		"full-width digit":   {"\uff15.14.0", `at byte 1`},
		"arabic digit":       {"5.\u0661.0", `at byte 3`},
		"bidi override":      {"5.14.0\u202e46_68x", `unexpected "\u202e"`},
		"zero-width space":   {"5.14.0\u200b", `unexpected "\u200b"`},
		"invalid utf-8":      {"5.14.0\xff", `unexpected "\xff"`},
		"overlong":           {"5.14.0-" + strings.Repeat("1", 58), "longer than 64 bytes"},
		"overlong by a lot":  {strings.Repeat("5.14.", 1<<20), "longer than 64 bytes"},
		"overlong non-ascii": {strings.Repeat("\u0435", 33), "longer than 64 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v, err := kernel.Parse(tt.in)
			if err == nil {
				t.Fatalf("Parse(%q) = %q, want an error", tt.in, v)
			}
			if !v.IsZero() {
				t.Errorf("Parse returned %q beside its error", v)
			}
			if !strings.Contains(err.Error(), tt.why) {
				t.Errorf("error %q does not say %q", err, tt.why)
			}
			if len(err.Error()) > 512 || strings.ContainsAny(err.Error(), "\n\r\x1b\x00\u202e\u200b") {
				t.Errorf("error is not safe to print: %q", err)
			}
		})
	}
}

func TestParseLongest(t *testing.T) {
	if _, err := kernel.Parse("5.14.0-" + strings.Repeat("1", 57)); err != nil {
		t.Errorf("64 bytes: %v", err)
	}
}

// R5.1: {DRIVER_VERSION}-{KERNEL_VERSION}.
func TestTag(t *testing.T) {
	tests := []struct{ driver, kernel, want string }{
		{"2.24.7.0", "5.14.0-427.68.2.el9_4.x86_64", "2.24.7.0-5.14.0-427.68.2.el9_4.x86_64"},
		{"2.24.7.0", "6.8.0-47.15.1.el9_4.x86_64", "2.24.7.0-6.8.0-47.15.1.el9_4.x86_64"},
		{"2.24.7.0", "6.12.107+deb12-amd64", "2.24.7.0-6.12.107_deb12-amd64"},
		{"", "6.1.0-50-amd64", ""},
		{"2.24.7.0", "", ""},
	}
	for _, tt := range tests {
		var d version.Driver
		var k kernel.Version
		if err := d.UnmarshalText([]byte(tt.driver)); err != nil {
			t.Fatal(err)
		}
		if err := k.UnmarshalText([]byte(tt.kernel)); err != nil {
			t.Fatal(err)
		}
		got, err := kernel.Tag(d, k)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("Tag(%q, %q) = %q, %v, want %q", tt.driver, tt.kernel, got, err, tt.want)
		}
	}
}

// A tag holds at most 128 characters; what the parsers let through stays below.
func TestTagFits(t *testing.T) {
	d, err := version.ParseDriver(strings.Repeat("999999999.", 3) + "999999999")
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Parse("5.14.0-" + strings.Repeat("1", 57))
	if err != nil {
		t.Fatal(err)
	}
	tag, err := kernel.Tag(d, k)
	if err != nil || len(tag) > 128 {
		t.Errorf("Tag = %d characters, %v, want at most 128", len(tag), err)
	}
}

func TestJSON(t *testing.T) {
	type doc struct {
		Kernel kernel.Version `json:"kernel,omitzero"`
	}
	for _, text := range []string{`{}`, `{"kernel":"6.12.107+deb12-amd64"}`} {
		var d doc
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if out, err := json.Marshal(d); err != nil || string(out) != text {
			t.Errorf("round trip of %s = %s, %v", text, out, err)
		}
	}
	var d doc
	if err := json.Unmarshal([]byte(`{"kernel":"../x"}`), &d); err == nil {
		t.Errorf("unmarshalled %q, want an error", d.Kernel)
	}
}
