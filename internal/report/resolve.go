package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

// ResolutionJSON writes the answers for a release or a kernel as one JSON object.
func ResolutionJSON(w io.Writer, r *action.Resolution) error {
	return JSON(w, "the answers", struct {
		Images  []action.Answer `json:"images"`
		Kernel  *kernel.Version `json:"kernel,omitempty"`
		Release *version.OCP    `json:"release,omitempty"`
	}{r.Answers, r.Kernel, r.Release})
}

// ResolutionTable writes the answers for a release or a kernel for people.
func ResolutionTable(w io.Writer, r *action.Resolution) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "DRIVER\tKERNEL\tSTATE\tIMAGE")
	for _, a := range r.Answers {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", a.Driver, cmp.Or(a.Kernel.String(), "-"), a.State, imageOrReason(a))
	}
	return tw.Flush()
}

// imageOrReason is the image, or why there is none.
func imageOrReason(a action.Answer) string {
	if a.State == action.Ready {
		return a.Image
	}
	return a.Reason
}

// NodesJSON writes the answers for nodes as one JSON object.
func NodesJSON(w io.Writer, nodes []action.Node) error {
	return JSON(w, "the nodes", map[string][]action.Node{"nodes": nodes})
}

// NodesTable writes the answers for nodes for people.
func NodesTable(w io.Writer, nodes []action.Node) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "NODE\tKERNEL\tDRIVER\tSTATE\tIMAGE")
	for _, n := range nodes {
		if n.Other != "" {
			fmt.Fprintf(tw, "%s\t%s\t-\t-\t%s\n", n.Name, n.Kernel, n.Other)
		}
		for _, a := range n.Images {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", n.Name, n.Kernel, a.Driver, a.State, imageOrReason(a))
		}
	}
	return tw.Flush()
}

// UpgradeTable writes what an upgrade means for people. verdict says why a cluster is not ready, nil if it is.
func UpgradeTable(w io.Writer, u *action.Upgrade, verdict error) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tw, "DRIVER\tKERNEL OF %s\tKERNEL OF %s\tSTATE\tIMAGE\n", u.From, u.To)
	for _, d := range u.Drivers {
		before := cmp.Or(strings.Join(action.KernelNames(d.From), ", "), "-")
		for _, a := range d.To {
			after := cmp.Or(a.Kernel.String(), "-")
			if d.SameKernel {
				after = "the same"
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", d.Driver, before, after, a.State, imageOrReason(a))
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	line := fmt.Sprintf("ready: all images for OpenShift %s are there", u.To)
	if verdict != nil {
		line = verdict.Error()
	}
	_, err := fmt.Fprintf(w, "\n%s.\n", strings.ToUpper(line[:1])+line[1:])
	return err
}
