package driver

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/rpmpack"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/rpm"
	"neuron-kmod/internal/kmod/rpm/rpmtest"
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
	return signed(t, buf.Bytes())
}

var testKey = sync.OnceValues(func() (*rpmtest.Key, error) { return rpmtest.FixedKey("Driver") })

// signed signs a package with the key of the tests, as the real ones are signed.
func signed(t testing.TB, pkg []byte) []byte {
	t.Helper()
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	data, err := key.SignV3(pkg)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// testKeys has the key of the tests alone.
func testKeys(t testing.TB) rpm.Keyring {
	t.Helper()
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	data, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := rpm.ParseKeyring(data)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// asProven is the package in a file as if it had been proven, for tests of what comes after that.
func asProven(t testing.TB, path string, v version.Driver) Package {
	t.Helper()
	p := Package{Version: v, Path: path}
	r, err := openRPM(path)
	if err != nil {
		return p
	}
	defer r.Close()
	if p.Proof.Digest, err = r.pkg.Digest(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
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
func tag(number, typ, count uint32, data []byte) rpmtest.Tag {
	return rpmtest.Tag{Tag: number, Type: typ, Count: count, Data: data}
}

// driverTags are those of a package that passes as the driver's 2.24.7.0.
func driverTags() []rpmtest.Tag {
	return []rpmtest.Tag{
		rpmtest.StringTag(1000, packageName), rpmtest.StringTag(1001, "2.24.7.0"), rpmtest.StringTag(1002, "dkms"), rpmtest.StringTag(1022, "noarch"),
		rpmtest.StringTag(1124, "cpio"), rpmtest.StringTag(1125, "gzip"),
	}
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
	return rpmtest.Package(driverTags(), gzipped(t, cpioArchive(append([]member{good}, members...)...)))
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
