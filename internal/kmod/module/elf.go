package module

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// maxModinfo bounds the section that describes a module; the driver's has 4 KB.
	maxModinfo = 1 << 20
	// maxNames bounds the table of the sections' names.
	maxNames = 1 << 20
	// sectionSize is a section header's in a 64-bit file.
	sectionSize = 64
)

// object is an ELF file for x86-64. debug/elf's own reader is not for hostile files
// (https://pkg.go.dev/debug/elf#hdr-Security): it unpacks a compressed table of names whatever its size, and copies a
// name for each section. Here every read is bounded before anything is allocated for it.
type object struct {
	r        io.ReaderAt
	size     int64
	sections []elf.Section64
	names    []byte
}

// openObject reads the headers of a relocatable object for x86-64, which is what a kernel module is.
func openObject(r io.ReaderAt, size int64) (*object, error) {
	var h elf.Header64
	if err := binary.Read(io.NewSectionReader(r, 0, size), binary.LittleEndian, &h); err != nil ||
		string(h.Ident[:4]) != elf.ELFMAG {
		return nil, errors.New("not an ELF file")
	}
	class, data := elf.Class(h.Ident[elf.EI_CLASS]), elf.Data(h.Ident[elf.EI_DATA])
	if class != elf.ELFCLASS64 || data != elf.ELFDATA2LSB {
		return nil, fmt.Errorf("not a kernel module for x86-64: it is %v %v", class, data)
	}
	if machine, kind := elf.Machine(h.Machine), elf.Type(h.Type); machine != elf.EM_X86_64 || kind != elf.ET_REL {
		return nil, fmt.Errorf("not a kernel module for x86-64: it is %v %v", machine, kind)
	}
	if h.Shentsize != sectionSize || h.Shstrndx >= h.Shnum {
		return nil, errors.New("damaged ELF file: its section headers make no sense")
	}
	o := &object{r: r, size: size}
	table, err := o.read(h.Shoff, uint64(h.Shnum)*sectionSize)
	if err != nil {
		return nil, fmt.Errorf("read section headers: %w", err)
	}
	o.sections = make([]elf.Section64, h.Shnum)
	if err := binary.Read(bytes.NewReader(table), binary.LittleEndian, o.sections); err != nil {
		return nil, fmt.Errorf("read section headers: %w", err)
	}
	o.names, err = o.data(o.sections[h.Shstrndx], elf.SHT_STRTAB, maxNames)
	if err != nil {
		return nil, fmt.Errorf("read the sections' names: %w", err)
	}
	return o, nil
}

// section returns the bytes of the first section of that name, at most most; found is false if there is none.
func (o *object) section(name string, most uint64) (data []byte, found bool, err error) {
	want := append([]byte(name), 0)
	for _, s := range o.sections {
		if int64(s.Name) < int64(len(o.names)) && bytes.HasPrefix(o.names[s.Name:], want) {
			data, err := o.data(s, elf.SHT_PROGBITS, most)
			if err != nil {
				return nil, true, fmt.Errorf("read section %s: %w", name, err)
			}
			return data, true, nil
		}
	}
	return nil, false, nil
}

// data returns the bytes of a section that has to be of that type, not compressed, and at most most long.
func (o *object) data(s elf.Section64, kind elf.SectionType, most uint64) ([]byte, error) {
	if elf.SectionType(s.Type) != kind || elf.SectionFlag(s.Flags)&elf.SHF_COMPRESSED != 0 || s.Size > most {
		return nil, fmt.Errorf("it is not a plain %v of at most %d bytes", kind, most)
	}
	return o.read(s.Off, s.Size)
}

// read returns the n bytes at off, which have to be in the file.
func (o *object) read(off, n uint64) ([]byte, error) {
	if size := uint64(o.size); off > size || n > size-off {
		return nil, fmt.Errorf("%d bytes at %d are beyond the file's end at %d: %w", n, off, o.size, io.ErrUnexpectedEOF)
	}
	data := make([]byte, n)
	_, err := io.ReadFull(io.NewSectionReader(o.r, int64(off), int64(n)), data)
	return data, err
}
