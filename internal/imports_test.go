// Package internal_test holds the shape of the project: who may import whom.
package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed names, for each package, the project's packages that it may import.
// It is the picture of docs/architecture.md; a new arrow is a decision.
var allowed = map[string][]string{
	"hint":      {},
	"version":   {},
	"jsonfile":  {},
	"filelock":  {},
	"kernel":    {"version"},
	"kmm":       {"kernel", "version"},
	"matrix":    {"hint", "jsonfile", "version"},
	"catalog":   {"hint", "jsonfile", "kernel", "version"},
	"command":   {},
	"transport": {"hint"},
	"registry":  {"command", "hint", "filelock"},
	"github":    {"hint"},
	"identity":  {"hint", "transport"},
	"ecr":       {"hint", "identity"},
	"layer":     {"registry"},
	"toolkit":   {"hint", "kernel", "layer", "registry", "version"},
	"payload":   {"catalog", "hint", "kernel", "layer", "registry", "version"},
	"upkeep":    {"catalog", "hint", "kernel", "payload", "registry", "version"},
	"driver":    {"filelock", "hint", "kernel", "version"},
	"workspace": {"hint", "filelock"},
	"engine":    {"command", "hint", "filelock", "workspace"},
	"module":    {"engine", "hint", "kernel", "version"},
	"image":     {"engine", "hint", "kernel", "module", "version"},
	"mirror":    {"catalog", "hint", "kernel", "plan", "registry", "toolkit", "version"},
	"plan":      {"catalog", "hint", "kernel", "matrix", "version"},
	"inventory": {"kernel", "plan", "version"},
	"page":      {"inventory", "kernel", "plan", "version"},
	"build":     {"driver", "engine", "hint", "image", "kernel", "module", "plan", "registry", "version"},
	"term":      {"build", "kernel"},
	"release":   {"driver", "filelock", "hint", "image", "kernel", "kmm", "plan", "version"},
	"config":    {"driver", "hint"},
	"doctor":    {"config", "hint"},

	// Parts of the lab that tests of any package may use: they know nothing of the product.
	"lab/door":   {},
	"lab/amazon": {"lab/door"},
	"lab/forge":  {},
}

// anything may be imported by these; nothing but cmd imports them.
var tops = []string{"cli", "lab", "e2e"}

// R8 by construction: outside services are touched by few packages, and the
// pure ones stay pure.
func TestImports(t *testing.T) {
	for _, file := range sources(t) {
		pkg, _, _ := strings.Cut(filepath.ToSlash(file), "/")
		if dir := filepath.ToSlash(filepath.Dir(file)); allowed[dir] != nil {
			pkg = dir
		}
		checkFile(t, file, pkg)
	}
}

func checkFile(t *testing.T, file, pkg string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	may, known := allowed[pkg]
	if !known && !slices.Contains(tops, pkg) {
		t.Errorf("%s: package %s is not in the list; say what it may import", file, pkg)
	}
	for _, spec := range parsed.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		whole, internal := strings.CutPrefix(name, "neuron-kmod/internal/")
		other, _, _ := strings.Cut(whole, "/")
		switch {
		case !internal || other == pkg || slices.Contains(may, whole):
		case slices.Contains(tops, other) && pkg != "e2e":
			t.Errorf("%s imports %s, which only commands may", file, name)
		case known && !slices.Contains(may, other):
			t.Errorf("%s imports %s; %s may import only %v", file, name, pkg, may)
		}
	}
}

// One runner for external commands: only package command starts a process.
func TestOneRunner(t *testing.T) {
	for _, file := range sources(t) {
		pkg, _, _ := strings.Cut(filepath.ToSlash(file), "/")
		if slices.Contains([]string{"command", "lab", "e2e"}, pkg) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{"exec.Command", "os.StartProcess", "syscall.Exec", "os.Getenv", "os.LookupEnv", "os.Exit", "context.Background", "context.TODO"} {
			if strings.Contains(string(text), call) {
				t.Errorf("%s calls %s", file, call)
			}
		}
	}
}

// sources lists the Go files of the product and the lab, without tests.
func sources(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
			files = append(files, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no source files found")
	}
	return files
}
