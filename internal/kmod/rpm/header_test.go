package rpm

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"neuron-kmod/internal/kmod/rpm/rpmtest"
)

// R3.1: a header's claims are bounded before anything is allocated or indexed by them.
func TestHostileHeaders(t *testing.T) {
	good := pack(t, files{"/usr/src/a": "text"})
	claim := func(offset int, n uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[offset:], n)
		return b
	}
	withTag := func(number, typ, count uint32, data []byte) []byte {
		one := rpmtest.Tag{Tag: number, Type: typ, Count: count, Data: data}
		return rpmtest.Package([]rpmtest.Tag{rpmtest.StringTag(1000, "name"), one}, nil)
	}
	withOffset := func(offset uint32) []byte { // of the first tag
		b := rpmtest.Package([]rpmtest.Tag{rpmtest.StringTag(1000, "name")}, nil)
		binary.BigEndian.PutUint32(b[leadSize+2*introSize+8:], offset)
		return b
	}
	overlap := slices.Concat(rpmtest.Package(nil, nil)[:leadSize+introSize], overlapping(400))
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
		{"a count beyond the data", withTag(1044, 4, 1<<30, nil), "outside the header"},
		{"a negative count", withTag(1044, 4, 0xffffffff, nil), "outside the header"},
		{"a negative offset", withOffset(0xffffffff), "outside the header"},
		{"an offset beyond the data", withOffset(10000), "outside the header"},
		{"a string without an end", withTag(1044, 6, 1, []byte("abc")), "outside the header"},
		{"no strings", withTag(1044, 8, 0, nil), "has no strings"},
		{"an unknown type", withTag(1044, 77, 1, []byte("abc\x00")), "type 77"},
		{"values that overlap", overlap, "overlap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(bytes.NewReader(tt.rpm), int64(len(tt.rpm)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// overlapping is a header of n tags that all mean the same strings.
func overlapping(n int) []byte {
	tags := make([]rpmtest.Tag, n)
	for i := range tags {
		tags[i] = rpmtest.Tag{Tag: uint32(1000 + i), Type: 8, Count: 64}
	}
	tags[n-1].Data = make([]byte, 64)
	return rpmtest.Header(tags...)
}

// R3.1: the header is checked against its own digest, also against the SHA-1 that rpm before 4.14 writes.
func TestHeaderDigest(t *testing.T) {
	header := rpmtest.Header(rpmtest.StringTag(1000, "name"), rpmtest.StringTag(1022, "noarch"))
	lead := rpmtest.Package(nil, nil)[:rpmtest.LeadSize]
	sums := map[string]rpmtest.Tag{
		"sha1":   rpmtest.StringTag(269, fmt.Sprintf("%x", sha1.Sum(header))),
		"sha256": rpmtest.StringTag(273, fmt.Sprintf("%x", sha256.Sum256(header))),
	}
	for name, sum := range sums {
		t.Run(name, func(t *testing.T) {
			signature := rpmtest.Header(sum)
			signature = append(signature, make([]byte, (8-len(signature)%8)%8)...)
			pkg := slices.Concat(lead, signature, header)
			if _, err := Read(bytes.NewReader(pkg), int64(len(pkg))); err != nil {
				t.Error(err)
			}
			forged := bytes.Replace(pkg, []byte("noarch"), []byte("x86_64"), 1)
			_, err := Read(bytes.NewReader(forged), int64(len(forged)))
			if err == nil || !strings.Contains(err.Error(), "mismatch") {
				t.Errorf("got %v", err)
			}
		})
	}
}
