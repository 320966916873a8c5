package action

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// DriverUpgrade is what an upgrade means for one driver.
type DriverUpgrade struct {
	Driver version.Driver `json:"driver"`
	From   []Answer       `json:"from"` // for each kernel of the release that the cluster has
	To     []Answer       `json:"to"`   // for each kernel of the one that it gets
	// SameKernel: the kernels stay, so that the upgrade changes nothing for the driver.
	SameKernel bool `json:"same_kernel"`
	// Problem is why a cluster with this driver cannot be upgraded, "" if it can.
	Problem string `json:"trouble"`
}

// Upgrade is what an upgrade of OpenShift means for each driver.
type Upgrade struct {
	Drivers []DriverUpgrade `json:"drivers"`
	From    version.OCP     `json:"from"`
	Ready   bool            `json:"ready"` // a cluster can be upgraded whichever of the drivers it has
	To      version.OCP     `json:"to"`
}

// ResolveUpgrade answers whether a cluster can be upgraded from one OpenShift release to another. The answer comes with the
// error that says why not, of the kind fault.Incomplete. It blocks on the network.
func ResolveUpgrade(ctx context.Context, env Env, r ResolveRequest, from, to string) (*Upgrade, error) {
	u, err := parseUpgrade(from, to)
	if err != nil {
		return nil, err
	}
	q, err := openResolver(ctx, env, r, u.From, u.To)
	if err != nil {
		return nil, err
	}
	before, err := q.release(ctx, u.From)
	if err != nil {
		return nil, err
	}
	after, err := q.release(ctx, u.To)
	if err != nil {
		return nil, err
	}
	for _, e := range q.files.Entries {
		d := DriverUpgrade{Driver: e.Driver, From: forDriver(before, e.Driver), To: forDriver(after, e.Driver)}
		d.SameKernel = slices.Equal(KernelNames(d.From), KernelNames(d.To)) && KernelNames(d.To) != nil
		d.Problem = d.problem(u.To)
		u.Drivers = append(u.Drivers, d)
	}
	err = u.verdict()
	u.Ready = err == nil
	return u, err
}

// parseUpgrade reads the releases of --from and --to.
func parseUpgrade(from, to string) (*Upgrade, error) {
	u := &Upgrade{}
	for _, flag := range []struct {
		name, text string
		release    *version.OCP
	}{{"--from", from, &u.From}, {"--to", to, &u.To}} {
		v, err := version.ParseOCP(flag.text)
		if err != nil {
			return nil, fault.AsUsage(fault.Wrap(fmt.Errorf("%s: %w", flag.name, err), "name a release such as 4.21.3"))
		}
		*flag.release = v
	}
	if u.To.Compare(u.From) < 0 {
		return nil, fault.AsUsage(fault.Wrap(fmt.Errorf("--to %s is older than --from %s", u.To, u.From),
			"OpenShift cannot be downgraded: swap the two"))
	}
	return u, nil
}

// problem says why a cluster with the driver cannot be upgraded to a release. A driver that the matrix has for neither
// release is no cluster's matter.
func (d DriverUpgrade) problem(to version.OCP) string {
	lacking := 0
	for _, a := range d.To {
		if a.lacking() {
			lacking++
		}
	}
	switch {
	case lacking > 0:
		return format.Count(lacking, "image") + " missing or not known"
	case requested(d.From) && !requested(d.To):
		return "the matrix does not have it for " + to.String()
	}
	return ""
}

// requested reports whether the matrix has the driver for the release that was answered for.
func requested(answers []Answer) bool {
	return slices.ContainsFunc(answers, func(a Answer) bool { return a.State != NotWanted })
}

// verdict is nil if a cluster can be upgraded whichever of the drivers it has. Which one it has is told by --driver.
func (u *Upgrade) verdict() error {
	var good, bad []string
	for _, d := range u.Drivers {
		switch {
		case d.Problem != "":
			bad = append(bad, fmt.Sprintf("%s: %s", d.Driver, d.Problem))
		case requested(d.To):
			good = append(good, d.Driver.String())
		}
	}
	switch {
	case len(bad) > 0 && len(good) > 0:
		return fault.AsIncomplete(fault.Wrap(fmt.Errorf("not ready for OpenShift %s with every driver: %s", u.To, strings.Join(bad, "; ")),
			fmt.Sprintf("it is ready with %s; name the driver of the cluster with --driver", strings.Join(good, ", "))))
	case len(bad) > 0:
		return fault.AsIncomplete(fmt.Errorf("not ready for OpenShift %s: %s", u.To, strings.Join(bad, "; ")))
	case len(good) == 0:
		return fault.AsIncomplete(fmt.Errorf("not ready for OpenShift %s: the matrix has no driver for it", u.To))
	}
	return nil
}

// forDriver returns the answers for a driver.
func forDriver(answers []Answer, d version.Driver) []Answer {
	found := []Answer{}
	for _, a := range answers {
		if a.Driver == d {
			found = append(found, a)
		}
	}
	return found
}

// KernelNames are the names of the kernels that are known, in order.
func KernelNames(answers []Answer) []string {
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
