package action

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// unclearArgument is the error for an argument that is neither a release nor a kernel. What was meant may be in the catalogue: a
// release of a minor, or a name that is nearly the same. Nothing is asked of the network.
func unclearArgument(catalogPath, arg string) error {
	c, err := catalog.Load(catalogPath)
	if err != nil {
		return fault.AsInvalid(err)
	}
	if s, err := version.ParseSelector(arg); err == nil {
		return fault.AsUsage(minorOnly(c, s))
	}
	var names []string
	for _, e := range c.Entries {
		if e.Arch == arch {
			names = append(names, e.Version.String(), e.Kernel.String())
		}
	}
	advice := "name a release such as 4.21.3, or a kernel as uname -r prints it, such as 5.14.0-570.96.1.el9_6.x86_64"
	if near := nearest(arg, names); len(near) > 0 {
		advice = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return fault.AsUsage(fault.Wrap(fmt.Errorf("%.100q is neither an OpenShift release nor a kernel", arg), advice))
}

// minorOnly is the error for a minor, whose releases boot different kernels.
func minorOnly(c *catalog.Catalog, s version.Selector) error {
	if err := c.Missing(s, arch); err != nil {
		return fault.Wrap(err, "add it with `neuron-kmod catalog update`, or ask for a release that is in it")
	}
	entries, _ := c.Select([]version.Selector{s}, arch)
	newest := entries[len(entries)-1].Version
	return fault.Wrap(fmt.Errorf("the releases of OpenShift %s boot different kernels", s), fmt.Sprintf("name one of them; the newest in %s is %s", c.Path, newest))
}

// withNearest adds to an error which kernels may have been meant.
func (q *resolver) withNearest(err error, k kernel.Version, all *plan.Plan) error {
	if near := nearest(k.String(), q.kernelNames(all)); len(near) > 0 {
		return fault.Wrap(err, "the nearest are: "+strings.Join(near, ", "))
	}
	if have := all.Kernels(); len(have) > 0 {
		return fault.Wrap(err, fmt.Sprintf("no kernel has a similar name; the newest kernel of the matrix is %s", have[len(have)-1]))
	}
	return err
}

// kernelNames are the kernels that the matrix's releases boot, and those of the drivers' images, under the names that tags give
// them where no release has the kernel.
func (q *resolver) kernelNames(all *plan.Plan) []string {
	var names, tagged []string
	for _, k := range all.Kernels() {
		names, tagged = append(names, k.String()), append(tagged, k.Tag())
	}
	for tag := range q.tags {
		for _, e := range q.files.Entries {
			name, ok := strings.CutPrefix(tag, kernel.TagPrefix(e.Driver))
			if k, err := kernel.Parse(name); ok && err == nil && !slices.Contains(tagged, k.Tag()) {
				names, tagged = append(names, name), append(tagged, name)
			}
		}
	}
	return names
}

// nearest are the names that differ least from what was typed, at most three: a typo is what changes less than a quarter of
// it, and a name that needs twice as many changes as the best is not what was meant.
func nearest(typed string, names []string) []string {
	const most = 100 // no kernel and no release is as long
	if len(typed) > most {
		return nil
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" || edits(typed, n)*4 > max(len(typed), len(n)) })
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(edits(typed, a), edits(typed, b)) })
	names = slices.DeleteFunc(names, func(n string) bool { return edits(typed, n) > 2*edits(typed, names[0]) })
	return names[:min(3, len(names))]
}

// edits is how many letters have to be put in, taken out or changed to make b of a (Levenshtein's distance).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
