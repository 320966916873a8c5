package action

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
)

// Selection says which builds are meant, in the command line's own words.
type Selection struct {
	Matrix  string   // path of build-matrix.json
	Catalog string   // path of driver-toolkit.json
	Driver  string   // a version, or "all"
	OCP     string   // "" for all, "4.20" or "4.20.16"
	Kernels []string // only these, as uname -r prints them; none for all
}

// Limited reports whether the selection has fewer than all releases of its drivers.
func (s Selection) Limited() bool { return s.OCP != "" || len(s.Kernels) > 0 }

// input reads the two files and the filters; it touches no network.
func (s Selection) input() (plan.Input, error) {
	in := plan.Input{Arch: arch}
	for _, k := range s.Kernels {
		v, err := kernel.Parse(k)
		if err != nil {
			return in, fault.AsUsage(fmt.Errorf("--kernel: %w", err))
		}
		in.Kernels = append(in.Kernels, v)
	}
	m, err := matrix.Load(s.Matrix)
	if err != nil {
		return in, fault.AsInvalid(err)
	}
	if in.Catalog, err = catalog.Load(s.Catalog); err != nil {
		return in, fault.AsInvalid(err)
	}
	if in.Entries, err = m.Filter(s.Driver, s.OCP); err != nil {
		return in, fault.AsUsage(err)
	}
	return in, nil
}

// classifyPlan marks the errors of a plan that are the user's: a directory that cannot be a target is one, too.
func classifyPlan(err error, target string) error {
	_, noRelease := errors.AsType[*catalog.NotFoundError](err)
	_, noKernel := errors.AsType[*plan.KernelError](err)
	if noRelease || noKernel || strings.HasPrefix(target, "oci:") {
		return fault.AsUsage(err)
	}
	return registry.Classify(err)
}

// PlanRequest asks what a build would do.
type PlanRequest struct {
	Selection     Selection
	Target        string
	ToolkitMirror string // HOST/REPOSITORY, "" for none but that of the environment
}

// Plan returns what a build would do. It blocks on the network, and pulls nothing.
func Plan(ctx context.Context, env Env, r PlanRequest) (*plan.Plan, error) {
	_, p, err := openPlan(ctx, env, r.Selection, access{target: r.Target, mirror: r.ToolkitMirror, readOnly: true})
	return p, err
}

// openPlan opens a session and makes the plan of a selection, to read only.
func openPlan(ctx context.Context, env Env, sel Selection, a access) (*planInput, *plan.Plan, error) {
	s, err := open(env, a)
	if err != nil {
		return nil, nil, err
	}
	in, err := s.planInput(ctx, sel, use{})
	if err != nil {
		return nil, nil, err
	}
	p, err := in.makePlan(ctx, nil)
	return in, p, err
}

// planInput is what a plan is made from, with the ways to what it asks.
type planInput struct {
	session  *session
	files    plan.Input // the matrix, the catalogue and the filters
	target   registry.Target
	toolkits *toolkits
}

func (s *session) planInput(ctx context.Context, sel Selection, u use) (*planInput, error) {
	files, err := sel.input()
	if err != nil {
		return nil, err
	}
	target, err := s.target(ctx, u)
	if err != nil {
		return nil, err
	}
	source, err := s.toolkits(ctx, files.Catalog)
	if err != nil {
		return nil, err
	}
	if u.push {
		if err := s.checkQuay(ctx, files); err != nil {
			return nil, err
		}
	}
	return &planInput{session: s, files: files, target: target, toolkits: source}, nil
}

// makePlan makes the plan. preflight, if not nil, is called before a Driver Toolkit is read out of a registry.
func (in *planInput) makePlan(ctx context.Context, preflight func() error) (*plan.Plan, error) {
	s, files := in.session, in.files
	files.Target, files.Resolve = in.target, in.toolkits.resolver(preflight)
	p, err := plan.Make(ctx, files)
	if err != nil {
		return nil, classifyPlan(err, s.access.target)
	}
	if len(p.Builds) == 0 {
		for _, u := range p.Unresolved {
			if registry.IsUnauthorized(u.Err) {
				return nil, fault.AsPrerequisite(fmt.Errorf("cannot read any Driver Toolkit: %w", u.Err))
			}
		}
	}
	s.warnOf(p)
	for _, u := range p.Unresolved {
		s.env.Log.Warn("cannot find the kernel of a release",
			"release", u.Release, "toolkit", u.Toolkit, "reason", u.Reason)
	}
	return p, nil
}

func (s *session) warnOf(p *plan.Plan) {
	for _, n := range p.Notes {
		s.env.Log.Warn("some nodes will not find an image", "reason", n)
	}
}

// Complete returns nil if nothing of a plan, or of the report of a run, is wrong; else the error that says what.
func Complete(p *plan.Plan) error {
	if p.Complete() {
		return nil
	}
	err := errors.New(p.Summary())
	if p.Count(plan.Unbuildable) > 0 {
		err = fault.Wrap(err, "an unbuildable image waits for a release whose Driver Toolkit is for its kernel; "+
			"to do without it, take the release that needs it out of the catalogue, "+
			"and give it to `neuron-kmod catalog update` with --skip")
	}
	return fault.AsIncomplete(err)
}
