package driver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The bounds of a header. rpm itself allows 256 MiB; the driver's headers hold about 20 KiB.
const (
	maxHeaderTags = 4096
	maxHeaderData = 4 << 20
)

const (
	leadSize  = 96
	introSize = 16
	tagSize   = 16
)

var (
	leadMagic   = []byte{0xed, 0xab, 0xee, 0xdb}
	headerMagic = []byte{0x8e, 0xad, 0xe8, 0x01}
)

// fixedSize tells the bytes of one value of each type of fixed size; the other types, 6, 8 and 9, are strings.
// https://rpm-software-management.github.io/rpm/manual/format_header.html
var fixedSize = map[uint32]int64{0: 0, 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}

func isString(typ uint32) bool { return typ == 6 || typ == 8 || typ == 9 }

// checkHeaders checks the lead and both headers of a package of that size and returns where its payload begins.
// go-rpmutils v0.4.0 allocates whatever sizes a header claims, up to 4 GiB, and indexes by offsets and counts that it
// does not check, so it must not see a header that has not passed here.
func checkHeaders(r io.ReaderAt, size int64) (payload int64, err error) {
	lead := make([]byte, leadSize)
	n, err := readAt(r, lead, 0)
	if !bytes.HasPrefix(lead, leadMagic) {
		return 0, fmt.Errorf("it is not an RPM: it begins with %q", lead[:min(n, 24)]) // which tells a web page at a glance
	}
	if err != nil {
		return 0, fmt.Errorf("RPM lead: %w", err)
	}
	signature, err := checkHeader(r, leadSize, size)
	if err != nil {
		return 0, fmt.Errorf("RPM signature header: %w", err)
	}
	signature = (signature + 7) / 8 * 8 // the header that follows it is aligned
	end, err := checkHeader(r, signature, size)
	if err != nil {
		return 0, fmt.Errorf("RPM header: %w", err)
	}
	return end, nil
}

// checkHeader checks the header at an offset of a file of that size and returns the offset of its end.
func checkHeader(r io.ReaderAt, at, size int64) (end int64, err error) {
	intro := make([]byte, introSize)
	if _, err := readAt(r, intro, at); err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(intro, headerMagic) {
		return 0, errors.New("its first bytes are not a header's")
	}
	tags, dataSize := binary.BigEndian.Uint32(intro[8:]), binary.BigEndian.Uint32(intro[12:])
	if tags > maxHeaderTags || dataSize > maxHeaderData {
		return 0, fmt.Errorf("it claims %d tags and %d bytes; at most %d and %d are read",
			tags, dataSize, maxHeaderTags, maxHeaderData)
	}
	index := make([]byte, int64(tags)*tagSize)
	data := make([]byte, dataSize)
	if at+introSize+int64(len(index))+int64(len(data)) > size {
		return 0, io.ErrUnexpectedEOF
	}
	if _, err := readAt(r, index, at+introSize); err != nil {
		return 0, err
	}
	if _, err := readAt(r, data, at+introSize+int64(len(index))); err != nil {
		return 0, err
	}
	return at + introSize + int64(len(index)+len(data)), checkTags(index, data)
}

// checkTags checks that every tag's value lies within the data. Values may not overlap much, or a small header could
// make the library copy and scan the same data thousands of times.
func checkTags(index, data []byte) error {
	var total int64
	for ; len(index) > 0; index = index[tagSize:] {
		tag := binary.BigEndian.Uint32(index)
		n, err := valueSize(binary.BigEndian.Uint32(index[4:]), binary.BigEndian.Uint32(index[8:]),
			binary.BigEndian.Uint32(index[12:]), data)
		if err != nil {
			return fmt.Errorf("tag %d: %w", tag, err)
		}
		if total += n; total > 2*int64(len(data)) {
			return fmt.Errorf("tag %d: the values overlap", tag)
		}
	}
	return nil
}

// valueSize returns how many bytes a value takes.
func valueSize(typ, offset, count uint32, data []byte) (int64, error) {
	if int64(offset) > int64(len(data)) || count > maxHeaderData {
		return 0, errors.New("its value lies outside the header")
	}
	if isString(typ) {
		return stringsSize(count, data[offset:])
	}
	one, ok := fixedSize[typ]
	if !ok {
		return 0, fmt.Errorf("its type %d is unknown", typ)
	}
	if n := one * int64(count); int64(offset)+n <= int64(len(data)) {
		return n, nil
	}
	return 0, errors.New("its value lies outside the header")
}

func stringsSize(count uint32, data []byte) (int64, error) {
	if count == 0 {
		return 0, errors.New("it has no strings")
	}
	n := 0
	for range count {
		i := bytes.IndexByte(data[n:], 0)
		if i < 0 {
			return 0, errors.New("its value lies outside the header")
		}
		n += i + 1
	}
	return int64(n), nil
}

// readAt fills p from an offset; a file that ends before is io.ErrUnexpectedEOF.
func readAt(r io.ReaderAt, p []byte, at int64) (int, error) {
	n, err := io.ReadFull(io.NewSectionReader(r, at, int64(len(p))), p)
	if err == io.EOF && len(p) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
