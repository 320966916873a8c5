package release

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/container"
	"neuron-kmod/internal/kmod/driver"
)

var update = flag.Bool("update", false, "write what is made as the golden files")

// golden compares a text with a file of testdata/golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	p := filepath.Join("testdata", "golden", name)
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-update if it is meant):\n%s", p, diff)
	}
}

// driverSource is a small source of driver 2.28.0.0, with the texts that the patch rules look for.
func driverSource(t *testing.T) *driver.Source {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "aws-neuronx-2.28.0.0")
	for name, text := range map[string]string{
		"Kbuild": "obj-m += neuron.o\n",
		"neuron_cdev.c": strings.Repeat("#if RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 5)\n#endif\n", 2) +
			"static unsigned long ncdev_get_unmapped_area(void);\n.get_unmapped_area = ncdev_get_unmapped_area,\n",
		"neuron_mmap.h": "mm_get_unmapped_area(current->mm, filep, addr, len, pgoff, flags)\n" +
			"current->mm->get_unmapped_area(filep, addr, len, pgoff, flags)\n",
		"udma/udma.c": "int udma;\n",
	} {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "postinst.sh"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &driver.Source{Version: mustDriver(t, "2.28.0.0"), Dir: dir, Made: made}
}

func sourceInput(t *testing.T, kernels ...string) SourceInput {
	t.Helper()
	in := SourceInput{Source: driverSource(t), Script: "#!/bin/sh\nmake\n", Dir: t.TempDir()}
	for _, k := range kernels {
		in.Modules = append(in.Modules, Module{Kernel: mustKernel(t, k)})
	}
	return in
}

const sourceTop = "aws-neuronx-dkms-2.28.0.0-modified-source/"

// R7.2: the archive holds one tree for each way the source comes out, to the byte as the modules were compiled from it,
// and names the kernels and the changes.
func TestModifiedSource(t *testing.T) {
	in := sourceInput(t, el9_8, el9_4, el9_6, el9_5, el9_4rt, el9_6)
	a, err := ModifiedSource(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if want := "aws-neuronx-dkms-2.28.0.0-modified-source.tar.gz"; a.Name != want || a.Path != filepath.Join(in.Dir, want) {
		t.Errorf("got %+v", a)
	}
	nothingBut(t, in.Dir, a.Name)
	entries := entriesOf(t, a.Path)
	kernels := map[string]string{
		nameFor(t, in, "class-show", el9_4):    el9_4 + "\n" + el9_4rt + "\n",
		nameFor(t, in, "unpatched", el9_5):     el9_5 + "\n",
		nameFor(t, in, "unmapped-area", el9_6): el9_6 + "\n" + el9_8 + "\n",
	}
	licence, err := container.Files.ReadFile("licenses/GPL-2.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"":                     "5 755 ",
		"licenses/":            "5 755 ",
		"licenses/GPL-2.0.txt": "0 644 " + string(licence),
		"trees/":               "5 755 ",
	}
	for name, list := range kernels {
		want["trees/"+name+".kernels"] = "0 644 " + list
		want["trees/"+name+".build-module.sh"] = "0 755 " + in.Script
		for _, k := range strings.Fields(list) { // each kernel's own preparation, which has to be the same for all
			prepared := preparedFor(t, in.Source, k)
			for file, is := range prepared {
				want["trees/"+name+"/"+file] = is
			}
		}
	}
	got := map[string]string{}
	texts := map[string]string{}
	for name, is := range listed(entries) {
		name = strings.TrimPrefix(name, sourceTop)
		if name == "README" || strings.HasSuffix(name, ".changes") {
			texts[name] = strings.TrimPrefix(is, "0 644 ")
			continue
		}
		got[name] = is
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(texts) != 4 {
		t.Errorf("%d texts, want 4", len(texts))
	}
	for name, text := range texts {
		golden(t, filepath.Join("source", filepath.Base(digits.ReplaceAllString(name, ""))), text)
	}
	for _, e := range entries {
		if !e.ModTime.Equal(made) {
			t.Errorf("%s is of %v, want the package's time", e.Name, e.ModTime)
		}
	}
}

// digits are the end of a tree's name.
var digits = regexp.MustCompile(`-[0-9a-f]{12}`)

// nameFor is the name of the tree for a kernel: what was changed, and the beginning of the digest that an image has.
func nameFor(t *testing.T, in SourceInput, changed, k string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "prepared")
	if _, err := in.Source.Prepare(mustKernel(t, k), dir); err != nil {
		t.Fatal(err)
	}
	digest, err := driver.SourceDigest(dir, in.Script)
	if err != nil {
		t.Fatal(err)
	}
	return changed + "-" + digest[len("sha256:"):][:12]
}

// preparedFor is what Prepare makes for a kernel, in the form of listed.
func preparedFor(t *testing.T, s *driver.Source, k string) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "prepared")
	if _, err := s.Prepare(mustKernel(t, k), dir); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{"": "5 755 ", "udma/": "5 755 "}
	for _, name := range []string{"Kbuild", "neuron_cdev.c", "neuron_mmap.h", "udma/udma.c", "postinst.sh"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		mode := "0 644 "
		if strings.HasSuffix(name, ".sh") {
			mode = "0 755 "
		}
		found[name] = mode + string(text)
	}
	return found
}

// R7.2: the same input gives the same bytes, in whatever order the kernels come; other kernels, another script or another
// time give other bytes.
func TestModifiedSourceDeterministic(t *testing.T) {
	digestOf := func(change func(*SourceInput)) string {
		in := sourceInput(t, el9_4, el9_5, el9_6)
		change(&in)
		a, err := ModifiedSource(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return a.Digest
	}
	first := digestOf(func(*SourceInput) {})
	for name, change := range map[string]func(*SourceInput){
		"again":       func(*SourceInput) {},
		"other order": func(in *SourceInput) { slices.Reverse(in.Modules) },
		"named time":  func(in *SourceInput) { in.Made = made },
		"fractions":   func(in *SourceInput) { in.Made = made.Add(time.Millisecond) },
	} {
		if got := digestOf(change); got != first {
			t.Errorf("%s: other bytes", name)
		}
	}
	for name, change := range map[string]func(*SourceInput){
		"fewer kernels":  func(in *SourceInput) { in.Modules = in.Modules[:2] },
		"another kernel": func(in *SourceInput) { in.Modules = append(in.Modules, Module{Kernel: mustKernel(t, el9_8)}) },
		"another script": func(in *SourceInput) { in.Script += "\n" },
		"another time":   func(in *SourceInput) { in.Made = made.Add(time.Hour) },
		"no time":        func(in *SourceInput) { in.Source.Made = time.Time{} },
	} {
		if got := digestOf(change); got == first {
			t.Errorf("%s: the same bytes", name)
		}
	}
}

// R7.2, R8.2: a release without its source is not made by mistake, and nothing is left of the attempt.
func TestModifiedSourceFails(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	tests := []struct {
		name   string
		ctx    context.Context
		change func(*SourceInput) error
		want   string
	}{
		{"no image", t.Context(), func(in *SourceInput) error { in.Modules = nil; return nil }, "no image of it is published"},
		{"rule that does not match", t.Context(), func(in *SourceInput) error {
			return os.WriteFile(filepath.Join(in.Source.Dir, "neuron_mmap.h"), nil, 0o644)
		}, "patch rule unmapped-area/helper-mm"},
		{"no such source", t.Context(), func(in *SourceInput) error { return os.RemoveAll(in.Source.Dir) }, "prepare the source"},
		{"stopped", stopped, func(in *SourceInput) error { return os.RemoveAll(in.Source.Dir) }, "canceled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := sourceInput(t, el9_4, el9_6)
			if err := tt.change(&in); err != nil {
				t.Fatal(err)
			}
			_, err := ModifiedSource(tt.ctx, in)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "modified source of driver 2.28.0.0") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			nothingBut(t, in.Dir)
		})
	}
}

// Trees are named after what was changed and what they hold.
func TestTreeName(t *testing.T) {
	digest := "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for want, rules := range map[string][]string{
		"unpatched-0123456789ab": nil,
		"a-0123456789ab":         {"a"},
		"a+b-0123456789ab":       {"a", "b/1", "b/2"},
	} {
		var applied []driver.Applied
		for _, r := range rules {
			applied = append(applied, driver.Applied{Rule: r})
		}
		got := treeName(applied, digest)
		if got != want {
			t.Errorf("%v: %s, want %s", rules, got, want)
		}
		if !treeNameForm.MatchString(got) {
			t.Errorf("%s would not be read again", got)
		}
	}
}
