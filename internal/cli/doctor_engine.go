package cli

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"

	"neuron-kmod/internal/doctor"
	"neuron-kmod/internal/engine"
	"neuron-kmod/internal/image"
	"neuron-kmod/internal/workspace"
)

// engineChecks are the checks of the container engine.
type engineChecks struct{ tool, works []doctor.Check }

// baseImage is what became of the base image.
type baseImage struct {
	reference string
	checks    []doctor.Check
	base      image.Base
	read      bool
}

// engineChecks gets the base image and runs a container of it.
func (o *doctorOptions) engineChecks(ctx context.Context, s *session) (baseImage, engineChecks) {
	base := baseImage{reference: o.BaseImage}
	c := doctor.Check{Group: "registries", Name: "base image"}
	ws, err := workspace.Open(ctx, o.CacheDir, o.TempDir, o.log)
	if err != nil {
		base.checks = []doctor.Check{c.Skip("not tried: there is no folder to work in")}
		return base, engineChecks{works: []doctor.Check{doctor.Check{Group: "engine", Name: "folder"}.Fail(err)}}
	}
	defer func() {
		if err := ws.Close(); err != nil {
			o.log.Warn("cannot remove the folder; the next run tries again", "error", err)
		}
	}()
	base.check(ctx, &o.buildOptions, s, ws, c)
	return base, o.runChecks(ctx, ws, base)
}

// check gets the base image as a build does.
func (b *baseImage) check(ctx context.Context, o *buildOptions, s *session, ws *workspace.Workspace, c doctor.Check) {
	files, err := o.parts()
	if err == nil {
		b.reference = files.base
		var info image.BaseInfo
		if b.base, info, err = o.base(ctx, s, ws, files.base); err == nil {
			b.read = true
			c.State, c.Detail = doctor.OK, files.base+" holds what KMM runs"
			if info.BusyBox != "" {
				c.Detail += ", BusyBox " + info.BusyBox
			}
		}
	}
	if err != nil {
		c = c.Fail(err)
	}
	b.checks = []doctor.Check{c}
}

// runChecks asks the engine what it is, and has it run a container.
func (o *doctorOptions) runChecks(ctx context.Context, ws *workspace.Workspace, base baseImage) engineChecks {
	runs := doctor.Check{Group: "engine", Name: "a container runs"}
	temporary := doctor.Temporary(o.TempDir)
	name := filepath.Base(o.engine)
	dir, err := ws.Mkdir("engine")
	var eng *engine.CLI
	var info engine.Info
	if err == nil {
		eng, err = engine.New(engine.Options{Program: o.engine, StateDir: o.CacheDir, TempDir: dir, RunID: ws.ID(), CAFile: o.caFile, Platform: platform, Log: o.log})
	}
	if err == nil {
		info, err = eng.Check(ctx)
	}
	tool := doctor.Engine(name, info.Path, info.Version, errors.Is(err, exec.ErrNotFound), err)
	if err != nil {
		return engineChecks{[]doctor.Check{tool}, []doctor.Check{runs.Skip("not tried: " + name + " does not work"), temporary}}
	}
	return engineChecks{[]doctor.Check{tool}, []doctor.Check{probe(ctx, eng, info, base, runs), doctor.Store(info.Storage), temporary}}
}

func probe(ctx context.Context, eng *engine.CLI, info engine.Info, base baseImage, c doctor.Check) doctor.Check {
	if !base.read {
		return c.Skip("not tried: there is no base image to run")
	}
	if err := eng.Probe(ctx, base.base.Image); err != nil {
		return c.Fail(err)
	}
	c.State, c.Detail = doctor.OK, "as root"
	if info.Rootless {
		c.Detail = "rootless"
	}
	return c
}
