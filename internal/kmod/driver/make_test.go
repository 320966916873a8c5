package driver

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/rpmpack"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

func mustDriver(t testing.TB, s string) version.Driver {
	t.Helper()
	v, err := version.ParseDriver(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustKernel(t testing.TB, s string) kernel.Version {
	t.Helper()
	k, err := kernel.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sourceFiles is a small driver source, by name below its directory.
func sourceFiles() map[string]string {
	return map[string]string{
		"Kbuild":                       "obj-m += neuron.o\n",
		"neuron_cdev.c":                "// SPDX-License-Identifier: GPL-2.0\nint neuron_cdev;\n",
		"udma/udma_main.c":             "// SPDX-License-Identifier: GPL-2.0\nint udma;\n",
		"share/neuron_driver_shared.h": "// SPDX-License-Identifier: GPL-2.0\n",
	}
}

// packRPM makes a package as a build tool makes one, with files at /usr/src/aws-neuronx-<version>.
func packRPM(t testing.TB, v, compressor string, files map[string]string) []byte {
	t.Helper()
	r, err := rpmpack.NewRPM(rpmpack.RPMMetaData{
		Name: packageName, Version: v, Release: "dkms", Arch: "noarch", Compressor: compressor,
	})
	if err != nil {
		t.Fatal(err)
	}
	top := "/" + treePath(mustDriver(t, v))
	r.AddFile(rpmpack.RPMFile{Name: top, Mode: 0o40755})
	r.AddFile(rpmpack.RPMFile{Name: "/usr/share/aws-neuronx/postinst", Body: []byte("#!/bin/sh\n"), Mode: 0o755})
	for name, text := range files {
		r.AddFile(rpmpack.RPMFile{Name: top + "/" + name, Body: []byte(text), Mode: 0o644})
	}
	var buf bytes.Buffer
	if err := r.Write(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func writeTemp(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// tag is a tag of a hand-made header; count is what the header claims.
type tag struct {
	tag, typ, count uint32
	data            []byte
}

func stringTag(number uint32, s string) tag { return tag{number, 6, 1, append([]byte(s), 0)} }

// driverTags are those of a package that passes as the driver's 2.24.7.0.
func driverTags() []tag {
	return []tag{
		stringTag(1000, packageName), stringTag(1001, "2.24.7.0"), stringTag(1002, "dkms"), stringTag(1022, "noarch"),
		stringTag(1124, "cpio"), stringTag(1125, "gzip"),
	}
}

func rawHeader(tags []tag) []byte {
	var index, data []byte
	for _, t := range tags {
		for _, n := range []uint32{t.tag, t.typ, uint32(len(data)), t.count} {
			index = binary.BigEndian.AppendUint32(index, n)
		}
		data = append(data, t.data...)
	}
	h := append(slices.Clone(headerMagic), 0, 0, 0, 0)
	h = binary.BigEndian.AppendUint32(h, uint32(len(tags)))
	h = binary.BigEndian.AppendUint32(h, uint32(len(data)))
	return slices.Concat(h, index, data)
}

// rawRPM makes a package of any headers and payload, which no build tool would make.
func rawRPM(tags []tag, payload []byte) []byte {
	lead := make([]byte, leadSize)
	copy(lead, leadMagic)
	return slices.Concat(lead, rawHeader(nil), rawHeader(tags), payload)
}

// member is an entry of a hand-made archive.
type member struct {
	name  string
	mode  uint32
	links int
	body  string
}

func cpioArchive(members ...member) []byte {
	var b bytes.Buffer
	for _, m := range append(members, member{name: cpioTrailer, links: 1}) {
		fmt.Fprintf(&b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
			1, m.mode, 0, 0, max(m.links, 1), 0, len(m.body), 0, 0, 0, 0, len(m.name)+1, 0, m.name)
		b.Write(make([]byte, padding(int64(b.Len()))))
		b.WriteString(m.body)
		b.Write(make([]byte, padding(int64(b.Len()))))
	}
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const testTree = "./usr/src/aws-neuronx-2.24.7.0/"

// evilRPM is a package that passes as the driver's 2.24.7.0, with these members after a good one.
func evilRPM(t testing.TB, members ...member) []byte {
	good := member{name: testTree + "Kbuild", mode: 0o100644, body: "obj-m += neuron.o\n"}
	return rawRPM(driverTags(), gzipped(t, cpioArchive(append([]member{good}, members...)...)))
}

// listing is every file below dir with its mode and text, for comparing trees.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, relErr := filepath.Rel(dir, path)
		found[name] = fmt.Sprintf("%v %s", info.Mode(), text)
		if relErr != nil {
			return relErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func names(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
