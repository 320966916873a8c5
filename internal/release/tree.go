package release

import (
	"fmt"
	"slices"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/version"
)

// What is below the one directory of an archive, for a tree that is called NAME: the directory trees/NAME and three
// files beside it.
const (
	treesDir      = "trees/"
	kernelsSuffix = ".kernels"
	changesSuffix = ".changes"
	scriptSuffix  = ".build-module.sh"
)

// unpatched is the name of the source as AWS publishes it.
const unpatched = "unpatched"

// tree is a source that modules were compiled from.
type tree struct {
	name    string // of its directory in the archive
	digest  string // driver.SourceDigest
	dir     string
	script  string           // that compiles it
	changes string           // what was changed in the driver's package, and why
	kernels []kernel.Version // ascending
}

// treeName names a tree after the groups of rules that made it and the beginning of its digest, which the images' label
// has: "class-show-0b1c2d3e4f5a", or "class-show+unmapped-area-...". Such a name stays as long as the tree.
func treeName(applied []driver.Applied, digest string) string {
	var rules []string
	for _, a := range applied {
		group, _, _ := strings.Cut(a.Rule, "/") // the rest tells parts of one change apart
		rules = append(rules, group)
	}
	name := strings.Join(slices.Compact(rules), "+")
	if name == "" {
		name = unpatched
	}
	return name + nameEnd(digest)
}

// nameEnd is how the names of trees with that digest end.
func nameEnd(digest string) string { return "-" + strings.TrimPrefix(digest, "sha256:")[:12] }

// changeList says what was changed in the driver's package, as the GPL asks of modified files.
func changeList(v version.Driver, applied []driver.Applied) string {
	if len(applied) == 0 {
		return fmt.Sprintf("Nothing was changed in the source of %s.\n", driver.FileName(v))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Changes to the source of %s, in the order they were made.\n", driver.FileName(v))
	for _, r := range driver.Rules() {
		i := slices.IndexFunc(applied, func(a driver.Applied) bool { return a.Rule == r.Name })
		if i >= 0 {
			fmt.Fprintf(&b, "\n%s\n  file:    %s\n  times:   %d\n  was:     %s\n  is:      %s\n  reason:  %s\n",
				r.Name, applied[i].File, applied[i].Count, r.Find, r.Replace, r.Reason)
		}
	}
	return b.String()
}

// readme says what is in the archive and how a module is made from it.
func readme(in SourceInput, trees []*tree) string {
	v := in.Source.Version
	var b strings.Builder
	fmt.Fprintf(&b, `The source of the AWS Neuron driver %[1]s as it was compiled

The modules in the images of the release %[2]s were compiled from the folders
below trees/. The source is that of %[3]s as AWS publishes it,
with changes that some kernels need. Beside each folder are

  NAME.kernels          the kernels it was compiled for, one a line
  NAME.changes          what was changed, and why
  NAME.build-module.sh  the script that compiled it

NAME ends with the beginning of the digest that the images' label
neuron-driver.source-digest has.

The folders:

`, v, Name(v), driver.FileName(v))
	for _, t := range trees {
		span := t.kernels[0].String()
		if n := len(t.kernels); n > 1 {
			span += fmt.Sprintf(" and %d more", n-1)
		}
		fmt.Fprintf(&b, "  trees/%s\n      for %s\n", t.name, span)
	}
	var silent []string
	for _, m := range in.Modules {
		if m.Source == "" {
			silent = append(silent, m.Kernel.String())
		}
	}
	if len(silent) > 0 {
		slices.Sort(silent)
		fmt.Fprintf(&b, `
The images for these kernels have no such label, being older than it. They are
listed with the source that would be compiled for them now:

  %s
`, strings.Join(slices.Compact(silent), "\n  "))
	}
	fmt.Fprintf(&b, `
To make the module for KERNEL, where the kernel's headers and its compiler are:

  make -C /lib/modules/KERNEL/build M="$PWD/trees/NAME" modules

To make it as it was published, in the Driver Toolkit image of an OpenShift
release that boots KERNEL (oc adm release info RELEASE --image-for=driver-toolkit):

  mkdir output
  podman run --rm --network=none --security-opt label=disable \
    -v "$PWD/trees/NAME:/input/source:ro" -v "$PWD/output:/output" \
    -v "$PWD/trees/NAME.build-module.sh:/build-module.sh:ro" \
    DRIVER_TOOLKIT sh /build-module.sh %s KERNEL 4

The driver is licensed under the GNU General Public License, version 2, whose
text is in licenses/GPL-2.0.txt.
Copyright Amazon.com, Inc. or its affiliates. All Rights Reserved.
`, v)
	return b.String()
}
