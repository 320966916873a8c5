// Package docs holds the documents and the tests that keep them true.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName    = regexp.MustCompile("`([a-z0-9]+)\\.((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)`")
	testFunc    = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)\(`)
	requirement = regexp.MustCompile(`(?m)^\| (R\d+\.\d+) \|`)
)

// tests lists the tests of the project as "package.TestName", by the name of the directory.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range testFunc.FindAllStringSubmatch(string(text), -1) {
			found[filepath.Base(filepath.Dir(path))+"."+m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The map of requirements names only tests that exist, and leaves none of the requirements out.
func TestRequirementsMap(t *testing.T) {
	text, err := os.ReadFile("requirements.md")
	if err != nil {
		t.Fatal(err)
	}
	have := tests(t)
	named := testName.FindAllStringSubmatch(string(text), -1)
	if len(named) == 0 {
		t.Error("requirements.md names no test")
	}
	for _, m := range named {
		if !have[m[1]+"."+m[2]] {
			t.Errorf("requirements.md names %s.%s, which does not exist", m[1], m[2])
		}
	}
	rows := map[string]bool{}
	for _, m := range requirement.FindAllStringSubmatch(string(text), -1) {
		rows[m[1]] = true
	}
	for _, r := range strings.Fields("R1.1 R1.2 R1.3 R2.1 R2.2 R2.3 R3.1 R3.2 R4.1 R4.2 R4.3 R5.1 R5.2 R5.3 R6.1 R6.2 R6.3 R7.1 R7.2 R7.3 R8.1 R8.2 R8.3 R9.1 R9.2 R10.1 R10.2") {
		if !rows[r] {
			t.Errorf("requirements.md has no row for %s", r)
		}
	}
}

// The messages that the README explains are messages of the program.
func TestTroubleshooting(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "## When something goes wrong")
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1)
	if len(rows) == 0 {
		t.Fatal("the README explains no message")
	}
	code := source(t)
	for _, row := range rows {
		message := strings.ReplaceAll(row[1], "target ecr is", "target %s is") // a value stands in it
		if !strings.Contains(code, message) {
			t.Errorf("no code says %q", row[1])
		}
	}
}

// source is the text of the product.
func source(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir("../internal", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		b.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The links between the documents lead somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	guides, err := filepath.Glob("guides/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range append(guides, "../README.md", "architecture.md", "requirements.md", "commands.md", "benchmarks.md", "../driver-toolkit/README.md") {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			}
		}
	}
}
