package kernel_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kernel"
)

func mustParse(t *testing.T, s string) kernel.Version {
	t.Helper()
	v, err := kernel.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// R4.3: kernels are collected and listed in one order, oldest first.
func TestCompare(t *testing.T) {
	ordered := []string{
		"4.18.0-80.el8",
		"4.18.0-305.88.1.el8_4.x86_64",
		"4.18.0-553.8.1.el8_10.x86_64",
		"5.14.0-70.13.1.el9_0.x86_64",
		"5.14.0-427.9.1.el9_4.x86_64",
		"5.14.0-427.68.2.el9_4.aarch64",
		"5.14.0-427.68.2.el9_4.x86_64",
		"5.14.0-427.68.2.el9_4.x86_64+rt",
		"5.14.0-570.el9_6.x86_64",
		"5.14.0-570.96.1.el9_6.x86_64",
		"6.1.0-9-amd64",
		"6.1.0-50-amd64",
		"6.1.0-50-rt-amd64",
		"6.12~rc6-amd64",
		"6.12-amd64",
		"6.12.0-55.9.1.el10_0.x86_64",
		"6.12.107+deb12-amd64",
		"6.12.107.deb12-amd64",
		"6.12.107_deb12-amd64",
		"6.13-50",
		"6.13.1-3",
		"6.99999999999999999999-1",
		"6.100000000000000000000-1",
		"6.0100000000000000000001-1",
	}
	var vs []kernel.Version
	for _, s := range ordered {
		vs = append(vs, mustParse(t, s))
	}
	for i, a := range vs {
		for j, b := range vs {
			want := min(max(i-j, -1), 1)
			if got := a.Compare(b); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
	shuffled := slices.Clone(vs)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, kernel.Version.Compare)
	if diff := cmp.Diff(ordered, texts(shuffled)); diff != "" {
		t.Errorf("sorted (-want +got):\n%s", diff)
	}
}

func texts(vs []kernel.Version) (out []string) {
	for _, v := range vs {
		out = append(out, v.String())
	}
	return out
}

// R3.2: patch rules are bound to releases; CentOS Stream has what the next minor will have.
func TestReleaseCompare(t *testing.T) {
	ordered := []kernel.Release{
		{Major: 8, Minor: 4}, {Major: 8, Minor: 10}, {Major: 8, Stream: true},
		{Major: 9}, {Major: 9, Minor: 6}, {Major: 9, Stream: true},
		{Major: 10}, {Major: 10, Minor: 1}, {Major: 10, Stream: true},
	}
	for i, a := range ordered {
		for j, b := range ordered {
			want := min(max(i-j, -1), 1)
			if got := a.Compare(b); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
	if got := ordered[4].String() + ", " + ordered[5].String(); got != "9.6, 9 Stream" {
		t.Errorf("String = %q", got)
	}
}
