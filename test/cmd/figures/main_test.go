package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The tree has one of everything that is counted, and a test package that must not count.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	many := strings.Builder{}
	for name := 'A'; name <= 'Y'; name++ {
		many.WriteString("func (base) " + string(name) + "() {}\n")
	}
	write("go.mod", "module example\n\ngo 1.26\n")
	write("internal/cli/cli.go", "package cli\n\ntype planOptions struct{}\n\ntype base struct{ planOptions }\n\n"+
		"type tower struct {\n\t*base\n\tname string\n}\n\nfunc (*tower) own() {}\n"+many.String())
	write("internal/cli/cli_test.go", "package cli\n\ntype inTest struct{ base }\n")
	write("internal/word/word.go", "package word\n\nimport \"io\"\n\ntype Word struct{ io.Reader }\n")
	write("test/lab/lab.go", "package lab\n\ntype a struct{}\n\ntype b struct{ a }\n")

	f, err := measure(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"cli", "word"}; !slices.Equal(f.Names, want) {
		t.Errorf("names %q, want %q", f.Names, want)
	}
	if f.CLI != 12+25 || f.Lines != f.CLI+5 {
		t.Errorf("%d lines of cli, %d of the product", f.CLI, f.Lines)
	}
	embedded := []string{
		"internal/cli/cli.go:5:19 planOptions", "internal/cli/cli.go:8:2 *base", "internal/word/word.go:5:19 io.Reader",
	}
	if slices.Sort(f.Embedded); !slices.Equal(f.Embedded, embedded) {
		t.Errorf("embedded %q, want %q", f.Embedded, embedded)
	}
	if want := []string{"internal/cli.tower: 26"}; !slices.Equal(f.ManyMethods, want) {
		t.Errorf("many methods %q, want %q", f.ManyMethods, want)
	}
	var out strings.Builder
	f.print(&out)
	end := `     1 of them options, settings or sessions
         internal/cli/cli.go:5:19 planOptions
     1 types with more than 25 reachable methods
         internal/cli.tower: 26
`
	if !strings.HasSuffix(out.String(), end) {
		t.Errorf("printed\n%s\nwant at its end\n%s", out.String(), end)
	}
}
