// Package docs holds the documents and the tests that keep them true.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	wanted := "R1.1 R1.2 R1.3 R2.1 R2.2 R2.3 R3.1 R3.2 R4.1 R4.2 R4.3 R5.1 R5.2 R5.3 R6.1 R6.2 R6.3 " +
		"R7.1 R7.2 R7.3 R8.1 R8.2 R8.3 R9.1 R9.2 R10.1 R10.2"
	for _, r := range strings.Fields(wanted) {
		if !rows[r] {
			t.Errorf("requirements.md has no row for %s", r)
		}
	}
}

// The messages that are explained are messages of the program.
func TestTroubleshooting(t *testing.T) {
	code := source(t)
	message := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	for doc, heading := range map[string]string{"troubleshooting.md": "# Troubleshooting", "../README.md": "## When something goes wrong"} {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		_, section, _ := strings.Cut(string(text), heading)
		rows := message.FindAllStringSubmatch(section, -1)
		if len(rows) == 0 {
			t.Errorf("%s explains no message", doc)
		}
		for _, row := range rows {
			if !strings.Contains(code, row[1]) {
				t.Errorf("%s: no code says %q", doc, row[1])
			}
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

// The links between the documents lead somewhere: to a file that exists and, in a document, to a heading.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	guides, err := filepath.Glob("guides/*.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := append(guides, "../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md", "../SECURITY.md", "architecture.md", "requirements.md",
		"commands.md", "benchmarks.md", "troubleshooting.md", "../driver-toolkit/README.md")
	for _, doc := range docs {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target := doc
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(doc), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			} else if m[2] != "" && !slices.Contains(headings(t, target), m[2]) {
				t.Errorf("%s links to %s#%s, which has no such heading", doc, m[1], m[2])
			}
		}
	}
}

// headings lists the anchors that GitHub gives to the headings of a document: lower case, spaces as hyphens, without other
// punctuation.
func headings(t *testing.T, doc string) []string {
	t.Helper()
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	var anchors []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(text), -1) {
		anchor := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}
