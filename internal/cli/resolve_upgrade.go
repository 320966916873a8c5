package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// driverUpgrade is what an upgrade means for one driver.
type driverUpgrade struct {
	Driver version.Driver `json:"driver"`
	From   []answer       `json:"from"` // for each kernel of the release that the cluster has
	To     []answer       `json:"to"`   // for each kernel of the one that it gets
	// SameKernel: the kernels stay, so that the upgrade changes nothing for the driver.
	SameKernel bool `json:"same_kernel"`
	// Trouble is why a cluster with this driver cannot be upgraded, "" if it can.
	Trouble string `json:"trouble"`
}

func (o *resolveOptions) upgrade(ctx context.Context) error {
	releases, err := o.releases()
	if err != nil {
		return err
	}
	r, err := o.start(ctx, releases[:]...)
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
		s.Trouble = s.trouble(releases[1])
		steps = append(steps, s)
	}
	verdict := upgradable(steps, releases[1])
	if o.output == "json" {
		err = o.encode(map[string]any{"from": releases[0], "to": releases[1], "drivers": steps, "ready": verdict == nil})
	} else {
		err = o.writeSteps(steps, releases, verdict)
	}
	if err != nil {
		return err
	}
	return verdict
}

// releases are those of --from and --to.
func (o *resolveOptions) releases() (both [2]version.OCP, err error) {
	for i, text := range []string{o.from, o.to} {
		if both[i], err = version.ParseOCP(text); err != nil {
			return both, usage{fault.Wrap(fmt.Errorf("%s: %w", []string{"--from", "--to"}[i], err), "name a release such as 4.21.3")}
		}
	}
	if both[1].Compare(both[0]) < 0 {
		return both, usage{fault.Wrap(fmt.Errorf("--to %s is older than --from %s", both[1], both[0]), "OpenShift goes forward only: exchange the two")}
	}
	return both, nil
}

// trouble says why a cluster with the driver cannot be upgraded to a release. A driver that the matrix has for neither
// release is no cluster's matter.
func (d driverUpgrade) trouble(to version.OCP) string {
	lacking := 0
	for _, a := range d.To {
		if a.State == missing || a.State == unknown {
			lacking++
		}
	}
	switch {
	case lacking > 0:
		return format.Count(lacking, "image") + " missing or not known"
	case asked(d.From) && !asked(d.To):
		return "the matrix does not have it for " + to.String()
	}
	return ""
}

// asked reports whether the matrix has the driver for the release that was answered for.
func asked(answers []answer) bool {
	return slices.ContainsFunc(answers, func(a answer) bool { return a.State != notWanted })
}

// upgradable is nil if a cluster can be upgraded whichever of the drivers it has. Which one it has is told by --driver.
func upgradable(steps []driverUpgrade, to version.OCP) error {
	var good, bad []string
	for _, s := range steps {
		switch {
		case s.Trouble != "":
			bad = append(bad, fmt.Sprintf("%s: %s", s.Driver, s.Trouble))
		case asked(s.To):
			good = append(good, s.Driver.String())
		}
	}
	switch {
	case len(bad) > 0 && len(good) > 0:
		return incomplete{fault.Wrap(fmt.Errorf("not ready for OpenShift %s with every driver: %s", to, strings.Join(bad, "; ")),
			fmt.Sprintf("it is ready with %s; name the driver of the cluster with --driver", strings.Join(good, ", ")))}
	case len(bad) > 0:
		return incomplete{fmt.Errorf("not ready for OpenShift %s: %s", to, strings.Join(bad, "; "))}
	case len(good) == 0:
		return incomplete{fmt.Errorf("not ready for OpenShift %s: the matrix has no driver for it", to)}
	}
	return nil
}

func (o *resolveOptions) writeSteps(steps []driverUpgrade, releases [2]version.OCP, verdict error) error {
	tw := tabwriter.NewWriter(o.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tw, "DRIVER\tKERNEL OF %s\tKERNEL OF %s\tSTATE\tIMAGE\n", releases[0], releases[1])
	for _, s := range steps {
		before := cmp.Or(strings.Join(kernelsOf(s.From), ", "), "-")
		for _, a := range s.To {
			after := cmp.Or(a.Kernel.String(), "-")
			if s.SameKernel {
				after = "the same"
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", s.Driver, before, after, a.State, a.what())
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	line := fmt.Sprintf("ready: all images for OpenShift %s are there", releases[1])
	if verdict != nil {
		line = verdict.Error()
	}
	_, err := fmt.Fprintf(o.stdout, "\n%s.\n", strings.ToUpper(line[:1])+line[1:])
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
