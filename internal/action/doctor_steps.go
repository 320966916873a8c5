package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/platform/format"
)

// steps are the checks that ask something of the engine, of AWS or of registries.
func (x *checkup) steps() []*step {
	needsToolkit := x.needs("the matrix and the catalogue name none", func() bool { return x.newest != "" })
	var (
		engine = &step{group: "tools", name: filepath.Base(x.request.Engine), run: x.checkEngine}
		base   = &step{
			group: "registries", name: "base image", run: x.checkBase,
			unmet: x.needs("there is no directory to work in", func() bool { return x.workspace != nil }),
		}
		mirror = &step{
			group: "registries", name: "mirror of Driver Toolkits", run: x.checkMirror,
			unmet: x.needs("there is no catalogue", func() bool { return x.files.Catalog != nil }),
		}
		target = &step{
			group: "registries", name: "target can be listed", run: x.checkTarget,
			unmet: x.needs("", func() bool { return true }),
		}
	)
	return []*step{
		engine, base, mirror, target,
		{group: "engine", name: "a container runs", after: []*step{engine, base}, unmet: x.needsBase, run: x.checkContainer},
		{group: "engine", name: "room for images", after: []*step{engine}, unmet: x.needsEngine, run: x.checkStore},
		{group: "engine", name: "room for downloads", run: x.checkTemporary},
		{group: "credentials", name: "Driver Toolkits", after: []*step{mirror}, unmet: needsToolkit, run: x.checkToolkitLogin},
		{group: "credentials", name: "target", after: []*step{target}, unmet: x.needsTarget, run: x.checkTargetLogin},
		{
			group: "credentials", name: "base image", run: x.checkBaseLogin,
			unmet: x.needs("the base image is not known", func() bool { return x.imageErr == nil }),
		},
		{group: "registries", name: "target takes images", after: []*step{target}, unmet: x.needsTarget, run: x.checkPush},
		{
			group: "registries", name: "Driver Toolkits can be read", after: []*step{mirror}, unmet: needsToolkit, run: x.checkToolkit,
		},
	}
}

// needs is unmet where there is no way to the outside, or, for the reason why, where there is not what met asks for.
func (x *checkup) needs(why string, met func() bool) func() string {
	return func() string {
		if x.closed == "" && !met() {
			return why
		}
		return x.closed
	}
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

// needsEngine is unmet where the engine does not work.
func (x *checkup) needsEngine() string {
	if x.engine == nil {
		return filepath.Base(x.request.Engine) + " does not work"
	}
	return ""
}

func (x *checkup) needsBase() string {
	if x.engine != nil && x.base.Image == nil {
		return "there is no base image to run"
	}
	return x.needsEngine()
}

// checkEngine asks the engine what it is. That needs no directory, but New wants the names of some.
func (x *checkup) checkEngine(ctx context.Context, _ doctor.Check) (doctor.Check, error) {
	settings := x.env.Settings
	o := engine.Options{
		Program: x.request.Engine, StateDir: cmp.Or(settings.CacheDir, settings.TempDir), TempDir: settings.TempDir, RunID: "doctor",
		CAFile: x.env.CAFile, Platform: platform, Log: x.env.Log,
	}
	if x.workspace != nil {
		o.TempDir, o.RunID = x.workspace.Path(), x.workspace.ID()
	}
	eng, err := engine.New(o)
	if err == nil {
		x.info, err = eng.Check(ctx)
	}
	if err == nil {
		x.engine = eng
	}
	return doctor.Engine(filepath.Base(x.request.Engine), x.info.Path, x.info.Version, errors.Is(err, exec.ErrNotFound), err), nil
}

// checkBase gets the base image as a build does.
func (x *checkup) checkBase(ctx context.Context, c doctor.Check) (doctor.Check, error) {
	if x.imageErr != nil {
		return c, x.imageErr
	}
	base, info, err := x.session.baseImage(ctx, x.workspace, x.images.base)
	if err != nil {
		return c, err
	}
	x.base = base
	c.State, c.Detail = doctor.OK, x.images.base+" holds what KMM runs"
	if info.BusyBox != "" {
		c.Detail += ", BusyBox " + info.BusyBox
	}
	return c, nil
}

// checkContainer runs a container of the base image.
func (x *checkup) checkContainer(ctx context.Context, c doctor.Check) (doctor.Check, error) {
	if err := x.engine.Probe(ctx, x.base.Image); err != nil {
		return c, err
	}
	c.State, c.Detail = doctor.OK, "as root"
	if x.info.Rootless {
		c.Detail = "rootless"
	}
	return c, nil
}

func (x *checkup) checkStore(context.Context, doctor.Check) (doctor.Check, error) {
	return doctor.Store(x.info.Storage), nil
}

func (x *checkup) checkTemporary(context.Context, doctor.Check) (doctor.Check, error) {
	return doctor.Temporary(x.env.Settings.TempDir), nil
}

// checkMirror finds the mirror, so that the checks of Driver Toolkits ask where a build takes them from.
func (x *checkup) checkMirror(ctx context.Context, c doctor.Check) (doctor.Check, error) {
	if !x.env.Settings.UseMirror && x.request.ToolkitMirror == "" {
		return c.Skip("not used in GitHub Actions"), nil
	}
	source, err := x.session.toolkits(ctx, x.files.Catalog)
	if err != nil {
		return c, err
	}
	x.toolkits = source
	if source.name == "" {
		return c.Skip("there is none"), nil
	}
	c.State, c.Detail = doctor.OK, source.name
	return c, nil
}

// locate returns where the newest Driver Toolkit is taken from.
func (x *checkup) locate(ctx context.Context) (string, error) {
	if x.toolkits == nil {
		return x.newest, nil
	}
	return x.toolkits.locate(ctx, x.newest)
}

// checkTarget finds the target and lists what it has.
func (x *checkup) checkTarget(ctx context.Context, c doctor.Check) (doctor.Check, error) {
	if x.target, x.targetErr = x.session.target(ctx, use{push: true}); x.targetErr != nil {
		return c, x.targetErr
	}
	tags, err := x.target.Tags(ctx)
	if err != nil {
		return c, err
	}
	c.State, c.Detail = doctor.OK, fmt.Sprintf("%s has %s", x.target, format.Count(len(tags), "tag"))
	return c, nil
}

func (x *checkup) checkPush(ctx context.Context, c doctor.Check) (doctor.Check, error) {
	if err := checkPush(ctx, x.target); err != nil {
		return c, err
	}
	c.State, c.Detail = doctor.OK, fmt.Sprintf("%s; nothing was pushed", x.target)
	return c, nil
}

func (x *checkup) checkToolkit(ctx context.Context, c doctor.Check) (doctor.Check, error) {
	at, err := x.locate(ctx)
	if err != nil {
		return c, err
	}
	if _, _, err := x.session.client.Image(ctx, at); err != nil {
		return c, withQuayAdvice(at, err)
	}
	c.State, c.Detail = doctor.OK, at
	return c, nil
}

// checkToolkitLogin looks for the login for a Driver Toolkit, where it is taken from. A build in GitHub Actions does not
// begin without one for quay.io.
func (x *checkup) checkToolkitLogin(ctx context.Context, c doctor.Check) (doctor.Check, error) {
	if err := x.session.checkQuay(ctx, x.files); err != nil {
		return c, err
	}
	at, err := x.locate(ctx)
	if err != nil {
		return c, err
	}
	c, err = checkAccount(ctx, x.session, c, at)
	if c.State == doctor.Warning && strings.HasPrefix(at, quayHost+"/") {
		c.Hint = quayAdvice
	}
	return c, err
}

func (x *checkup) checkTargetLogin(ctx context.Context, c doctor.Check) (doctor.Check, error) {
	return checkAccount(ctx, x.session, c, x.target.String())
}

func (x *checkup) checkBaseLogin(ctx context.Context, c doctor.Check) (doctor.Check, error) {
	return checkAccount(ctx, x.session, c, x.images.base)
}
