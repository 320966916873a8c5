package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/workspace"
)

const (
	// checkTime bounds each check, so that a host that never answers takes no
	// other check with it.
	checkTime = 2 * time.Minute
	// checksAtOnce bounds how many checks wait for the network at the same time.
	checksAtOnce = 4
)

// checkGroups are the groups of the report, in its order.
var checkGroups = []string{"files", "tools", "engine", "credentials", "registries"}

// checkup is one run of doctor: what earlier checks have found for later ones.
type checkup struct {
	*doctorOptions

	in       plan.Input // zero unless both the matrix and the catalogue are good
	toolkit  string     // the newest Driver Toolkit that is wanted, "" for none
	files    parts      // what images are made from
	filesErr error

	session   *session             // nil: closed says why
	closed    string               // "" if there is a session
	workspace *workspace.Workspace // nil where none can be made

	eng       *engine.CLI // nil if it does not work
	info      engine.Info
	image     image.Base      // zero if the base image cannot be read
	target    registry.Target // nil if it is not known, for targetErr
	targetErr error
}

// step is one check to make.
type step struct {
	group, name string
	unmet       func() string // why it cannot be made, "" if it can; nil: it always can
	// run fills in what was found. It may block until ctx ends. An error makes it
	// a check that failed.
	run func(ctx context.Context, c doctor.Check) (doctor.Check, error)
}

// outcome is what became of a step.
type outcome struct {
	check doctor.Check
	noAWS bool // it could not be made for lack of an AWS identity
}

// checks makes all checks. A check that fails hides no other: what depends on
// it says so. The order of the report is fixed.
func (o *doctorOptions) checks(ctx context.Context) []doctor.Check {
	x := &checkup{doctorOptions: o}
	info, _ := debug.ReadBuildInfo() // nil without
	checks := slices.Concat(x.readFiles(ctx), doctor.Replaced(info, o.CheckTools), x.start(ctx))
	defer x.end()
	var results []outcome
	for _, steps := range [][]step{
		{x.engineStep(), x.baseStep(), x.mirrorStep(), x.targetStep()},
		{x.probeStep(), x.storeStep(), x.temporaryStep(), x.toolkitLoginStep(), x.targetLoginStep(), x.baseLoginStep(),
			x.pushStep(), x.toolkitStep()},
	} {
		results = append(results, x.do(ctx, steps)...)
	}
	checks = append(checks, x.awsCheck(results))
	for _, r := range results {
		checks = append(checks, r.check)
	}
	slices.SortStableFunc(checks, func(a, b doctor.Check) int {
		return cmp.Compare(slices.Index(checkGroups, a.Group), slices.Index(checkGroups, b.Group))
	})
	return checks
}

// start makes what the checks work with. Nothing is asked of any registry where
// the environment is wrong: it may be the proxy, or whose credentials to take.
func (x *checkup) start(ctx context.Context) []doctor.Check {
	if x.environment != nil {
		x.closed = "the environment is wrong"
		return nil
	}
	var checks []doctor.Check
	var err error
	if x.session, err = x.app.open(); err != nil {
		x.closed = "the credentials cannot be read"
		checks = append(checks, doctor.Check{Group: "files", Name: "credentials"}.Fail(err))
	}
	if x.workspace, err = workspace.Open(ctx, x.CacheDir, x.TempDir, x.log); err != nil {
		checks = append(checks, doctor.Check{Group: "files", Name: "folders"}.Fail(err))
	}
	return checks
}

func (x *checkup) end() {
	if x.workspace != nil {
		x.leave(x.workspace)
	}
}

// do makes checks at the same time, and returns what became of each in the
// order of steps.
func (x *checkup) do(ctx context.Context, steps []step) []outcome {
	results := make([]outcome, len(steps))
	var g errgroup.Group // its functions report through results
	g.SetLimit(checksAtOnce)
	for i, s := range steps {
		g.Go(func() error {
			results[i] = x.try(ctx, s)
			return nil
		})
	}
	_ = g.Wait()
	return results
}

// try makes one check. One that fails with the error of the AWS identity does
// not repeat it.
func (x *checkup) try(ctx context.Context, s step) outcome {
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

// needsSession is unmet where there is no way to the outside.
func (x *checkup) needsSession() string { return x.closed }

// needsToolkit is unmet where no Driver Toolkit can be asked for.
func (x *checkup) needsToolkit() string {
	if x.toolkit == "" && x.closed == "" {
		return "the matrix and the catalogue name none"
	}
	return x.closed
}
