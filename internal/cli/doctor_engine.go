package cli

import (
	"cmp"
	"context"
	"errors"
	"os/exec"
	"path/filepath"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/internal/kmod/engine"
)

// engineStep asks the engine what it is. That needs no directory, but New wants the
// names of some.
func (x *checkup) engineStep() step {
	name := filepath.Base(x.engine)
	return step{group: "tools", name: name, run: func(ctx context.Context, _ doctor.Check) (doctor.Check, error) {
		o := engine.Options{
			Program: x.engine, StateDir: cmp.Or(x.CacheDir, x.TempDir), TempDir: x.TempDir, RunID: "doctor",
			CAFile: x.caFile, Platform: platform, Log: x.log,
		}
		if x.workspace != nil {
			o.TempDir, o.RunID = x.workspace.Path(), x.workspace.ID()
		}
		eng, err := engine.New(o)
		if err == nil {
			x.info, err = eng.Check(ctx)
		}
		if err == nil {
			x.eng = eng
		}
		return doctor.Engine(name, x.info.Path, x.info.Version, errors.Is(err, exec.ErrNotFound), err), nil
	}}
}

// needsEngine is unmet where the engine does not work.
func (x *checkup) needsEngine() string {
	if x.eng == nil {
		return filepath.Base(x.engine) + " does not work"
	}
	return ""
}

// probeStep runs a container of the base image.
func (x *checkup) probeStep() step {
	unmet := func() string {
		if x.eng != nil && x.image.Image == nil {
			return "there is no base image to run"
		}
		return x.needsEngine()
	}
	return step{"engine", "a container runs", unmet, func(ctx context.Context, c doctor.Check) (doctor.Check, error) {
		if err := x.eng.Probe(ctx, x.image.Image); err != nil {
			return c, err
		}
		c.State, c.Detail = doctor.OK, "as root"
		if x.info.Rootless {
			c.Detail = "rootless"
		}
		return c, nil
	}}
}

func (x *checkup) storeStep() step {
	return step{"engine", "room for images", x.needsEngine, func(context.Context, doctor.Check) (doctor.Check, error) {
		return doctor.Store(x.info.Storage), nil
	}}
}

func (x *checkup) temporaryStep() step {
	return step{group: "engine", name: "room for downloads", run: func(context.Context, doctor.Check) (doctor.Check, error) {
		return doctor.Temporary(x.TempDir), nil
	}}
}

// baseStep gets the base image as a build does.
func (x *checkup) baseStep() step {
	unmet := func() string {
		if x.workspace == nil && x.closed == "" {
			return "there is no folder to work in"
		}
		return x.closed
	}
	return step{"registries", "base image", unmet, func(ctx context.Context, c doctor.Check) (doctor.Check, error) {
		if x.filesErr != nil {
			return c, x.filesErr
		}
		base, info, err := x.base(ctx, x.session, x.workspace, x.files.base)
		if err != nil {
			return c, err
		}
		x.image = base
		c.State, c.Detail = doctor.OK, x.files.base+" holds what KMM runs"
		if info.BusyBox != "" {
			c.Detail += ", BusyBox " + info.BusyBox
		}
		return c, nil
	}}
}
