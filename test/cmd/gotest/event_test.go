package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// events are those of a package with a test that fails in a parallel subtest, and of one that does not compile.
const events = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestFine"}
{"Action":"output","Package":"p","Test":"TestFine","Output":"=== RUN   TestFine\n"}
{"Action":"output","Package":"p","Test":"TestFine","Output":"--- PASS: TestFine (1.50s)\n"}
{"Action":"pass","Package":"p","Test":"TestFine","Elapsed":1.5}
{"Action":"run","Package":"p","Test":"TestBad"}
{"Action":"run","Package":"p","Test":"TestBad/one"}
{"Action":"output","Package":"p","Test":"TestBad/one","Output":"=== PAUSE TestBad/one\n"}
{"Action":"pause","Package":"p","Test":"TestBad/one"}
{"Action":"run","Package":"p","Test":"TestBad/here"}
{"Action":"pass","Package":"p","Test":"TestBad/here","Elapsed":0.25}
{"Action":"output","Package":"p","Test":"TestBad/one","Output":"    p_test.go:7: it is wrong\n"}
{"Action":"output","Package":"p","Test":"TestBad/one","Output":"    --- FAIL: TestBad/one (2.00s)\n"}
{"Action":"fail","Package":"p","Test":"TestBad/one","Elapsed":2}
{"Action":"output","Package":"p","Test":"TestBad","Output":"--- FAIL: TestBad (0.30s)\n"}
{"Action":"fail","Package":"p","Test":"TestBad","Elapsed":0.3}
{"Action":"output","Package":"p","Test":"TestHangs","Output":"panic: test timed out\n"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t3.8s\n"}
{"Action":"fail","Package":"p","Elapsed":3.8}
{"ImportPath":"q","Action":"build-output","Output":"q.go:1: syntax error\n"}
{"Action":"output","Package":"r","Output":"PASS\n"}
{"Action":"output","Package":"r","Output":"ok  \tr\t(cached)\n"}
go: a word of go itself
`

func TestView(t *testing.T) {
	var shown bytes.Buffer
	v := newView(&shown)
	for i := range len(events) { // in pieces that end anywhere
		if _, err := v.Write([]byte{events[i]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}
	const want = `    p_test.go:7: it is wrong
    --- FAIL: TestBad/one (2.00s)
--- FAIL: TestBad (0.30s)
FAIL
FAIL	p	3.8s
q.go:1: syntax error
ok  	r	(cached)
go: a word of go itself
panic: test timed out
`
	if shown.String() != want {
		t.Errorf("shown\n%s\nwant\n%s", shown.String(), want)
	}
}

func TestSummarize(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.json")
	if err := os.WriteFile(file, []byte(events), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := summarize([]string{file}, 2, &out); err != nil {
		t.Fatal(err)
	}
	const want = "The 2 slowest of 2 tests:\n    2.3s  p.TestBad\n    1.5s  p.TestFine\nFAIL\tp\t3.8s\nok  \tr\t(cached)\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// The exit code is go test's.
func TestExitCode(t *testing.T) {
	dir := t.TempDir()
	code, err := run(
		t.Context(), []string{"-o", filepath.Join(dir, "events"), "--", "./no-such-directory"}, &bytes.Buffer{},
	)
	if err != nil || code == 0 {
		t.Errorf("code %d, error %v", code, err)
	}
	code, err = run(
		t.Context(), []string{"-o", filepath.Join(dir, "events"), "--", "-run", "TestSummarize", "."}, &bytes.Buffer{},
	)
	if err != nil || code != 0 {
		t.Errorf("code %d, error %v", code, err)
	}
}
