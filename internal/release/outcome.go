package release

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"neuron-kmod/internal/driver"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

// unpatched is the name of the source as AWS publishes it.
const unpatched = "unpatched"

// outcome is one way the source comes out of the patch rules.
type outcome struct {
	name    string // of its folder in the archive
	dir     string
	applied []driver.Applied
	kernels []kernel.Version // ascending
}

// nameOutcomes gives each outcome a name of its own, after the rules that made it: "class-show", or
// "class-show+unmapped-area". Such a name stays when kernels are added.
func nameOutcomes(all []*outcome) {
	taken := map[string]int{}
	for _, o := range all {
		var rules []string
		for _, a := range o.applied {
			group, _, _ := strings.Cut(a.Rule, "/") // the rest tells parts of one change apart
			rules = append(rules, group)
		}
		o.name = strings.Join(slices.Compact(rules), "+")
		if o.name == "" {
			o.name = unpatched
		}
		if taken[o.name]++; taken[o.name] > 1 {
			o.name += fmt.Sprintf("-%d", taken[o.name])
		}
	}
}

// fingerprint tells trees apart: by names, modes and bytes of all that is in them.
func fingerprint(dir string) (string, error) {
	sum := sha256.New()
	tree := os.DirFS(dir)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size := info.Size()
		if d.IsDir() {
			size = 0
		}
		fmt.Fprintf(sum, "%q %v %d\n", name, info.Mode(), size)
		if d.IsDir() {
			return nil
		}
		f, err := tree.Open(name)
		if err != nil {
			return err
		}
		defer f.Close() // it is only read from
		_, err = io.Copy(sum, f)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

// kernelList has one kernel a line.
func (o *outcome) kernelList() string {
	var b strings.Builder
	for _, k := range o.kernels {
		fmt.Fprintln(&b, k)
	}
	return b.String()
}

// changeList tells what was changed in the driver's package, as the GPL asks of modified files.
func (o *outcome) changeList(v version.Driver) string {
	var b strings.Builder
	if len(o.applied) == 0 {
		fmt.Fprintf(&b, "Nothing was changed in the source of %s.\n", driver.FileName(v))
		return b.String()
	}
	fmt.Fprintf(&b, "Changes to the source of %s, in the order they were made.\n", driver.FileName(v))
	for _, r := range driver.Rules() {
		i := slices.IndexFunc(o.applied, func(a driver.Applied) bool { return a.Rule == r.Name })
		if i < 0 {
			continue
		}
		a := o.applied[i]
		fmt.Fprintf(&b, "\n%s\n  file:    %s\n  times:   %d\n  was:     %s\n  is:      %s\n  reason:  %s\n",
			a.Rule, a.File, a.Count, r.Find, r.Replace, r.Reason)
	}
	return b.String()
}

// readme tells what is in the archive and how a module is made from it.
func readme(v version.Driver, outcomes []*outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, `The source of the AWS Neuron driver %[1]s as it was compiled

The modules in the images of the release %[2]s were compiled from the folders
below trees/. The source is that of %[3]s as AWS publishes it,
with changes that some kernels need. Beside each folder are

  NAME.kernels  the kernels it was compiled for, one a line
  NAME.changes  what was changed, and why

The folders:

`, v, Name(v), driver.FileName(v))
	for _, o := range outcomes {
		span := o.kernels[0].String()
		if n := len(o.kernels); n > 1 {
			span += fmt.Sprintf(" and %d more", n-1)
		}
		fmt.Fprintf(&b, "  trees/%s\n      for %s\n", o.name, span)
	}
	fmt.Fprintf(&b, `
To make the module for KERNEL, where the kernel's headers and its compiler are:

  make -C /lib/modules/KERNEL/build M="$PWD/trees/NAME" modules

To make it as it was published, in the Driver Toolkit image of an OpenShift
release that boots KERNEL (oc adm release info RELEASE --image-for=driver-toolkit):

  mkdir output
  podman run --rm --network=none --security-opt label=disable \
    -v "$PWD/trees/NAME:/input/source:ro" -v "$PWD/output:/output" \
    -v "$PWD/build-module.sh:/build-module.sh:ro" \
    DRIVER_TOOLKIT sh /build-module.sh %s KERNEL 4

The driver is licensed under the GNU General Public License, version 2, whose
text is in licenses/GPL-2.0.txt.
Copyright Amazon.com, Inc. or its affiliates. All Rights Reserved.
`, v)
	return b.String()
}
