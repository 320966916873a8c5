package driver

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"neuron-kmod/internal/kmod/rpm/rpmtest"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// unsigned makes the package that packRPM signs.
func unsigned(t testing.TB) []byte {
	t.Helper()
	pkg, err := rpmtest.Sign(packRPM(t, "2.24.7.0", "gzip", sourceFiles()))
	if err != nil {
		t.Fatal(err)
	}
	return pkg
}

// untrusted lists packages whose form is good and that nobody vouches for, with what the error has to say.
func untrusted(t testing.TB) map[string]struct {
	pkg  []byte
	want string
} {
	sign := func(pkg []byte, signatures ...rpmtest.Signature) []byte {
		data, err := rpmtest.Sign(pkg, signatures...)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	key, err1 := testKey()
	other, err2 := rpmtest.FixedKey("Other")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	// A package whose only protection was the key: nothing else in it tells that it was changed.
	body := cpioArchive(member{name: testTree + "Kbuild", mode: 0o100644, body: "obj-m += neuron.o\n"})
	changed := cpioArchive(member{name: testTree + "Kbuild", mode: 0o100644, body: "$(shell id)\n"})
	bare, forged := rpmtest.Package(driverTags(), gzipped(t, body)), rpmtest.Package(driverTags(), gzipped(t, changed))
	_, header, payload, err := rpmtest.Split(bare)
	if err != nil {
		t.Fatal(err)
	}
	over := func(sign func([]byte) ([]byte, error), data []byte) func([]byte) ([]byte, error) {
		packet, err := sign(data)
		if err != nil {
			t.Fatal(err)
		}
		return func([]byte) ([]byte, error) { return packet, nil }
	}
	whole := slices.Concat(header, payload)
	return map[string]struct {
		pkg  []byte
		want string
	}{
		"unsigned":    {unsigned(t), "it is not signed"},
		"another key": {sign(unsigned(t), rpmtest.By(rpmtest.TagPGP, other.V4)), other.Fingerprint()},
		"changed, version 3": {
			sign(forged, rpmtest.By(rpmtest.TagPGP, over(key.V3, whole))),
			"changed after it had been signed",
		},
		"changed, version 4": {
			sign(forged, rpmtest.By(rpmtest.TagPGP, over(key.V4, whole))),
			"changed after it had been signed",
		},
		"the header's alone": {
			sign(bare, rpmtest.By(rpmtest.TagRSA, key.V4)),
			"only its header is signed, and it lists no files",
		},
		"the header's, changed": {
			sign(forged, rpmtest.By(rpmtest.TagRSA, key.V3)),
			"only its header is signed, and it lists no files",
		},
	}
}

// R3.1: a package that nobody vouches for is not taken: from a server, where nothing of it stays, and from a directory.
func TestFetchUntrusted(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	for name, tt := range untrusted(t) {
		t.Run(name, func(t *testing.T) {
			repo := newRepository(t, tt.pkg)
			f, _ := newFetcher(t, repo)
			got, err := f.Fetch(t.Context(), v)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(fault.Of(err), "--driver-key") {
				t.Errorf("from a server: got %+v and error %v, advice %q; want %q", got, err, fault.Of(err), tt.want)
			}
			nothingLeft(t, f.Cache)

			folder := &Fetcher{Source: t.TempDir(), Keys: testKeys(t)}
			if err := os.WriteFile(filepath.Join(folder.Source, FileName(v)), tt.pkg, 0o644); err != nil {
				t.Fatal(err)
			}
			got, err = folder.Fetch(t.Context(), v)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(fault.Of(err), "--driver-key") {
				t.Errorf("from a directory: got %+v and error %v, advice %q; want %q", got, err, fault.Of(err), tt.want)
			}
		})
	}
}

// R3.1: a package in the cache is proven again each time. One that nobody vouches for is refused, whether the server is
// there or not, and stays for a person to look at; the error names the file and what to do.
func TestFetchUntrustedCache(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	for name, tt := range untrusted(t) {
		t.Run(name, func(t *testing.T) {
			repo := newRepository(t, packRPM(t, "2.24.7.0", "gzip", sourceFiles()))
			f, _ := newFetcher(t, repo)
			good, err := f.Fetch(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(good.Path, tt.pkg, 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := f.Fetch(t.Context(), v)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), good.Path) {
				t.Errorf("got %+v and error %v, want one with %q and %s", got, err, tt.want, good.Path)
			}
			if advice := fault.Of(err); !strings.Contains(advice, "remove the file") {
				t.Errorf("advice %q", advice)
			}
			if left, err := os.ReadFile(good.Path); err != nil || !bytes.Equal(left, tt.pkg) {
				t.Errorf("the file is gone or another one (%v)", err)
			}
			if len(repo.requests) != 1 {
				t.Errorf("%d requests, want 1", len(repo.requests))
			}
			if err := os.Remove(good.Path); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Fetch(t.Context(), v); err != nil {
				t.Errorf("after the file was removed: %v", err)
			}
		})
	}
}

// R3.1: without keys it is AWS's that counts, and none can be switched off.
func TestFetchDefaultKey(t *testing.T) {
	repo := newRepository(t, packRPM(t, "2.24.7.0", "gzip", sourceFiles()))
	f, _ := newFetcher(t, repo)
	f.Keys = nil
	_, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
	if err == nil || !strings.Contains(err.Error(), "not 00FA2C1079260870A76D2C285749CAD8646D9185") {
		t.Errorf("got %v", err)
	}
}

// R3.1: a package whose header alone is signed, as new versions of rpm do it, passes by the digests of its files,
// whatever it is compressed with.
func TestFetchHeaderSigned(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, compressor := range []string{"gzip", "xz", "zstd"} {
		pkg, err := key.SignHeader(packRPM(t, "2.24.7.0", compressor, sourceFiles()))
		if err != nil {
			t.Fatal(err)
		}
		p, err := checkRPM(t.Context(), writeTemp(t, FileName(v), pkg), v, testKeys(t), defaultLimits)
		if err != nil || !p.Proof.HeaderOnly || p.Proof.Key.Fingerprint != key.Fingerprint() {
			t.Errorf("%s: got %+v and error %v", compressor, p, err)
		}
	}
}

// R3.1: what is unpacked is what was proven: another file in its place is refused, though it is signed as well.
func TestUnpackSwapped(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	path := writeTemp(t, FileName(v), packRPM(t, "2.24.7.0", "gzip", sourceFiles()))
	p, err := checkRPM(t.Context(), path, v, testKeys(t), defaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	files := sourceFiles()
	files["more.c"] = ""
	if err := os.WriteFile(path, packRPM(t, "2.24.7.0", "gzip", files), 0o644); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "source")
	_, err = Unpack(t.Context(), p, dst)
	if err == nil || !strings.Contains(err.Error(), "not the package that was checked") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(dst); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	if _, err := Unpack(t.Context(), Package{Version: v, Path: path}, dst); err == nil {
		t.Error("a package without proof: no error")
	}
}

// The source tells which package it is from.
func TestUnpackDigest(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	path := writeTemp(t, FileName(v), packRPM(t, "2.24.7.0", "gzip", sourceFiles()))
	p, err := checkRPM(t.Context(), path, v, testKeys(t), defaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Unpack(t.Context(), p, filepath.Join(t.TempDir(), "source"))
	if err != nil || s.Package != p.Proof.Digest || !strings.HasPrefix(s.Package, "sha256:") {
		t.Errorf("got %+v and error %v, want the digest %s", s, err, p.Proof.Digest)
	}
}

// R3.1: a package that the matrix does not pin is not taken, though it is signed; the error names both digests and the
// place of the pin. One in the cache gives way to the pinned one, once that is served.
func TestFetchPinned(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	old := packRPM(t, "2.24.7.0", "gzip", sourceFiles())
	files := sourceFiles()
	files["more.c"] = ""
	repo := newRepository(t, old)
	f, _ := newFetcher(t, repo)
	first, err := f.Fetch(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	again := packRPM(t, "2.24.7.0", "gzip", files)
	p, err := checkRPM(t.Context(), writeTemp(t, FileName(v), again), v, testKeys(t), defaultLimits)
	if err != nil {
		t.Fatal(err)
	}

	f.Pins = map[version.Driver]Pin{v: {Digest: p.Proof.Digest, Place: "build-matrix.json:3:5"}}
	_, err = f.Fetch(t.Context(), v)
	want := "has the digest " + first.Proof.Digest + ", but build-matrix.json:3:5 pins " + p.Proof.Digest
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(fault.Of(err), "pin the new digest") {
		t.Errorf("got error %v, advice %q; want %q", err, fault.Of(err), want)
	}
	if kept, err := os.ReadFile(first.Path); err != nil || !bytes.Equal(kept, old) {
		t.Errorf("the cached package is another one (%v)", err)
	}

	repo.content, repo.etag = again, `"two"`
	if got, err := f.Fetch(t.Context(), v); err != nil || got.Proof.Digest != p.Proof.Digest {
		t.Errorf("got %+v, %v, want %s", got, err, p.Proof.Digest)
	}
	other := mustDriver(t, "2.24.8.0")
	f.Pins = map[version.Driver]Pin{other: {Digest: "sha256:0"}}
	if _, err := f.Fetch(t.Context(), v); err != nil {
		t.Errorf("another version is pinned: %v", err)
	}
}
