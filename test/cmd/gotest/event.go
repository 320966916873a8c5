package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is one line of `go test -json`: https://pkg.go.dev/cmd/test2json
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build's output, in place of Package
	Test       string
	Elapsed    float64 // seconds; of a test without the time for which it waited to be run in parallel
	Output     string
}

// testName is a test of a package.
type testName struct{ pkg, test string }

// view writes events as go test shows them without -v: what a failed test has said, and each package's line.
type view struct {
	out  io.Writer
	rest []byte // of a line that is not complete
	said map[testName]*bytes.Buffer
}

func newView(out io.Writer) *view { return &view{out: out, said: map[testName]*bytes.Buffer{}} }

// Write takes the events in pieces of any size.
func (v *view) Write(p []byte) (int, error) {
	v.rest = append(v.rest, p...)
	for {
		line, rest, complete := bytes.Cut(v.rest, []byte("\n"))
		if !complete {
			return len(p), nil
		}
		if err := v.show(line); err != nil {
			return 0, err
		}
		v.rest = rest
	}
}

// show writes at once what belongs together: other stages write to the same terminal.
func (v *view) show(line []byte) error {
	var e event
	if err := json.Unmarshal(line, &e); err != nil { // go's own words
		_, err := fmt.Fprintf(v.out, "%s\n", line)
		return err
	}
	name := testName{e.Package, e.Test}
	switch {
	case e.Action == "build-output" || e.Action == "output" && e.Test == "" && e.Output != "PASS\n":
		_, err := io.WriteString(v.out, e.Output)
		return err
	case e.Action == "output" && strings.HasPrefix(e.Output, "=== "): // that a test runs, pauses, goes on
	case e.Action == "output" && e.Test != "":
		if v.said[name] == nil {
			v.said[name] = &bytes.Buffer{}
		}
		v.said[name].WriteString(e.Output)
	case e.Test != "" && (e.Action == "pass" || e.Action == "skip"):
		delete(v.said, name)
	case e.Test != "" && e.Action == "fail":
		return v.showTest(name)
	}
	return nil
}

func (v *view) showTest(name testName) error {
	said := v.said[name]
	delete(v.said, name)
	if said == nil {
		return nil
	}
	_, err := v.out.Write(said.Bytes())
	return err
}

// close writes what tests have said that did not end.
func (v *view) close() error {
	for name := range v.said {
		if err := v.showTest(name); err != nil {
			return err
		}
	}
	return nil
}

// summarize prints the n slowest tests of the files' events, then each package's line as go test has written it. A
// test's time is that of its function and of its parallel subtests, which run when the function is done.
func summarize(files []string, n int, out io.Writer) error {
	seconds := map[testName]float64{}
	parallel := map[testName]bool{}
	var packages []string
	for _, file := range files {
		err := eachEvent(file, func(e event) {
			name := testName{e.Package, e.Test}
			top, _, sub := strings.Cut(e.Test, "/")
			switch {
			case e.Action == "output" && e.Test == "" && isResult(e.Output):
				packages = append(packages, e.Output)
			case e.Action == "pause":
				parallel[name] = true
			case e.Test != "" && (e.Action == "pass" || e.Action == "fail") && (!sub || parallel[name]):
				seconds[testName{e.Package, top}] += e.Elapsed
			}
		})
		if err != nil {
			return err
		}
	}
	names := make([]testName, 0, len(seconds))
	for name := range seconds {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b testName) int {
		return cmp.Or(cmp.Compare(seconds[b], seconds[a]), cmp.Compare(a.pkg+a.test, b.pkg+b.test))
	})
	fmt.Fprintf(out, "The %d slowest of %d tests:\n", min(n, len(names)), len(names))
	for _, name := range names[:min(n, len(names))] {
		fmt.Fprintf(out, "%7.1fs  %s.%s\n", seconds[name], name.pkg, name.test)
	}
	slices.Sort(packages)
	for _, line := range packages {
		fmt.Fprint(out, line)
	}
	return nil
}

// isResult reports whether a line is go test's of a package.
func isResult(line string) bool {
	return strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "FAIL\t")
}

func eachEvent(file string, do func(event)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			do(e)
		}
	}
	return lines.Err()
}
