package driver

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzUnpack feeds whole packages: whatever is in them, nothing may be written outside, and what is written
// has only two modes and stays within the limits.
func FuzzUnpack(f *testing.F) {
	for _, compressor := range []string{"gzip", "xz", "zstd"} {
		f.Add(packRPM(f, "2.24.7.0", compressor, sourceFiles()))
	}
	for _, h := range hostile(f) {
		f.Add(h.rpm)
	}
	v := mustDriver(f, "2.24.7.0")
	f.Fuzz(func(t *testing.T, data []byte) {
		checkUnpacked(t, data, func(rpm, dst string) error {
			_, err := unpack(t.Context(), rpm, v, dst, testLimits)
			return err
		})
	})
}

// FuzzArchive feeds archives in a package that is otherwise good, so that the fuzzer need not find its way
// through a compressor.
func FuzzArchive(f *testing.F) {
	f.Add(cpioArchive())
	f.Add(cpioArchive(member{name: testTree + "Kbuild", mode: 0o100644, body: "x"}, member{name: "../x", mode: 0o100644}))
	f.Add(cpioArchive(member{name: testTree + "l", mode: 0o120777, body: "/etc"}, member{name: testTree + "l/x", mode: 0o100644}))
	f.Fuzz(func(t *testing.T, archive []byte) {
		checkUnpacked(t, nil, func(_, dst string) error {
			return createDir(dst, func(root *os.Root) error {
				tr := tree{root: root, top: strings.Trim(testTree, "./")}
				c := cpioReader{r: bytes.NewReader(archive)}
				for {
					e, body, err := c.next()
					if err == io.EOF { //nolint:errorlint // as the reader of payloads
						return tr.complete()
					}
					if err != nil {
						return err
					}
					if err := tr.add(e, body); err != nil {
						return err
					}
				}
			})
		})
	})
}

// checkUnpacked runs one unpacking and looks at what it left.
func checkUnpacked(t *testing.T, data []byte, run func(rpm, dst string) error) {
	dir := t.TempDir()
	rpm, dst := filepath.Join(dir, "a.rpm"), filepath.Join(dir, "dst")
	if err := os.WriteFile(rpm, data, 0o644); err != nil {
		t.Fatal(err)
	}
	failed := run(rpm, dst)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "a.rpm" && (e.Name() != "dst" || failed != nil) {
			t.Errorf("%s is there (error %v)", e.Name(), failed)
		}
	}
	if failed != nil {
		return
	}
	for name, content := range listing(t, dst) {
		if !strings.HasPrefix(name, "usr/src/aws-neuronx-2.24.7.0/") {
			t.Errorf("%q is outside the tree", name)
		}
		if mode := content[:10]; mode != "-rw-r--r--" && mode != "-rwxr-xr-x" {
			t.Errorf("%q has mode %s", name, mode)
		}
	}
}

// FuzzRule applies a rule to any text: it changes what it counts, and nothing else.
func FuzzRule(f *testing.F) {
	for _, r := range Rules() {
		f.Add("a "+r.Find+r.Find+" b", r.Find, r.Replace)
	}
	f.Add("aaa", "aa", "a")
	f.Add("", "x", "")
	f.Fuzz(func(t *testing.T, text, find, replace string) {
		if find == "" {
			return // TestRules: no rule has none
		}
		got, n := Rule{Find: find, Replace: replace}.replace([]byte(text))
		if want := strings.Join(strings.Split(text, find), replace); string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if len(got)-len(text) != n*(len(replace)-len(find)) {
			t.Errorf("%d replaced, but %d bytes became %d", n, len(text), len(got))
		}
	})
}
