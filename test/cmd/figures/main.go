// Command figures prints how large the product is and how tangled its types are: the figures by which a change of the
// tree's shape is judged. Tests and what is only for tests do not count.
//
//	go run ./test/cmd/figures [-C DIR]
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const maxMethods = 25 // a type with more is listed

var (
	// forTests matches directories that are no part of the product, in this tree and in earlier ones.
	forTests = regexp.MustCompile(`(^|/)(lab|e2e|[a-z]*test)(/|$)`)
	// optionTypes matches the names of types that no other struct may embed.
	optionTypes = regexp.MustCompile(`(?i)(options|settings|session)$`)
)

// listed is what `go list -json` tells of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	Module                  *struct {
		Main bool
		Dir  string
	}
}

// figures are the counts of one tree.
type figures struct {
	Names       []string // in internal/
	Lines, CLI  int      // of the product, and of internal/cli
	Embedded    []string // "file:line:column type"
	ManyMethods []string // types with more than maxMethods reachable methods
}

func main() {
	dir := flag.String("C", ".", "the `directory` of the module")
	flag.Parse()
	f, err := measure(context.Background(), *dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
	f.print(os.Stdout)
}

// measure counts the module in root. It compiles the packages, so that their types are known.
func measure(ctx context.Context, root string) (*figures, error) {
	entries, err := os.ReadDir(filepath.Join(root, "internal"))
	if err != nil {
		return nil, err
	}
	f := &figures{}
	for _, entry := range entries {
		f.Names = append(f.Names, entry.Name())
	}
	packages, err := list(ctx, root)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	fset := token.NewFileSet()
	compiled := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	for _, p := range packages { // what a package imports is listed before it
		exports[p.ImportPath] = p.Export
		if p.Module == nil || !p.Module.Main {
			continue
		}
		dir := strings.TrimPrefix(filepath.ToSlash(strings.TrimPrefix(p.Dir, p.Module.Dir)), "/")
		if forTests.MatchString(dir) {
			continue
		}
		if err := f.add(p, dir, fset, compiled); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// list asks the go command for the packages of a module and all that they import.
func list(ctx context.Context, root string) ([]listed, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-export", "-json", "./...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var p listed
		if err := decoder.Decode(&p); err != nil {
			return nil, fmt.Errorf("read what go list says: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

// add counts one package of the product, which is in dir.
func (f *figures) add(p listed, dir string, fset *token.FileSet, compiled types.Importer) error {
	var files []*ast.File
	for _, name := range p.GoFiles {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return err
		}
		lines := bytes.Count(text, []byte("\n"))
		f.Lines += lines
		if dir == "internal/cli" {
			f.CLI += lines
		}
		file, err := parser.ParseFile(fset, dir+"/"+name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		f.addEmbedded(file, fset)
		files = append(files, file)
	}
	checked, err := (&types.Config{Importer: compiled}).Check(p.ImportPath, fset, files, nil)
	if err != nil {
		return err
	}
	for _, name := range checked.Scope().Names() {
		if object, isType := checked.Scope().Lookup(name).(*types.TypeName); isType && !object.IsAlias() {
			if n := reachable(object.Type(), checked); n > maxMethods {
				f.ManyMethods = append(f.ManyMethods, fmt.Sprintf("%s.%s: %d", dir, name, n))
			}
		}
	}
	return nil
}

// addEmbedded counts the embedded fields of the structs in a file, also of structs without a name.
func (f *figures) addEmbedded(file *ast.File, fset *token.FileSet) {
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range s.Fields.List {
			if len(field.Names) == 0 {
				f.Embedded = append(f.Embedded, fmt.Sprintf("%s %s", fset.Position(field.Pos()), types.ExprString(field.Type)))
			}
		}
		return true
	})
}

// reachable returns how many methods package from can call on a variable of type t, promoted ones included.
func reachable(t types.Type, from *types.Package) int {
	if !types.IsInterface(t) {
		t = types.NewPointer(t)
	}
	n := 0
	for method := range types.NewMethodSet(t).Methods() {
		if method.Obj().Exported() || method.Obj().Pkg() == from {
			n++
		}
	}
	return n
}

// print writes the counts, and below them what was counted.
func (f *figures) print(w io.Writer) {
	fmt.Fprintf(w, "%6d names in internal/: %s\n", len(f.Names), strings.Join(f.Names, " "))
	fmt.Fprintf(w, "%6d lines of internal/cli\n%6d lines of the product\n", f.CLI, f.Lines)
	printList(w, "embedded fields in structs", f.Embedded)
	notOptions := func(embedded string) bool { return !optionTypes.MatchString(embedded) }
	printList(w, "of them options, settings or sessions", slices.DeleteFunc(slices.Clone(f.Embedded), notOptions))
	printList(w, fmt.Sprintf("types with more than %d reachable methods", maxMethods), f.ManyMethods)
}

func printList(w io.Writer, what string, items []string) {
	fmt.Fprintf(w, "%6d %s\n", len(items), what)
	for _, item := range slices.Sorted(slices.Values(items)) {
		fmt.Fprintf(w, "%9s%s\n", "", item)
	}
}
