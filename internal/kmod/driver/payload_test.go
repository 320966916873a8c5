package driver

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"strings"
	"testing"

	"neuron-kmod/internal/kmod/rpm/rpmtest"

	"github.com/klauspost/compress/zstd"
)

// R3.1, R9.2: a compressed stream gets no more memory than the largest that rpm makes needs.
func TestPayloadMemory(t *testing.T) {
	tests := []struct {
		compressor string
		payload    []byte
		want       string
	}{
		// A frame header with a window descriptor of 2^29 bytes, then an empty last block.
		{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 19 << 3, 1, 0, 0}, zstd.ErrWindowSizeExceeded.Error()},
		{"xz", xzOfDictionary(40), "dictionary size exceeds max"},
	}
	for _, tt := range tests {
		t.Run(tt.compressor, func(t *testing.T) {
			rpm := writeTemp(t, "evil.rpm", signed(t, rpmtest.Package(append(driverTags(), rpmtest.StringTag(1125, tt.compressor)), tt.payload)))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := checkRPM(t.Context(), rpm, mustDriver(t, "2.24.7.0"), testKeys(t), defaultLimits)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
				t.Errorf("it took %d bytes", took)
			}
		})
	}
}

// xzOfDictionary is the beginning of an xz stream whose dictionary has that size in the format's code, of
// which 40 is 4 GiB. https://tukaani.org/xz/xz-file-format.txt
func xzOfDictionary(code byte) []byte {
	withCRC := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }
	flags := []byte{0, 1}
	head := append([]byte("\xfd7zXZ\x00"), flags...)
	head = binary.LittleEndian.AppendUint32(head, crc32.ChecksumIEEE(flags))
	block := withCRC([]byte{2, 0, 0x21, 1, code, 0, 0, 0})
	return append(append(head, block...), bytes.Repeat([]byte{1}, 64)...)
}
