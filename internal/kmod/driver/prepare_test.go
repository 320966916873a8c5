package driver

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/platform/fault"
)

// The lines that each rule is to change, in the fixtures.
var (
	createLines = []string{"#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 14, 0)"}
	showLine    = "\t(defined(RHEL_RELEASE_CODE) && RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 4))"
	showLines   = []string{showLine, showLine}
	areaLines   = []string{
		"static unsigned long __maybe_unused ncdev_get_unmapped_area(struct file *filep, unsigned long addr, unsigned long len,",
		"\t.get_unmapped_area = NULL,",
		"\t(addr)",
		"\t(addr)",
	}
	create = []Applied{{"class-create", "neuron_cdev.c", 1}}
	show   = []Applied{{"class-show", "neuron_cdev.c", 2}}
	area   = []Applied{
		{"unmapped-area/helper-mm", "neuron_mmap.h", 1},
		{"unmapped-area/helper-field", "neuron_mmap.h", 1},
		{"unmapped-area/operation", "neuron_cdev.c", 1},
		{"unmapped-area/function", "neuron_cdev.c", 1},
	}
)

const (
	el8       = "4.18.0-553.16.1.el8_10.x86_64"
	el9_0     = "5.14.0-70.13.1.el9_0.x86_64"
	el9_3     = "5.14.0-362.8.1.el9_3.x86_64"
	el9_4     = "5.14.0-427.68.2.el9_4.x86_64"
	el9_4rt   = "5.14.0-427.68.2.el9_4.x86_64+rt"
	el9_5     = "5.14.0-503.40.1.el9_5.x86_64"
	el9_6     = "5.14.0-570.96.1.el9_6.x86_64"
	el9_8     = "5.14.0-687.1.1.el9_8.x86_64"
	stream9   = "5.14.0-605.el9.x86_64"
	el10_0    = "6.12.0-55.9.1.el10_0.x86_64"
	stream10  = "6.12.0-94.el10.x86_64"
	debian    = "6.1.0-50-amd64"
	debianNew = "6.12.107+deb12-amd64"
)

// R3.2, R4.2: the rules change what they are for, on both sides of each of their bounds, and nothing else;
// the pristine source stays as it is.
func TestPrepare(t *testing.T) {
	tests := []struct {
		fixture, driver, kernel string
		want                    []Applied
		lines                   []string
	}{
		{"class-create", "2.16.7.0", el9_4, create, createLines},
		{"class-create", "2.18.11.99", el9_4, create, createLines},
		{"class-create", "2.18.12.0", el9_4, nil, nil},
		{"class-create", "2.17.17.0", el8, nil, nil},
		{"class-create", "2.17.17.0", el9_0, create, createLines},
		{"class-create", "2.17.17.0", el9_8, create, createLines},
		{"class-create", "2.17.17.0", stream9, create, createLines},
		{"class-create", "2.17.17.0", el10_0, nil, nil},
		{"class-create", "2.17.17.0", debian, nil, nil},

		{"class-show", "2.22.1.99", el9_4, nil, nil},
		{"class-show", "2.22.2.0", el9_4, show, showLines},
		{"class-show", "2.24.7.0", el9_4rt, show, showLines},
		{"class-show", "2.24.7.0", el9_3, nil, nil},
		{"class-show", "2.24.7.0", el9_5, nil, nil},
		{"class-show", "2.24.7.0", stream9, nil, nil},
		{"class-show", "2.24.7.0", el10_0, nil, nil},
		{"class-show", "2.24.7.0", debianNew, nil, nil},

		{"unmapped-area", "2.27.99.0", el9_6, nil, nil},
		{"unmapped-area", "2.28.0.0", el9_6, area, areaLines},
		{"unmapped-area", "2.99.0.0", el9_8, area, areaLines},
		{"unmapped-area", "2.28.0.0", stream9, area, areaLines},
		{"unmapped-area", "2.28.0.0", el9_5, nil, nil},
		{"unmapped-area", "2.28.0.0", el9_4, show, showLines},
		{"unmapped-area", "2.28.0.0", el10_0, nil, nil},
		{"unmapped-area", "2.28.0.0", stream10, nil, nil},
		{"unmapped-area", "2.28.0.0", debianNew, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.fixture+"/"+tt.driver+"-"+tt.kernel, func(t *testing.T) {
			s := &Source{Version: mustDriver(t, tt.driver), Dir: filepath.Join("testdata", tt.fixture)}
			before := listing(t, s.Dir)
			dst := filepath.Join(t.TempDir(), "prepared")
			got, err := s.Prepare(mustKernel(t, tt.kernel), dst)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.lines, changedLines(t, before, listing(t, dst))); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, listing(t, s.Dir)); diff != "" {
				t.Errorf("the pristine source changed:\n%s", diff)
			}
		})
	}
}

// changedLines returns the new text of every line that differs; a rule neither adds nor removes one.
func changedLines(t *testing.T, before, after map[string]string) []string {
	t.Helper()
	if diff := cmp.Diff(names(before), names(after)); diff != "" {
		t.Fatalf("other files:\n%s", diff)
	}
	var changed []string
	for _, name := range names(before) {
		was, is := strings.Split(before[name], "\n"), strings.Split(after[name], "\n")
		if len(was) != len(is) {
			t.Fatalf("%s: %d lines became %d", name, len(was), len(is))
		}
		for i := range is {
			if is[i] != was[i] {
				changed = append(changed, is[i])
			}
		}
	}
	return changed
}

// R3.2: a rule that does not find what it says fails the build by its name, and leaves nothing.
func TestPrepareMismatch(t *testing.T) {
	tests := []struct {
		name, fixture, driver, kernel string
		edit                          func(dir string) error
		rule                          string
		found                         int
		noSource                      bool
		message                       string
	}{
		{"older than the text", "unmapped-area", "2.14.5.0", el9_4, edit("neuron_cdev.c", "KERNEL_VERSION(6, 4, 0)", "x"),
			"class-create", 0, false, "neuron_cdev.c of driver 2.14.5.0 for kernel " + el9_4 +
				`: expected "KERNEL_VERSION(6, 4, 0)" 1 times, found 0`},
		{"too often", "class-show", "2.17.17.0", el9_4, nil, "class-create", 2, false, "1 times, found 2"},
		{"other spacing", "class-show", "2.24.7.0", el9_4, edit("neuron_cdev.c", "(9, 5)", "(9,5)"),
			"class-show", 0, false, "2 to 3 times, found 0"},
		{"too few", "class-show", "2.24.7.0", el9_4, replaceFirst("neuron_cdev.c", "(9, 5)", "(9, 6)"),
			"class-show", 1, false, "2 to 3 times, found 1"},
		{"no such file", "unmapped-area", "2.28.0.0", el9_6, remove("neuron_mmap.h"),
			"unmapped-area/helper-mm", 0, true, "the file is not there"},
		{"a later rule", "unmapped-area", "2.28.0.0", el9_6, edit("neuron_cdev.c", "= ncdev_get", "=  ncdev_get"),
			"unmapped-area/operation", 0, false, "unmapped-area/operation"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parent := t.TempDir()
			source := filepath.Join(parent, "source")
			if err := os.CopyFS(source, os.DirFS(filepath.Join("testdata", tt.fixture))); err != nil {
				t.Fatal(err)
			}
			if tt.edit != nil {
				if err := tt.edit(source); err != nil {
					t.Fatal(err)
				}
			}
			s := &Source{Version: mustDriver(t, tt.driver), Dir: source}
			_, err := s.Prepare(mustKernel(t, tt.kernel), filepath.Join(parent, "prepared"))
			mismatch, ok := errors.AsType[*RuleError](err)
			if !ok {
				t.Fatalf("got %v, want a RuleError", err)
			}
			if mismatch.Rule.Name != tt.rule || mismatch.Found != tt.found || mismatch.NoSource != tt.noSource {
				t.Errorf("got %+v", mismatch)
			}
			if !strings.Contains(err.Error(), tt.message) {
				t.Errorf("got %q, want it to say %q", err, tt.message)
			}
			if fault.Of(err) == "" {
				t.Error("there is no advice")
			}
			left, err := os.ReadDir(parent)
			if err != nil || len(left) != 1 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

func edit(name, from, to string) func(string) error { return rewrite(name, from, to, -1) }

func replaceFirst(name, from, to string) func(string) error { return rewrite(name, from, to, 1) }

func rewrite(name, from, to string, n int) func(string) error {
	return func(dir string) error {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), []byte(strings.Replace(string(text), from, to, n)), 0o644)
	}
}

func remove(name string) func(string) error {
	return func(dir string) error { return os.Remove(filepath.Join(dir, name)) }
}

// R3.2: a copy holds files and directories of two modes, and is not made over something that is there.
func TestPrepareCopy(t *testing.T) {
	parent := t.TempDir()
	source := filepath.Join(parent, "source")
	if err := os.CopyFS(source, os.DirFS("testdata/class-show")); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"run.sh": 0o700, "secret.h": 0o400} {
		if err := os.WriteFile(filepath.Join(source, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	s := &Source{Version: mustDriver(t, "2.24.7.0"), Dir: source}
	dst := filepath.Join(parent, "prepared")
	if _, err := s.Prepare(mustKernel(t, debian), dst); err != nil {
		t.Fatal(err)
	}
	got := listing(t, dst)
	if got["run.sh"] != "-rwxr-xr-x " || got["secret.h"] != "-rw-r--r-- " {
		t.Errorf("modes: %q, %q", got["run.sh"], got["secret.h"])
	}
	if _, err := s.Prepare(mustKernel(t, debian), dst); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a copy that is there: %v", err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(source, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(mustKernel(t, debian), dst+"2"); err == nil || !strings.Contains(err.Error(), "link is not a file") {
		t.Errorf("a link: %v", err)
	}
}

// R3.2: the table itself holds together.
func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules() {
		if seen[r.Name] {
			t.Errorf("%s is there twice", r.Name)
		}
		seen[r.Name] = true
		if r.Name == "" || r.Reason == "" || r.Find == "" || r.Min < 1 || r.Max < r.Min || !fs.ValidPath(r.File) {
			t.Errorf("%+v", r)
		}
		if strings.Contains(r.Replace, r.Find) {
			t.Errorf("%s: a second run would change the result again", r.Name)
		}
	}
}

func TestInterval(t *testing.T) {
	bounded := Range{From: mustDriver(t, "2.18.0.0"), Before: mustDriver(t, "2.20.0.0")}
	for v, want := range map[string]bool{"2.17.9.9": false, "2.18.0.0": true, "2.19.99.99": true, "2.20.0.0": false} {
		if got := bounded.Contains(mustDriver(t, v)); got != want {
			t.Errorf("%s: %v", v, got)
		}
	}
	if !(Range{}).Contains(mustDriver(t, "2.18.0.0")) {
		t.Error("an interval without bounds holds everything")
	}
}
