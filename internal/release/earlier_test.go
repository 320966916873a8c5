package release

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/platform/fault"
)

// sourceOf is the digest that the image for a kernel has as its label.
func sourceOf(t *testing.T, in SourceInput, k string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "prepared")
	if _, err := in.Source.Prepare(mustKernel(t, k), dir); err != nil {
		t.Fatal(err)
	}
	digest, err := driver.SourceDigest(dir, in.Script)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// labelled gives each module the label that its image has when it is built from in.
func labelled(t *testing.T, in SourceInput) SourceInput {
	t.Helper()
	in.Modules = slices.Clone(in.Modules)
	for i, m := range in.Modules {
		in.Modules[i].Source = sourceOf(t, in, m.Kernel.String())
	}
	return in
}

// changed is the input after another package, rule or script has come: every tree comes out otherwise.
func changed(t *testing.T, in SourceInput) SourceInput {
	t.Helper()
	in.Script += "# another\n"
	in.Modules = slices.Clone(in.Modules)
	in.Dir = t.TempDir()
	return in
}

func archiveOf(t *testing.T, in SourceInput) Archive {
	t.Helper()
	a, err := ModifiedSource(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// holding makes the release have an archive.
func holding(a Archive) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return a.Open() }
}

// below returns the members of an archive's trees.
func below(t *testing.T, a Archive) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, is := range listed(entriesOf(t, a.Path)) {
		if rest, ok := strings.CutPrefix(name, sourceTop+treesDir); ok && rest != "" {
			found[rest] = is
		}
	}
	return found
}

// R7.2: what images were compiled from stays in the archive when rules, package or script have changed since, to the
// byte, and beside it what newer images were compiled from.
func TestModifiedSourceOfOlderImages(t *testing.T) {
	first := labelled(t, sourceInput(t, el9_4, el9_5, el9_6))
	old := archiveOf(t, first)

	unforced := changed(t, first) // and nothing was built since
	unforced.Earlier = holding(old)
	if diff := cmp.Diff(below(t, old), below(t, archiveOf(t, unforced))); diff != "" {
		t.Errorf("nothing was built, and the trees changed:\n%s", diff)
	}

	partly := changed(t, first) // el9_6 was built since, or was the only one that could be
	partly.Modules[2].Source = sourceOf(t, partly, el9_6)
	partly.Earlier = holding(old)
	mixed := archiveOf(t, partly)
	newest := nameFor(t, partly, "unmapped-area", el9_6)
	got := below(t, mixed)
	for name, is := range got {
		if !strings.HasPrefix(name, newest) {
			continue
		}
		delete(got, name)
		if name == newest+scriptSuffix && is != "0 755 "+partly.Script || name == newest+kernelsSuffix && is != "0 644 "+el9_6+"\n" {
			t.Errorf("%s: %q", name, is)
		}
	}
	// What the replaced image was made from stays: it was given away.
	if diff := cmp.Diff(below(t, old), got); diff != "" {
		t.Errorf("besides the new tree:\n%s", diff)
	}

	again := partly
	again.Dir, again.Earlier = t.TempDir(), holding(mixed)
	if a := archiveOf(t, again); a.Digest != mixed.Digest {
		t.Error("a second run makes other bytes")
	}
}

// A module may have been compiled from what the rules make today for another kernel: no archive is needed for that.
func TestModifiedSourceSwapped(t *testing.T) {
	in := labelled(t, sourceInput(t, el9_4, el9_6))
	in.Modules = append(in.Modules, Module{mustKernel(t, el9_8), in.Modules[0].Source})
	got := below(t, archiveOf(t, in))
	if want := "0 644 " + el9_4 + "\n" + el9_8 + "\n"; got[nameFor(t, in, "class-show", el9_4)+kernelsSuffix] != want {
		t.Errorf("got %v", got)
	}
}

// A rule that no longer matches is no matter where the module was compiled from something else.
func TestModifiedSourceOfAnotherPackage(t *testing.T) {
	in := labelled(t, sourceInput(t, el9_6))
	old := archiveOf(t, in)
	if err := os.WriteFile(filepath.Join(in.Source.Dir, "neuron_mmap.h"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	in.Dir, in.Earlier = t.TempDir(), holding(old)
	if diff := cmp.Diff(below(t, old), below(t, archiveOf(t, in))); diff != "" {
		t.Error(diff)
	}
}

// R7.2: where the source of an image cannot be had there is no archive, and the error says what mends it.
func TestModifiedSourceGone(t *testing.T) {
	first := labelled(t, sourceInput(t, el9_4, el9_6))
	full := archiveOf(t, first)
	one := first
	one.Modules, one.Dir = first.Modules[:1], t.TempDir()
	partial := archiveOf(t, one)
	tests := map[string]struct {
		earlier func(context.Context) (io.ReadCloser, error)
		gone    string // kernels
		want    string
	}{
		"no release":      {nil, el9_4 + ", " + el9_6, "there is no earlier release"},
		"no asset":        {func(context.Context) (io.ReadCloser, error) { return nil, fs.ErrNotExist }, el9_4 + ", " + el9_6, "file does not exist"},
		"some of it":      {holding(partial), el9_6, "does not hold it"},
		"another archive": {holdingBytes([]byte("<html>")), el9_4 + ", " + el9_6, "not an archive"},
		"tampered":        {holdingBytes(tampered(t, full)), el9_4, "does not hold it"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := changed(t, first)
			in.Earlier = tt.earlier
			_, err := ModifiedSource(t.Context(), in)
			gone, ok := errors.AsType[*SourceGoneError](err)
			if !ok || !strings.Contains(err.Error(), tt.want) || !strings.Contains(fault.Of(err), "--force") {
				t.Fatalf("error %v, hint %q", err, fault.Of(err))
			}
			if !strings.Contains(gone.Error(), "compiled for "+tt.gone+" is not at hand") {
				t.Errorf("got %v", gone)
			}
			nothingBut(t, in.Dir)
		})
	}
	cut := errors.New("connection reset")
	in := changed(t, first)
	in.Earlier = func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("\x1f\x8b"), failing{cut})), nil
	}
	if _, err := ModifiedSource(t.Context(), in); !errors.Is(err, cut) || fault.Of(err) != "" {
		t.Errorf("a download that was cut: %v, hint %q", err, fault.Of(err))
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func holdingBytes(data []byte) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

// tampered is an archive with another text in the tree for el9_4.
func tampered(t *testing.T, a Archive) []byte {
	t.Helper()
	data, err := os.ReadFile(a.Path)
	if err != nil {
		t.Fatal(err)
	}
	top := strings.TrimSuffix(sourceTop, "/")
	c, err := readContents(t.Context(), data, top, treeLimits)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range c {
		if strings.Contains(name, "/class-show-") && strings.HasSuffix(name, "/Kbuild") && m.open != nil {
			c[name] = file([]byte("obj-m += evil.o\n"), 0o644)
		}
	}
	return rewritten(t, c)
}

// A rule that does not match is named where the source cannot be had otherwise.
func TestModifiedSourceNamesTheRule(t *testing.T) {
	in := labelled(t, sourceInput(t, el9_6))
	if err := os.WriteFile(filepath.Join(in.Source.Dir, "neuron_mmap.h"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := ModifiedSource(t.Context(), in)
	if rule, ok := errors.AsType[*driver.RuleError](err); !ok || rule.Rule.Name != "unmapped-area/helper-mm" {
		t.Errorf("error %v", err)
	}
}

// Archives of other programs under this name are replaced, once nothing is needed from them.
func TestModifiedSourceReplacesAnother(t *testing.T) {
	in := labelled(t, sourceInput(t, el9_6))
	alone := archiveOf(t, in)
	in.Dir, in.Earlier = t.TempDir(), holdingBytes([]byte("<html>"))
	if a := archiveOf(t, in); a.Digest != alone.Digest {
		t.Error("other bytes")
	}
}

// FuzzReadTrees feeds tars: what comes out stays in its directory and is named by what is in it.
func FuzzReadTrees(f *testing.F) {
	top := "aws-neuronx-dkms-2.28.0.0-modified-source"
	f.Add(tarred(f,
		regular(top+"/trees/a-0123456789ab/Kbuild", "obj-m += neuron.o\n"),
		regular(top+"/trees/a-0123456789ab.changes", "none\n"), regular(top+"/trees/a-0123456789ab.kernels", el9_4+"\n"), regular(top+"/trees/a-0123456789ab.build-module.sh", "make\n")))
	f.Add(tarred(f, regular(top+"/trees/../../../x", "x")))
	f.Fuzz(func(t *testing.T, plain []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "trees")
		trees, err := readTrees(t.Context(), bytes.NewReader(gzipped(t, plain)), top, dir, smallLimits)
		if err != nil {
			return
		}
		nothingBut(t, parent, "trees")
		for digest, tree := range trees {
			if got, err := driver.SourceDigest(tree.dir, tree.script); err != nil || got != digest || !strings.HasSuffix(tree.name, nameEnd(digest)) {
				t.Errorf("%s: %s, %v", tree.name, got, err)
			}
		}
	})
}
