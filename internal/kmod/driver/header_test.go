package driver

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"neuron-kmod/internal/kmod/rpm/rpmtest"
)

// R3.1: a package that was cut short or damaged anywhere is recognised.
func TestCheckRPM(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	for _, compressor := range []string{"gzip", "xz", "zstd"} {
		good := packRPM(t, "2.24.7.0", compressor, sourceFiles())
		if err := checkRPM(t.Context(), writeTemp(t, "good.rpm", good), v, defaultLimits); err != nil {
			t.Fatal(err)
		}
		for n := 1; n < len(good); n += 7 {
			if err := checkRPM(t.Context(), writeTemp(t, "cut.rpm", good[:n]), v, defaultLimits); err == nil {
				t.Fatalf("%s: cut to %d of %d bytes: no error", compressor, n, len(good))
			}
		}
		damaged := bytes.Clone(good)
		damaged[len(damaged)-40] ^= 1
		err := checkRPM(t.Context(), writeTemp(t, "damaged.rpm", damaged), v, defaultLimits)
		if err == nil || !strings.Contains(err.Error(), "its payload is damaged") {
			t.Errorf("%s: got %v", compressor, err)
		}
	}
}

// R3.1: the header is checked against its own digest, also against the SHA-1 that rpm before 4.14 writes.
func TestHeaderDigest(t *testing.T) {
	payload := gzipped(t, cpioArchive(member{name: testTree + "Kbuild", mode: 0o100644}))
	header := rpmtest.Header(driverTags()...)
	lead := rpmtest.Package(nil, nil)[:rpmtest.LeadSize]
	sums := map[string]rpmtest.Tag{
		"sha1":   rpmtest.StringTag(269, fmt.Sprintf("%x", sha1.Sum(header))),
		"sha256": rpmtest.StringTag(273, fmt.Sprintf("%x", sha256.Sum256(header))),
	}
	for name, sum := range sums {
		t.Run(name, func(t *testing.T) {
			signature := rpmtest.Header(sum)
			signature = append(signature, make([]byte, (8-len(signature)%8)%8)...)
			rpm := slices.Concat(lead, signature, header, payload)
			v := mustDriver(t, "2.24.7.0")
			if err := checkRPM(t.Context(), writeTemp(t, "good.rpm", rpm), v, defaultLimits); err != nil {
				t.Error(err)
			}
			forged := bytes.Replace(rpm, []byte("noarch"), []byte("x86_64"), 1)
			err := checkRPM(t.Context(), writeTemp(t, "forged.rpm", forged), v, defaultLimits)
			if err == nil || !strings.Contains(err.Error(), "mismatch") {
				t.Errorf("got %v", err)
			}
		})
	}
}
