package release

import (
	"fmt"
	"slices"
	"strings"

	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// GitHub shows a line break in a paragraph of a release as one, so paragraphs are single lines.

func (n *notes) writeHead(b *strings.Builder, table bool) {
	fmt.Fprintf(b, "# AWS Neuron driver %s for OpenShift\n\n", n.driver)
	fmt.Fprintf(b,
		"Container images with the AWS Neuron kernel driver %s (Trainium, Inferentia), compiled for the kernels that "+
			"OpenShift releases boot: one image for each kernel. The [Kernel Module Management operator](https://kmm.sigs.k8s.io/) "+
			"(KMM) loads the one that fits each node.\n\n", n.driver)
	if !table {
		b.WriteString("> These notes are shortened, because GitHub takes no longer ones: the table of OpenShift releases " +
			"is left out.\n\n")
	}
}

func (n *notes) writeUsage(b *strings.Builder) {
	image := oneLine(n.repository) + ":" + n.driver.String()
	fmt.Fprintf(b, "## Usage\nThe image for a node is %s, where KERNEL is what `uname -r` prints on the node, with `_` "+
		"for every `+` and `~`. "+
		"KMM puts the kernel in by itself.\n\n", code(image+"-KERNEL"))
	fmt.Fprintf(b, "With KMM, as a Module:\n\n%s\n", fence("yaml", n.module))
	fmt.Fprintf(b, "With the AWS Neuron operator, in its DeviceConfig; the operator appends the kernel to the image's "+
		"name, and the other "+
		"fields stay as they are:\n\n%s\n", fence("yaml", n.deviceConfig))
}

// writeAvailable writes the list of R7.1, whose form others may rely on.
func (n *notes) writeAvailable(b *strings.Builder) {
	b.WriteString("## Available Images\n")
	if len(n.available) == 0 {
		b.WriteString("None yet.\n")
	}
	for _, build := range n.available {
		fmt.Fprintf(b, "- %s (compatible with OCP: %s)\n", code(build.Tag), list(build.Releases))
	}
	b.WriteString("\n")
}

// row is one line of the table: which image is for a release.
type row struct {
	release version.OCP
	kernel  string
	image   string
}

func (n *notes) writeTable(b *strings.Builder) {
	if len(n.available)+len(n.missing)+len(n.unresolved) == 0 {
		return
	}
	b.WriteString("## OpenShift Releases and Kernels\n| OpenShift | Kernel | Image |\n| --- | --- | --- |\n")
	for _, r := range n.rows() {
		fmt.Fprintf(b, "| %s | %s | %s |\n", r.release, r.kernel, r.image)
	}
	b.WriteString("\n")
}

// rows are ascending by release, and by kernel where a release has several.
func (n *notes) rows() []row {
	builds := slices.Concat(n.available, n.missing)
	sortByKernel(builds)
	var rows []row
	for _, build := range builds {
		for _, r := range build.Releases {
			rows = append(rows, row{release: r, kernel: cell(build.Kernel.String()), image: imageOf(build)})
		}
	}
	seen := map[version.OCP]bool{}
	for _, u := range n.unresolved { // one release may have several Driver Toolkits
		if !seen[u.Release] {
			seen[u.Release] = true
			rows = append(rows, row{release: u.Release, kernel: "not known", image: "missing"})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return a.release.Compare(b.release) })
	return rows
}

func imageOf(b plan.Build) string {
	if b.State == plan.Published || b.State == plan.Built {
		return cell(b.Tag)
	}
	return "missing"
}

func (n *notes) writeMissing(b *strings.Builder) {
	if len(n.missing)+len(n.unresolved) == 0 {
		return
	}
	b.WriteString("## Missing Images\n")
	for _, build := range n.missing {
		why := plan.NotBuilt
		if build.Error != "" {
			why = quote(build.Error)
		}
		fmt.Fprintf(b, "- %s (OCP: %s): %s\n", code(build.Kernel.String()), list(build.Releases), why)
	}
	var last string
	for _, u := range n.unresolved { // one release may have several Driver Toolkits
		line := fmt.Sprintf("- kernel not known (OCP: %s): %s\n", u.Release, quote(u.Reason))
		if line != last {
			b.WriteString(line)
		}
		last = line
	}
	b.WriteString("\n")
}

func (n *notes) writeDigests(b *strings.Builder) {
	known := slices.DeleteFunc(slices.Clone(n.available), func(b plan.Build) bool { return b.Digest == "" })
	if len(known) == 0 {
		return
	}
	b.WriteString("## Digests\n| Image | Digest | Size |\n| --- | --- | --- |\n")
	for _, build := range known {
		fmt.Fprintf(b, "| %s | %s | %s |\n", cell(build.Tag), cell(build.Digest), format.Bytes(build.Size))
	}
	b.WriteString("\n")
}

func (n *notes) writeSources(b *strings.Builder) {
	b.WriteString("## Sources and Licences\nThe images hold programs under the GNU General Public License, version 2. " +
		"Their sources are attached to this release:\n\n")
	fmt.Fprintf(b, "- %s: the driver as it was compiled, with every change that was made to it. GPL-2.0. "+
		"Copyright Amazon.com, Inc. or its affiliates. All Rights Reserved.\n", code(ModifiedSourceFile(n.driver)))
	for _, v := range n.busyBox {
		fmt.Fprintf(b, "- %s: BusyBox %s, the shell and the commands in the images. GPL-2.0. Copyright its many authors, "+
			"whom its file AUTHORS names.\n",
			code(BusyBoxFile(v)), code(v))
	}
}
