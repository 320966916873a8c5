package plan

import (
	"fmt"

	"neuron-kmod/internal/catalog"
	"neuron-kmod/internal/version"
)

// noteNodes adds a note for each wanted release whose nodes boot another kernel than its Driver Toolkit is for, as the
// catalogue has it marked: what is built for the release does not load on them.
func (p *Plan) noteNodes(c *catalog.Catalog, wanted []version.Selector, arch string) {
	entries, _ := c.Select(wanted, arch)
	for _, e := range entries {
		if e.NodeKernel.IsZero() || e.NodeKernel == e.Kernel {
			continue
		}
		of := "another kernel"
		if !e.Kernel.IsZero() {
			of = e.Kernel.String()
		}
		p.Notes = append(p.Notes, fmt.Sprintf("the nodes of OpenShift %s boot %s, and its Driver Toolkit is for %s: the image for it will not load there",
			e.Version, e.NodeKernel, of))
	}
}
