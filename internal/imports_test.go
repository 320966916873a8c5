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

	"go.yaml.in/yaml/v3"
)

const module = "neuron-kmod/"

// wings names, for each directory of internal, what its packages may import of the project: whole wings, or single packages
// of one. Packages of one wing may import each other. It is the picture of docs/architecture.md; a new arrow is a decision.
var wings = map[string][]string{
	"cli":       {"action", "report", "github", "platform"},
	"report":    {"action", "plan", "openshift", "oci", "github", "platform", "kernel", "version"},
	"action":    {"plan", "openshift", "oci", "kmod", "release", "github", "platform", "kernel", "version"},
	"release":   {"kmod", "openshift/manifest", "plan", "platform", "kernel", "version"},
	"kmod":      {"plan", "oci", "platform", "kernel", "version"},
	"plan":      {"openshift/catalog", "openshift/matrix", "platform", "kernel", "version"},
	"openshift": {"oci", "platform", "kernel", "version"},
	"oci":       {"platform"},
	"github":    {"platform"},
	"platform":  {},
	"kernel":    {"version"},
	"version":   {},
}

// R8 by construction: each wing imports only those below it, and nothing of the product imports what is for tests.
func TestImports(t *testing.T) {
	for _, file := range sources(t, ".") {
		wing, _, _ := strings.Cut(filepath.ToSlash(file), "/")
		if _, known := wings[wing]; !known {
			t.Errorf("%s: the wing %s is not in the list; say what it may import", file, wing)
		}
		for _, name := range imports(t, file) {
			path, internal := strings.CutPrefix(name, module+"internal/")
			if !internal {
				if strings.HasPrefix(name, module) && name != module+"container" {
					t.Errorf("%s imports %s, which is not for the product", file, name)
				}
				continue
			}
			other, _, _ := strings.Cut(path, "/")
			if other != wing && !slices.Contains(wings[wing], other) && !slices.Contains(wings[wing], path) {
				t.Errorf("%s imports %s; %s may import only %v", file, name, wing, wings[wing])
			}
		}
	}
}

// The linter has the same table, so that an editor shows a wrong import as it is typed.
func TestLinterHasTheWings(t *testing.T) {
	type rule struct {
		Files []string
		Allow []string
		Deny  []struct{ Pkg string }
		Mode  string `yaml:"list-mode"`
	}
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct{ Rules map[string]rule }
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../.golangci.yml")), &config); err != nil {
		t.Fatal(err)
	}
	rules := config.Linters.Settings.Depguard.Rules
	for wing, others := range wings {
		allow := []string{module + "internal/" + wing}
		for _, other := range others {
			if strings.Contains(other, "/") {
				other += "$" // this package alone, and not those whose names begin with it
			}
			allow = append(allow, module+"internal/"+other)
		}
		r := rules[wing]
		if !slices.Contains(r.Files, "**/internal/"+wing+"/**") || r.Mode != "lax" ||
			len(r.Deny) != 1 || r.Deny[0].Pkg != strings.TrimSuffix(module, "/") {
			t.Errorf("%s: the linter's rule is not for all of the wing: %+v", wing, r)
		}
		// What a build contains, the container's files, may be read everywhere.
		have := slices.DeleteFunc(r.Allow, func(name string) bool { return name == module+"container" })
		if !slices.Equal(slices.Sorted(slices.Values(have)), slices.Sorted(slices.Values(allow))) {
			t.Errorf("%s: the linter allows %q, the test %q", wing, have, allow)
		}
	}
	if len(rules) != len(wings) {
		t.Errorf("the linter has rules for %d wings, of %d", len(rules), len(wings))
	}
}

// runnerWing holds the one runner of external commands.
const runnerWing = "platform/command/"

// One runner for external commands, one reader of the environment, one exit and one context, which are those of main.
func TestOneRunner(t *testing.T) {
	for _, file := range sources(t, ".") {
		if strings.HasPrefix(filepath.ToSlash(file), runnerWing) {
			continue
		}
		for _, call := range []string{"exec.Command", "os.StartProcess", "syscall.Exec", "os.Getenv", "os.LookupEnv", "os.Exit", "context.Background", "context.TODO"} {
			if strings.Contains(read(t, file), call) {
				t.Errorf("%s calls %s", file, call)
			}
		}
	}
}

// The stand-ins of the lab that tests of any package may use know nothing of the product.
func TestStandInsStandAlone(t *testing.T) {
	for _, dir := range []string{"fakeaws", "fakeauth", "fakegithub"} {
		for _, file := range sources(t, "../test/lab/"+dir) {
			for _, name := range imports(t, file) {
				if strings.HasPrefix(name, module) && name != module+"test/lab/fakeauth" {
					t.Errorf("%s imports %s", file, name)
				}
			}
		}
	}
}

func imports(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, spec := range parsed.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sources lists the Go files below root, without tests.
func sources(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
			files = append(files, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no source files found in %s", root)
	}
	return files
}
