package action

import (
	"context"
	"errors"
	"fmt"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
)

// PlanRequest asks what a build would do.
type PlanRequest struct {
	Selection     Selection
	Target        string
	ToolkitMirror string // HOST/REPOSITORY, "" for none but that of the environment
}

// Plan returns what a build would do. It blocks on the network, and pulls nothing.
func Plan(ctx context.Context, env Env, r PlanRequest) (*plan.Plan, error) {
	s, err := open(env, access{target: r.Target, mirror: r.ToolkitMirror, readOnly: true})
	if err != nil {
		return nil, err
	}
	in, err := s.planInput(ctx, r.Selection, use{})
	if err != nil {
		return nil, err
	}
	return in.makePlan(ctx, nil)
}

// planInput is what a plan is made from, with the ways to what it asks.
type planInput struct {
	session  *session
	files    plan.Input // the matrix, the catalogue and the filters
	target   registry.Target
	toolkits *toolkits
}

// planInput reads the files of a selection, and opens the session's target and the mirror.
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

// makePlan makes the plan. preflight, if not nil, is made sure of before the first Driver Toolkit is read out of a registry.
func (in *planInput) makePlan(ctx context.Context, preflight func(ctx context.Context) error) (*plan.Plan, error) {
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
		s.env.Log.Warn("cannot find the kernel of a release", "release", u.Release, "toolkit", u.Toolkit, "reason", u.Reason)
	}
	return p, nil
}

// warnOf logs what a plan has to say to the user.
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
		err = fault.Wrap(err, "an unbuildable image waits for a release whose Driver Toolkit is for its kernel; to do without it, take the release that "+
			"needs it out of the catalogue, and give it to `neuron-kmod catalog update` with --skip")
	}
	return fault.AsIncomplete(err)
}
