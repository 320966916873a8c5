package format_test

import (
	"testing"

	"neuron-kmod/internal/platform/format"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "-", 1: "1 B", 1023: "1023 B", 1 << 10: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1024.0 KiB",
		1 << 20: "1.0 MiB", 3 << 19: "1.5 MiB", 1 << 30: "1.0 GiB", 5 << 40: "5120.0 GiB",
	} {
		if got := format.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for _, tt := range []struct {
		n          int
		noun, want string
	}{
		{0, "kernel", "0 kernels"}, {1, "kernel", "1 kernel"}, {2, "kernel", "2 kernels"},
		{0, "entry", "0 entries"}, {1, "entry", "1 entry"}, {2, "entry", "2 entries"},
		{0, "repository", "0 repositories"},
	} {
		if got := format.Count(tt.n, tt.noun); got != tt.want {
			t.Errorf("Count(%d, %q) = %q, want %q", tt.n, tt.noun, got, tt.want)
		}
	}
}
