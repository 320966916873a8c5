package driver

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// Applied is one rule that changed a prepared source.
type Applied struct {
	Rule  string // its name
	File  string // below the source's directory
	Count int    // how often the text was replaced
}

// RuleError is a rule that applies and did not find what it says it finds.
type RuleError struct {
	Rule     Rule
	Driver   version.Driver
	Kernel   kernel.Version
	Found    int  // how often the text occurs
	NoSource bool // the file is not there
}

func (e *RuleError) Error() string {
	want := fmt.Sprintf("%d", e.Rule.Min)
	if e.Rule.Max != e.Rule.Min {
		want = fmt.Sprintf("%d to %d", e.Rule.Min, e.Rule.Max)
	}
	found := fmt.Sprintf("found %d", e.Found)
	if e.NoSource {
		found = "the file is not there"
	}
	return fmt.Sprintf("patch rule %s: %s of driver %s for kernel %s: expected %q %s times, %s",
		e.Rule.Name, e.Rule.File, e.Driver, e.Kernel, e.Rule.Find, want, found)
}

// Prepare makes the directory dst, which must not exist while its parent must, with a copy of the source to which the
// rules for the kernel have been applied. It returns what they changed, in order. Files come out as 0644 or 0755. A
// rule that does not find its text is a *RuleError; nothing is left after any error.
func (s *Source) Prepare(k kernel.Version, dst string) ([]Applied, error) {
	applied, err := s.prepare(k, dst, Rules())
	if err != nil {
		return nil, fmt.Errorf("prepare the source of driver %s: %w", s.Version, explainDisk(err, dst))
	}
	return applied, nil
}

func (s *Source) prepare(k kernel.Version, dst string, rules []Rule) (applied []Applied, err error) {
	pristine, err := os.OpenRoot(s.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pristine.Close()) }()
	err = createDir(dst, func(root *os.Root) error {
		if err := copyTree(pristine, root, defaultLimits); err != nil {
			return err
		}
		applied, err = s.apply(root, k, rules)
		return err
	})
	return applied, err
}

// copyTree copies files and directories. Anything else is an error, as is more than a package could have brought.
func copyTree(from, to *os.Root, lim limits) error {
	entries, left := 0, lim.total
	return fs.WalkDir(from.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entries++; entries > lim.entries {
			return fmt.Errorf("there are more than %d files", lim.entries)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return makeDirs(to, name)
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is not a file or a directory", name)
		}
		if left -= info.Size(); left < 0 {
			return fmt.Errorf("there are more than %d bytes", lim.total)
		}
		f, err := from.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(writeFile(to, name, fileMode(info.Mode()), f, info.Size()), f.Close())
	})
}

// apply applies the rules of the driver and the kernel to the tree, in order.
func (s *Source) apply(root *os.Root, k kernel.Version, rules []Rule) ([]Applied, error) {
	var applied []Applied
	for _, r := range rules {
		if !r.applies(s.Version, k) {
			continue
		}
		n, err := r.apply(root)
		if mismatch, ok := errors.AsType[*RuleError](err); ok {
			mismatch.Driver, mismatch.Kernel = s.Version, k
			err = fault.Wrap(mismatch, "this driver's source is not as the rule knows it ("+r.Reason+
				"); look at the file and correct the rule, or leave this driver or kernel out")
		}
		if err != nil {
			return nil, err
		}
		applied = append(applied, Applied{Rule: r.Name, File: r.File, Count: n})
	}
	return applied, nil
}

// apply makes the rule's change and returns how often its text occurred.
func (r Rule) apply(root *os.Root) (int, error) {
	info, err := root.Lstat(r.File)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, &RuleError{Rule: r, NoSource: true}
	}
	if err != nil {
		return 0, err
	}
	text, err := root.ReadFile(r.File)
	if err != nil {
		return 0, err
	}
	text, n := r.replace(text)
	if n < r.Min || n > r.Max {
		return 0, &RuleError{Rule: r, Found: n}
	}
	return n, root.WriteFile(r.File, text, info.Mode())
}

// replace makes the rule's change in a text, and tells how often.
func (r Rule) replace(text []byte) ([]byte, int) {
	find := []byte(r.Find)
	return bytes.ReplaceAll(text, find, []byte(r.Replace)), bytes.Count(text, find)
}
