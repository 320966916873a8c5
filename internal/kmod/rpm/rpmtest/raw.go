// Package rpmtest makes RPM packages for tests: any headers and payload, signed as rpm and others sign, or not as they
// should be.
package rpmtest

import (
	"encoding/binary"
	"errors"
	"slices"
)

// The fixed parts of a package. https://rpm-software-management.github.io/rpm/manual/format_v4.html
const (
	LeadSize  = 96
	IntroSize = 16
	tagSize   = 16
)

var (
	leadMagic   = []byte{0xed, 0xab, 0xee, 0xdb}
	headerMagic = []byte{0x8e, 0xad, 0xe8, 0x01}
)

// Types of a tag's value.
const (
	typeInt32       = 4
	typeString      = 6
	typeBinary      = 7
	typeStringArray = 8
)

// Tag is a tag of a hand-made header. Count is what the header claims.
type Tag struct {
	Tag, Type, Count uint32
	Data             []byte
}

// StringTag is a tag with one string.
func StringTag(number uint32, s string) Tag { return Tag{number, typeString, 1, append([]byte(s), 0)} }

// StringsTag is a tag with a list of strings.
func StringsTag(number uint32, list ...string) Tag {
	t := Tag{Tag: number, Type: typeStringArray, Count: uint32(len(list))}
	for _, s := range list {
		t.Data = append(append(t.Data, s...), 0)
	}
	return t
}

// BinaryTag is a tag with bytes.
func BinaryTag(number uint32, data []byte) Tag {
	return Tag{number, typeBinary, uint32(len(data)), data}
}

// Header makes a header of tags, in that order and without a region. Numbers are not aligned.
func Header(tags ...Tag) []byte {
	var index, data []byte
	for _, t := range tags {
		for _, n := range []uint32{t.Tag, t.Type, uint32(len(data)), t.Count} {
			index = binary.BigEndian.AppendUint32(index, n)
		}
		data = append(data, t.Data...)
	}
	h := append(slices.Clone(headerMagic), 0, 0, 0, 0)
	h = binary.BigEndian.AppendUint32(h, uint32(len(tags)))
	h = binary.BigEndian.AppendUint32(h, uint32(len(data)))
	return slices.Concat(h, index, data)
}

// Package makes a package of the tags of its main header and a payload. Its signature header is empty.
func Package(tags []Tag, payload []byte) []byte {
	lead := make([]byte, LeadSize)
	copy(lead, leadMagic)
	return slices.Concat(lead, Header(), Header(tags...), payload)
}

// Split returns the lead, the main header and the payload of a package.
func Split(pkg []byte) (lead, header, payload []byte, err error) {
	signature, err := headerEnd(pkg, LeadSize)
	if err != nil {
		return nil, nil, nil, err
	}
	start := (signature + 7) / 8 * 8
	end, err := headerEnd(pkg, start)
	if err != nil {
		return nil, nil, nil, err
	}
	return pkg[:LeadSize], pkg[start:end], pkg[end:], nil
}

func headerEnd(pkg []byte, start int) (int, error) {
	if len(pkg) < start+IntroSize {
		return 0, errors.New("the package ends before its header")
	}
	tags, size := binary.BigEndian.Uint32(pkg[start+8:]), binary.BigEndian.Uint32(pkg[start+12:])
	end := start + IntroSize + int(tags)*tagSize + int(size)
	if end > len(pkg) {
		return 0, errors.New("the package ends within its header")
	}
	return end, nil
}
