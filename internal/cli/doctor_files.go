package cli

import (
	"context"
	"fmt"
	"strings"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// readFiles reads what is on this machine: the environment, the matrix, the
// catalogue and what images are made from.
func (x *checkup) readFiles(ctx context.Context) []doctor.Check {
	var checks []doctor.Check
	add := func(name string, err error, detail func() string) {
		c := doctor.Check{Group: "files", Name: name, State: doctor.OK}
		if err != nil {
			c = c.Fail(err)
		} else {
			c.Detail = detail()
		}
		checks = append(checks, c)
	}
	if x.environment != nil {
		add("environment", x.environment, nil)
	}
	m, err := matrix.Load(x.Matrix)
	add("matrix", err, func() string { return fmt.Sprintf("%s: %s", x.Matrix, format.Count(len(m.Entries), "driver")) })
	c, err := catalog.Load(x.Catalog)
	add("catalogue", err, func() string { return fmt.Sprintf("%s: %s", x.Catalog, format.Count(len(c.Entries), "Driver Toolkit")) })
	if m != nil && c != nil {
		x.in = plan.Input{Entries: m.Entries, Catalog: c, Arch: arch}
		x.toolkit = newest(x.in)
		checks = append(checks, x.join(ctx))
	}
	x.files, x.filesErr = x.parts()
	return checks
}

// join makes the plan as far as the two files decide it. Where they have no
// release in common, a build ends there.
func (x *checkup) join(ctx context.Context) doctor.Check {
	c := doctor.Check{Group: "files", Name: "releases", State: doctor.OK}
	in := x.in
	in.Target = vacant{}
	in.Resolve = func(_ context.Context, toolkits []string) []plan.Resolved {
		return make([]plan.Resolved, len(toolkits))
	}
	p, err := plan.Make(ctx, in)
	if err != nil {
		return c.Fail(err)
	}
	releases := map[version.OCP]bool{}
	for _, u := range p.Unresolved {
		releases[u.Release] = true
	}
	for _, b := range p.Builds {
		for _, r := range b.Releases {
			releases[r] = true
		}
	}
	c.Detail = "the matrix asks for " + format.Count(len(releases), "release") + " of the catalogue"
	if len(p.Notes) > 0 {
		c.State, c.Detail = doctor.Warning, c.Detail+"; "+strings.Join(p.Notes, "; ")
	}
	return c
}

// vacant is a target that holds nothing.
type vacant struct{}

func (vacant) Tags(context.Context) (map[string]bool, error) { return nil, nil }
func (vacant) Reference(tag string) string                   { return tag }

// newest returns the newest Driver Toolkit that the matrix asks for, "" if
// there is none.
func newest(in plan.Input) string {
	var last catalog.Entry
	for _, e := range in.Entries {
		if match, _ := in.Catalog.Select(e.Selectors, in.Arch); len(match) > 0 && match[len(match)-1].Compare(last) > 0 {
			last = match[len(match)-1]
		}
	}
	return last.DTK
}
