package driver

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// R3.1: a header's claims are bounded before anything is allocated or indexed by them.
func TestHostileHeaders(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	good := packRPM(t, "2.24.7.0", "gzip", sourceFiles())
	claim := func(offset int, n uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[offset:], n)
		return b
	}
	withTag := func(tg tag) []byte { return rawRPM(append(driverTags(), tg), nil) }
	withOffset := func(offset uint32) []byte { // of the first tag
		b := rawRPM(driverTags(), nil)
		binary.BigEndian.PutUint32(b[leadSize+2*introSize+8:], offset)
		return b
	}
	overlap := slices.Concat(rawRPM(nil, nil)[:leadSize+introSize], overlapping(400))
	tests := []struct {
		name string
		rpm  []byte
		want string
	}{
		{"empty", nil, `begins with ""`},
		{"a web page", []byte("<!DOCTYPE html>\n<html>" + strings.Repeat(" ", 200)), "<!DOCTYPE html>"},
		{"a short web page", []byte("<html>"), "<html>"},
		{"only a lead", good[:leadSize], "unexpected EOF"},
		{"a truncated lead", good[:leadSize-1], "unexpected EOF"},
		{"truncated in the signature", good[:leadSize+introSize+8], "unexpected EOF"},
		{"truncated in the header", good[:1000], "unexpected EOF"},
		{"4 GB of signature data", claim(leadSize+12, 0xffffffff), "4294967295 bytes"},
		{"4 G signature tags", claim(leadSize+8, 0x10000001), "268435457 tags"},
		{"another magic", claim(leadSize, 1), "not a header's"},
		{"a count beyond the data", withTag(tag{1044, 4, 1 << 30, nil}), "outside the header"},
		{"a negative count", withTag(tag{1044, 4, 0xffffffff, nil}), "outside the header"},
		{"a negative offset", withOffset(0xffffffff), "outside the header"},
		{"an offset beyond the data", withOffset(10000), "outside the header"},
		{"a string without an end", withTag(tag{1044, 6, 1, []byte("abc")}), "outside the header"},
		{"no strings", withTag(tag{1044, 8, 0, nil}), "has no strings"},
		{"an unknown type", withTag(tag{1044, 77, 1, []byte("abc\x00")}), "type 77"},
		{"values that overlap", overlap, "overlap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := writeTemp(t, "evil.rpm", tt.rpm)
			err := checkRPM(t.Context(), path, v, defaultLimits)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// overlapping is a header of n tags that all mean the same strings.
func overlapping(n int) []byte {
	tags := make([]tag, n)
	for i := range tags {
		tags[i] = tag{uint32(1000 + i), 8, 64, nil}
	}
	tags[n-1].data = make([]byte, 64)
	return rawHeader(tags)
}

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
	header := rawHeader(driverTags())
	lead := rawRPM(nil, nil)[:leadSize]
	sums := map[string]tag{
		"sha1":   stringTag(269, fmt.Sprintf("%x", sha1.Sum(header))),
		"sha256": stringTag(273, fmt.Sprintf("%x", sha256.Sum256(header))),
	}
	for name, sum := range sums {
		t.Run(name, func(t *testing.T) {
			signature := rawHeader([]tag{sum})
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
