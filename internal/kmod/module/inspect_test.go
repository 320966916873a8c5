package module

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

// testObject makes an ELF object with one section of its own. Tests change the headers before they are
// written.
type testObject struct {
	header  elf.Header64
	section elf.Section64
	name    string
	data    []byte
}

func newObject(modinfo string) *testObject {
	return &testObject{
		header: elf.Header64{
			Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
			Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2,
		},
		section: elf.Section64{Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC)},
		name:    ".modinfo", data: []byte(modinfo),
	}
}

func (o *testObject) bytes(t testing.TB) []byte {
	t.Helper()
	names := "\x00" + o.name + "\x00.shstrtab\x00"
	h := o.header
	if h.Ident[elf.EI_CLASS] == 0 {
		copy(h.Ident[:], elf.ELFMAG)
		h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	}
	h.Shoff = uint64(64 + len(o.data) + len(names))
	s := o.section
	s.Name, s.Off = 1, 64
	if s.Size == 0 {
		s.Size = uint64(len(o.data))
	}
	strtab := elf.Section64{
		Name: uint32(len(o.name) + 2), Type: uint32(elf.SHT_STRTAB), Off: uint64(64 + len(o.data)), Size: uint64(len(names)),
	}
	var b bytes.Buffer
	for _, part := range []any{h, o.data, []byte(names), elf.Section64{}, s, strtab} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func modinfo(entries ...string) string { return strings.Join(entries, "\x00") + "\x00" }

var good = modinfo(
	"license=GPL", "description=Neuron Driver, built from SHA: 0f1e2d", "version=2.24.7.0", "alias=pci:v1", "alias=pci:v2",
	"import_ns=DMA_BUF", "parmtype=x:int", "parm=x:a parameter=with an equals sign", "srcversion=152DF87DCF11BB687383813", "depends=",
	"retpoline=Y", "name=neuron", "vermagic=5.14.0-570.96.1.el9_6.x86_64+rt SMP preempt mod_unload modversions ",
)

// R4.2: a module is what it says of itself, read without a tool.
func TestInspect(t *testing.T) {
	data := newObject(good).bytes(t)
	got, err := Inspect(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	want := Info{
		Name: "neuron", Version: "2.24.7.0", License: "GPL", Description: "Neuron Driver, built from SHA: 0f1e2d",
		Vermagic: "5.14.0-570.96.1.el9_6.x86_64+rt SMP preempt mod_unload modversions", SrcVersion: "152DF87DCF11BB687383813",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseModinfo(t *testing.T) {
	tests := []struct {
		name, data string
		want       Info
		err        string
	}{
		{"empty", "", Info{}, ""},
		{"no zero byte at the end", "name=neuron", Info{Name: "neuron"}, ""},
		{"padding", "\x00\x00name=neuron\x00\x00\x00version=1.2\x00", Info{Name: "neuron", Version: "1.2"}, ""},
		{"no equals sign", modinfo("name", "neuron"), Info{}, ""},
		{"dependencies", modinfo("depends=hid,i2c-core"), Info{Depends: []string{"hid", "i2c-core"}}, ""},
		{"the same twice", modinfo("license=GPL", "license=GPL"), Info{License: "GPL"}, ""},
		{"two versions", modinfo("version=1.2", "version=1.3"), Info{}, `two values for version: "1.2" and "1.3"`},
		{"an empty one and another", modinfo("version=", "version=1.3"), Info{}, "two values for version"},
		{"what a terminal acts on", modinfo("description=a\x1b[2Jb\xff\n"), Info{Description: "a\uFFFD[2Jb\uFFFD\uFFFD"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseModinfo([]byte(tt.data))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// R4.2: what is no module for x86-64 is refused, however hostile, without reading beyond its size.
func TestInspectRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*testObject)
		want   string
	}{
		{"another machine", func(o *testObject) { o.header.Machine = uint16(elf.EM_AARCH64) }, "not a kernel module for x86-64: it is EM_AARCH64 ET_REL"},
		{"a program", func(o *testObject) { o.header.Type = uint16(elf.ET_EXEC) }, "ET_EXEC"},
		{"no modinfo", func(o *testObject) { o.name = ".text" }, "no section .modinfo"},
		{"modinfo without bytes", func(o *testObject) { o.section.Type = uint32(elf.SHT_NOBITS) }, "read section .modinfo: it is not a plain SHT_PROGBITS"},
		{"modinfo compressed", func(o *testObject) { o.section.Flags = uint64(elf.SHF_COMPRESSED) }, "not a plain"},
		{"modinfo beyond the end", func(o *testObject) { o.section.Size = maxModinfo }, "read section .modinfo: 1048576 bytes at 64 are beyond"},
		{"modinfo huge", func(o *testObject) { o.section.Size = 1 << 40 }, "of at most 1048576 bytes"},
		{"more sections than bytes", func(o *testObject) { o.header.Shnum = 0xffff }, "read section headers"},
		{"no sections", func(o *testObject) { o.header.Shnum, o.header.Shstrndx = 0, 0 }, "make no sense"},
		{"names beyond the sections", func(o *testObject) { o.header.Shstrndx = 3 }, "make no sense"},
		{"names are no names", func(o *testObject) { o.header.Shstrndx = 1 }, "read the sections' names"},
		{"32 bits", func(o *testObject) { copy(o.header.Ident[:], elf.ELFMAG+"\x01\x01\x01") }, "ELFCLASS32"},
		{"two versions", func(o *testObject) { o.data = []byte(modinfo("version=1", "version=2")) }, "two values"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newObject(good)
			tt.change(o)
			data := o.bytes(t)
			info, err := Inspect(bytes.NewReader(data), int64(len(data)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v, want %q", info, err, tt.want)
			}
		})
	}
	for _, data := range []string{"", "\x7fELF", "#!/bin/sh\n", strings.Repeat("\xff", 200)} {
		if _, err := Inspect(strings.NewReader(data), int64(len(data))); err == nil {
			t.Errorf("%q: no error", data)
		}
	}
}

// R4.2: the module has to be the driver that was asked for, and of a kernel that will load it.
func TestCheck(t *testing.T) {
	d, err := version.ParseDriver("2.24.7.0")
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Parse("5.14.0-570.96.1.el9_6.x86_64")
	if err != nil {
		t.Fatal(err)
	}
	right := Info{Name: "neuron", Version: "2.24.7.0", Vermagic: "5.14.0-570.96.1.el9_6.x86_64 SMP preempt mod_unload modversions"}
	tests := []struct {
		name   string
		change func(*Info)
		field  string // that is wrong, "" for none
	}{
		{"right", func(*Info) {}, ""},
		{"vermagic is only the release", func(i *Info) { i.Vermagic = k.String() }, ""},
		{"another module", func(i *Info) { i.Name = "hid" }, "name"},
		{"no version", func(i *Info) { i.Version = "" }, "version"},
		{"another version", func(i *Info) { i.Version = "2.24.7.1" }, "version"},
		{"no vermagic", func(i *Info) { i.Vermagic = "" }, "vermagic"},
		{"a real-time kernel", func(i *Info) { i.Vermagic = k.String() + "+rt SMP preempt_rt mod_unload" }, "vermagic"},
		{"a kernel whose name begins the same", func(i *Info) { i.Vermagic = strings.TrimSuffix(k.String(), "4") + " SMP" }, "vermagic"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			info := right
			tt.change(&info)
			err := info.Check(d, k)
			wrong, ok := errors.AsType[*WrongModuleError](err)
			if ok != (tt.field != "") || ok && wrong.Field != tt.field || !ok && err != nil {
				t.Errorf("got %v, want a wrong %q", err, tt.field)
			}
		})
	}
}

// A hostile file costs no more than its size and never a panic.
func FuzzInspect(f *testing.F) {
	f.Add(newObject(good).bytes(f))
	small := newObject(modinfo("name=neuron"))
	f.Add(small.bytes(f))
	small.section.Size = 1 << 62
	f.Add(small.bytes(f))
	small.header.Shnum, small.header.Shstrndx = 0, uint16(elf.SHN_XINDEX)
	f.Add(small.bytes(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := Inspect(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if sum := len(info.Name) + len(info.Version) + len(info.Vermagic); sum > 3*len(data)+3*len("\uFFFD") {
			t.Errorf("%d bytes out of %d", sum, len(data))
		}
	})
}
