package driver

import (
	"bytes"
	"strings"
	"testing"
)

// R3.1: a package that was cut short or damaged anywhere is recognised.
func TestCheckRPM(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	for _, compressor := range []string{"gzip", "xz", "zstd"} {
		good := packRPM(t, "2.24.7.0", compressor, sourceFiles())
		if _, err := checkRPM(t.Context(), writeTemp(t, "good.rpm", good), v, testKeys(t), defaultLimits); err != nil {
			t.Fatal(err)
		}
		for n := 1; n < len(good); n += 7 {
			if _, err := checkRPM(t.Context(), writeTemp(t, "cut.rpm", good[:n]), v, testKeys(t), defaultLimits); err == nil {
				t.Fatalf("%s: cut to %d of %d bytes: no error", compressor, n, len(good))
			}
		}
		damaged := bytes.Clone(good)
		damaged[len(damaged)-40] ^= 1
		_, err := checkRPM(t.Context(), writeTemp(t, "damaged.rpm", damaged), v, testKeys(t), defaultLimits)
		if err == nil || !strings.Contains(err.Error(), "its payload is damaged") {
			t.Errorf("%s: got %v", compressor, err)
		}
	}
}
