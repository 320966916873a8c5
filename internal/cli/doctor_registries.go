package cli

import (
	"context"
	"fmt"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/internal/platform/format"
)

// targetStep finds the target and lists what it has.
func (x *checkup) targetStep() step {
	return step{"registries", "target can be listed", x.needsSession, func(ctx context.Context, c doctor.Check) (doctor.Check, error) {
		if x.target, x.targetErr = x.session.target(ctx, access{push: true}); x.targetErr != nil {
			return c, x.targetErr
		}
		tags, err := x.target.Tags(ctx)
		if err != nil {
			return c, err
		}
		c.State, c.Detail = doctor.OK, fmt.Sprintf("%s has %s", x.target, format.Count(len(tags), "tag"))
		return c, nil
	}}
}

// needsTarget is unmet where the target is not known.
func (x *checkup) needsTarget() string {
	switch {
	case x.closed != "":
		return x.closed
	case x.lacksAWS(x.targetErr):
		return noAWS
	case x.targetErr != nil:
		return "the target is not known"
	}
	return ""
}

func (x *checkup) pushStep() step {
	return step{"registries", "target takes images", x.needsTarget, func(ctx context.Context, c doctor.Check) (doctor.Check, error) {
		if err := checkPush(ctx, x.target); err != nil {
			return c, err
		}
		c.State, c.Detail = doctor.OK, fmt.Sprintf("%s; nothing was pushed", x.target)
		return c, nil
	}}
}

// mirrorStep finds the mirror, so that the checks of Driver Toolkits ask where a
// build takes them from.
func (x *checkup) mirrorStep() step {
	unmet := func() string {
		if x.in.Catalog == nil && x.closed == "" {
			return "there is no catalogue"
		}
		return x.closed
	}
	return step{"registries", "mirror of Driver Toolkits", unmet, func(ctx context.Context, c doctor.Check) (doctor.Check, error) {
		if !x.UseMirror && x.ToolkitMirror == "" {
			return c.Skip("not used in GitHub Actions"), nil
		}
		uri, err := x.session.useMirror(ctx, x.in.Catalog)
		if err != nil {
			return c, err
		}
		if uri == "" {
			return c.Skip("there is none"), nil
		}
		c.State, c.Detail = doctor.OK, uri
		return c, nil
	}}
}

func (x *checkup) toolkitStep() step {
	return step{"registries", "Driver Toolkits can be read", x.needsToolkit, func(ctx context.Context, c doctor.Check) (doctor.Check, error) {
		at, err := x.session.locate(ctx, x.toolkit)
		if err != nil {
			return c, err
		}
		if _, _, err := x.session.client.Image(ctx, at); err != nil {
			return c, withQuayAdvice(at, err)
		}
		c.State, c.Detail = doctor.OK, at
		return c, nil
	}}
}
