package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"neuron-kmod/internal/hint"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

// driverUpgrade is what an upgrade means for one driver.
type driverUpgrade struct {
	Driver version.Driver `json:"driver"`
	From   []answer       `json:"from"` // for each kernel of the release that the cluster has
	To     []answer       `json:"to"`   // for each kernel of the one that it gets
	// SameKernel: the kernels stay, so that the upgrade changes nothing for the driver.
	SameKernel bool `json:"same_kernel"`
}

func (o *resolveOptions) upgrade(ctx context.Context) error {
	var releases [2]version.OCP
	for i, text := range []string{o.from, o.to} {
		v, err := version.ParseOCP(text)
		if err != nil {
			return usage{hint.Wrap(fmt.Errorf("%s: %w", []string{"--from", "--to"}[i], err), "name a release such as 4.21.3")}
		}
		releases[i] = v
	}
	r, err := o.start(ctx)
	if err != nil {
		return err
	}
	from, err := r.release(ctx, releases[0])
	if err != nil {
		return err
	}
	to, err := r.release(ctx, releases[1])
	if err != nil {
		return err
	}
	var steps []driverUpgrade
	for _, e := range r.in.Entries {
		s := driverUpgrade{Driver: e.Driver, From: of(from, e.Driver), To: of(to, e.Driver)}
		s.SameKernel = slices.Equal(kernelsOf(s.From), kernelsOf(s.To)) && kernelsOf(s.To) != nil
		steps = append(steps, s)
	}
	verdict := shortage(to)
	if o.output == "json" {
		if err := o.encode(map[string]any{"from": releases[0], "to": releases[1], "drivers": steps, "ready": verdict == nil}); err != nil {
			return err
		}
		return verdict
	}
	if err := o.writeSteps(steps, releases); err != nil {
		return err
	}
	return verdict
}

func (o *resolveOptions) writeSteps(steps []driverUpgrade, releases [2]version.OCP) error {
	tw := tabwriter.NewWriter(o.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tw, "DRIVER\tKERNEL OF %s\tKERNEL OF %s\tSTATE\tIMAGE\n", releases[0], releases[1])
	var all []answer
	for _, s := range steps {
		before := cmp.Or(strings.Join(kernelsOf(s.From), ", "), "-")
		for _, a := range s.To {
			after := cmp.Or(a.Kernel.String(), "-")
			if s.SameKernel {
				after = "the same"
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", s.Driver, before, after, a.State, a.what())
		}
		all = append(all, s.To...)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	line := fmt.Sprintf("Ready: all images for OpenShift %s are there.", releases[1])
	if err := shortage(all); err != nil {
		line = fmt.Sprintf("Not ready for OpenShift %s: %v.", releases[1], err)
	}
	_, err := fmt.Fprintf(o.stdout, "\n%s\n", line)
	return err
}

func of(answers []answer, d version.Driver) []answer {
	found := []answer{}
	for _, a := range answers {
		if a.Driver == d {
			found = append(found, a)
		}
	}
	return found
}

// kernelsOf are the names of the kernels that are known, in order.
func kernelsOf(answers []answer) []string {
	var ks []kernel.Version
	for _, a := range answers {
		if !a.Kernel.IsZero() {
			ks = append(ks, a.Kernel)
		}
	}
	slices.SortFunc(ks, kernel.Version.Compare)
	var names []string
	for _, k := range slices.Compact(ks) {
		names = append(names, k.String())
	}
	return names
}
