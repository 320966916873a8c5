package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/platform/workspace"
	"neuron-kmod/internal/version"
)

const (
	// checkTime bounds each check, so that a host that never answers takes no other check with it.
	checkTime = 2 * time.Minute
	// parallelChecks bounds how many checks wait for the network at the same time.
	parallelChecks = 4
)

// checkGroups are the groups of the report, in its order.
var checkGroups = []string{"files", "tools", "engine", "credentials", "registries"}

// DoctorRequest says what a build would work with.
type DoctorRequest struct {
	Matrix        string
	Catalog       string
	Target        string
	ToolkitMirror string
	Engine        string
	BaseImage     string
	ContainerDir  string
	Environment   error // what is wrong with the environment, nil if nothing is
}

// Doctor makes the checks that a build makes before it downloads anything, all of them, and changes nothing. A check that
// fails hides no other: what depends on it says so. It blocks on the network, a few minutes at most.
func Doctor(ctx context.Context, env Env, r DoctorRequest) (doctor.Report, error) {
	x := &checkup{env: env, request: r}
	info, _ := debug.ReadBuildInfo() // nil without
	checks := slices.Concat(x.checkFiles(ctx), doctor.Replaced(info, env.Settings.CheckTools), x.open(ctx))
	if x.workspace != nil {
		defer closeWorkspace(env, x.workspace)
	}
	results := x.runAll(ctx, x.steps())
	checks = append(checks, x.checkAWS(results))
	for _, r := range results {
		checks = append(checks, r.check)
	}
	slices.SortStableFunc(checks, func(a, b doctor.Check) int {
		return cmp.Compare(slices.Index(checkGroups, a.Group), slices.Index(checkGroups, b.Group))
	})
	settings := env.Settings
	settings.Target, settings.ToolkitMirror, settings.Matrix, settings.Catalog, settings.BaseImage =
		r.Target, r.ToolkitMirror, r.Matrix, r.Catalog, r.BaseImage
	report := doctor.NewReport(settings.Describe(), checks)
	if ctx.Err() != nil {
		return report, context.Cause(ctx)
	}
	return report, nil
}

// checkup is one run of Doctor: what some checks find for others. Each of its fields is written by one check, and read only
// by checks that come after that one.
type checkup struct {
	env     Env
	request DoctorRequest

	files    plan.Input // zero unless both the matrix and the catalogue are good
	newest   string     // the newest Driver Toolkit that is wanted, "" for none
	images   imageFiles
	imageErr error // why images is not known

	session   *session             // nil: closed says why
	closed    string               // "" if there is a session
	workspace *workspace.Workspace // nil where none can be made
	toolkits  *toolkits            // nil if the mirror could not be looked for

	engine    *engine.CLI // nil if it does not work
	info      engine.Info
	base      image.Base      // zero if the base image cannot be read
	target    registry.Target // nil if it is not known, for targetErr
	targetErr error
}

// step is one check to make.
type step struct {
	group, name string
	after       []*step       // steps that have to be over, because they find what this one needs
	unmet       func() string // why it cannot be made, "" if it can; nil: it always can
	// run fills in what was found. It may block until ctx ends. An error makes it a check that failed.
	run func(ctx context.Context, c doctor.Check) (doctor.Check, error)
}

// outcome is what became of a step.
type outcome struct {
	check doctor.Check
	noAWS bool // it could not be made for lack of an AWS identity
}

// checkFiles reads what is on this machine: the environment, the matrix, the catalogue and what images are made from.
func (x *checkup) checkFiles(ctx context.Context) []doctor.Check {
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
	r := x.request
	if r.Environment != nil {
		add("environment", r.Environment, nil)
	}
	m, err := matrix.Load(r.Matrix)
	add("matrix", err, func() string { return fmt.Sprintf("%s: %s", r.Matrix, format.Count(len(m.Entries), "driver")) })
	c, err := catalog.Load(r.Catalog)
	add("catalogue", err, func() string { return fmt.Sprintf("%s: %s", r.Catalog, format.Count(len(c.Entries), "Driver Toolkit")) })
	if m != nil && c != nil {
		x.files = plan.Input{Entries: m.Entries, Catalog: c, Arch: arch}
		x.newest = newestToolkit(x.files)
		checks = append(checks, checkReleases(ctx, x.files))
	}
	x.images, x.imageErr = readImageFiles(r.ContainerDir, r.BaseImage)
	return checks
}

// checkReleases makes the plan as far as the two files decide it. Where they have no release in common, a build ends there.
func checkReleases(ctx context.Context, in plan.Input) doctor.Check {
	c := doctor.Check{Group: "files", Name: "releases", State: doctor.OK}
	in.Target = vacantTarget{}
	in.Resolve = func(_ context.Context, dtks []string) ([]plan.Resolved, error) {
		return make([]plan.Resolved, len(dtks)), nil
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

// vacantTarget is a target that holds nothing.
type vacantTarget struct{}

func (vacantTarget) Tags(context.Context) (map[string]bool, error) { return nil, nil }
func (vacantTarget) Reference(tag string) string                   { return tag }

// newestToolkit returns the newest Driver Toolkit that the matrix asks for, "" if there is none.
func newestToolkit(in plan.Input) string {
	var last catalog.Entry
	for _, e := range in.Entries {
		if match, _ := in.Catalog.Select(e.Selectors, in.Arch); len(match) > 0 && match[len(match)-1].Compare(last) > 0 {
			last = match[len(match)-1]
		}
	}
	return last.DTK
}

// open makes what the checks work with. Nothing is asked of any registry where the environment is wrong: it may be the
// proxy, or whose credentials to take.
func (x *checkup) open(ctx context.Context) []doctor.Check {
	if x.request.Environment != nil {
		x.closed = "the environment is wrong"
		return nil
	}
	var checks []doctor.Check
	var err error
	if x.session, err = open(x.env, access{target: x.request.Target, mirror: x.request.ToolkitMirror}); err != nil {
		x.closed = "the credentials cannot be read"
		checks = append(checks, doctor.Check{Group: "files", Name: "credentials"}.Fail(err))
	}
	if x.workspace, err = workspace.Open(ctx, x.env.Settings.CacheDir, x.env.Settings.TempDir, x.env.Log); err != nil {
		checks = append(checks, doctor.Check{Group: "files", Name: "folders"}.Fail(err))
	}
	return checks
}

// runAll makes the checks, each as soon as those before it are over, and returns what became of each in the order of steps.
func (x *checkup) runAll(ctx context.Context, steps []*step) []outcome {
	results := make([]outcome, len(steps))
	over := map[*step]bool{}
	for len(over) < len(steps) {
		var group errgroup.Group // its functions report through results
		group.SetLimit(parallelChecks)
		var round []*step
		for i, s := range steps {
			if over[s] || slices.ContainsFunc(s.after, func(a *step) bool { return !over[a] }) {
				continue
			}
			round = append(round, s)
			group.Go(func() error {
				results[i] = x.run(ctx, s)
				return nil
			})
		}
		_ = group.Wait()
		for _, s := range round {
			over[s] = true
		}
	}
	return results
}

// run makes one check. One that fails with the error of the AWS identity does not repeat it.
func (x *checkup) run(ctx context.Context, s *step) outcome {
	c := doctor.Check{Group: s.group, Name: s.name}
	if s.unmet != nil {
		if why := s.unmet(); why != "" {
			return outcome{check: c.Skip("not tried: " + why)}
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, checkTime, fmt.Errorf("not done within %s", checkTime))
	defer cancel()
	c, err := s.run(ctx, c)
	switch {
	case err == nil:
		return outcome{check: c}
	case x.lacksAWS(err):
		return outcome{check: c.Skip("not tried: " + noAWS), noAWS: true}
	case errors.Is(err, context.DeadlineExceeded) && fault.Of(err) == "":
		err = fault.Wrap(err, fmt.Sprintf("there was no answer within %s: check the network and the proxy settings (HTTPS_PROXY, NO_PROXY)", checkTime))
	}
	return outcome{check: c.Fail(err)}
}
