package action

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/kmod/pipeline"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/workspace"
	"neuron-kmod/internal/release"
)

// BuildRequest asks for the images of a selection.
type BuildRequest struct {
	Selection     Selection
	Target        string
	ToolkitMirror string // HOST/REPOSITORY, "" for none but that of the environment
	Engine        string // program: "podman" or "docker", with or without its path
	BaseImage     string // a reference, or oci:DIR:TAG
	ContainerDir  string // directory with Containerfile, build-module.sh and licenses/; "" for the built-in ones
	DriverSource  string // URL or directory of the driver's packages
	Builder       string // who makes the image: "auto", "native" (in-process) or "engine"
	Jobs          int    // processors to compile with
	Timeout       time.Duration
	Force         bool // build and overwrite what is published
	FailFast      bool
	Create        bool // create the repository in ECR if it is missing
	Mutable       bool // let the tags of a new repository be overwritten
	Release       bool // the caller releases what was built
	// MustBeReleasable: what was built will be released, now or by a job that comes after this one, so it has to be possible.
	MustBeReleasable bool
	// KernelDone, if set, is told when the last build on a kernel has come to its end, from several goroutines.
	KernelDone func(KernelResult)
}

// KernelResult is what became of the builds on a kernel.
type KernelResult struct {
	Kernel kernel.Version
	States []plan.State // of each build
}

// check finds what does not go together before anything is read.
func (r BuildRequest) check() error {
	engine := filepath.Base(r.Engine)
	switch {
	case r.Builder != string(pipeline.Auto) && r.Builder != string(pipeline.Native) && r.Builder != string(pipeline.ByEngine):
		return fault.Wrap(fmt.Errorf("--builder is %q", r.Builder), "use auto, native or engine")
	case r.Create && r.Target != registry.KindECR:
		return errors.New("--create-repository is for target ecr")
	case r.Mutable && !r.Create:
		return errors.New("--mutable-tags goes with --create-repository")
	case engine != "podman" && engine != "docker":
		return fault.Wrap(fmt.Errorf("--engine is %q", r.Engine), "use podman or docker")
	case r.Jobs < 1 || r.Jobs > 1024:
		return fault.Wrap(fmt.Errorf("--jobs is %d", r.Jobs), "give a number of processors from 1 to 1024")
	case r.Timeout < time.Second:
		return fault.Wrap(fmt.Errorf("--timeout is %s", r.Timeout), "give at least 1s, for example 30m")
	}
	return nil
}

// BuildResult is what a build has done.
type BuildResult struct {
	Plan  *plan.Plan // with what became of each build
	input *planInput // for a release after it
}

// Build builds and publishes what is missing. That something failed is in the result's plan, not in the error. A result
// beside an error is as far as the run came. It blocks for minutes.
func Build(ctx context.Context, env Env, r BuildRequest) (*BuildResult, error) {
	if err := r.check(); err != nil {
		return nil, fault.AsUsage(err)
	}
	files, err := readImageFiles(r.ContainerDir, r.BaseImage)
	if err != nil {
		return nil, err
	}
	if r.Builder == string(pipeline.Native) && !image.IsBuiltIn(files.containerfile) {
		return nil, fault.AsUsage(fault.Wrap(fmt.Errorf("--builder native makes images of the built-in Containerfile only, and %s has another one", r.ContainerDir),
			"leave --builder out: the engine builds what is not built in"))
	}
	s, err := open(env, access{target: r.Target, mirror: r.ToolkitMirror})
	if err != nil {
		return nil, err
	}
	if r.Release {
		if err := s.canRelease(); err != nil {
			return nil, err
		}
	}
	in, err := s.planInput(ctx, r.Selection, use{push: true, create: r.Create, mutable: r.Mutable})
	if err != nil {
		return nil, err
	}
	preflight := once(func(ctx context.Context) error {
		return errors.Join(checkPush(ctx, in.target), s.checkEngine(ctx, r.Engine))
	})
	p, err := in.makePlan(ctx, preflight)
	if err != nil {
		return nil, err
	}
	preferred, err := in.toolkits.preferMirrored(ctx, p, r.Force)
	if err == nil {
		p, err = in.build(ctx, r, preferred, files, preflight)
	}
	return &BuildResult{Plan: p, input: in}, err
}

// build removes what a killed run has left and carries the plan out. Where nothing needs a build and nothing was left it
// starts nothing.
func (in *planInput) build(
	ctx context.Context, r BuildRequest, p *plan.Plan, files imageFiles, preflight func(ctx context.Context) error,
) (*plan.Plan, error) {
	s, settings, log := in.session, in.session.env.Settings, in.session.env.Log
	ws, err := workspace.Open(ctx, settings.CacheDir, settings.TempDir, log)
	if err != nil {
		return p, fault.AsPrerequisite(err)
	}
	defer closeWorkspace(s.env, ws)
	eng, err := in.engine(ctx, r, p, ws)
	if err != nil {
		return p, err
	}
	if err := eng.Sweep(ctx); err != nil {
		log.Warn("cannot remove everything that an earlier run left", "error", err)
	}
	if !slices.ContainsFunc(p.Builds, func(b plan.Build) bool { return b.NeedsBuild(r.Force) }) {
		return p, nil
	}
	if err := preflight(ctx); err != nil {
		return p, err
	}
	reachable, err := in.toolkits.reachable(ctx, p, r.Force)
	if err != nil {
		return p, err
	}
	if err := in.toolkits.checkPull(ctx, reachable); err != nil {
		return p, err
	}
	recipe, err := s.recipe(ctx, ws, files)
	if err != nil {
		return p, err
	}
	if err := release.CheckBusyBox(recipe.BusyBox); err != nil {
		err = fmt.Errorf("base image %s: %w; without its source its images cannot be released", files.base, err)
		if r.MustBeReleasable {
			return p, fault.AsPrerequisite(err)
		}
		log.Warn(fault.Text(err))
	}
	bars := s.env.Progress()
	defer bars.Close()
	run := &pipeline.Run{
		Options: pipeline.Options{
			Builder: pipeline.Builder(r.Builder), Jobs: r.Jobs, Timeout: r.Timeout, Force: r.Force, FailFast: r.FailFast,
			Created: created(settings.Created), SourceURL: settings.SourceURL, LogDir: filepath.Join(settings.CacheDir, "logs"),
		},
		Engine: mirroredEngine{CLI: eng, toolkits: in.toolkits}, Target: in.target, Workspace: ws, Recipe: recipe,
		Fetcher: s.fetcher(r.DriverSource), Log: log, Progress: bars,
	}
	if r.KernelDone != nil {
		run.KernelDone = func(k kernel.Version, states []plan.State) { r.KernelDone(KernelResult{Kernel: k, States: states}) }
	}
	return run.Do(ctx, p)
}

// once returns f for several callers: the first call decides for all.
func once(f func(ctx context.Context) error) func(ctx context.Context) error {
	var (
		only sync.Once
		err  error
	)
	return func(ctx context.Context) error {
		only.Do(func() { err = f(ctx) })
		return err
	}
}

// created is the time of images: that of SOURCE_DATE_EPOCH, else now.
func created(epoch time.Time) time.Time {
	if epoch.IsZero() {
		return time.Now().UTC().Truncate(time.Second)
	}
	return epoch
}

// closeWorkspace removes the run's directory.
func closeWorkspace(env Env, ws *workspace.Workspace) {
	if err := ws.Close(); err != nil {
		env.Log.Warn("cannot remove the run's directory; the next run will try again", "error", err)
	}
}

// fetcher gets the driver's packages.
func (s *session) fetcher(source string) *driver.Fetcher {
	return &driver.Fetcher{HTTP: s.http, Source: source, Cache: filepath.Join(s.env.Settings.CacheDir, "drivers"), Log: s.env.Log}
}

// checkEngine returns nil if the container engine answers.
func (s *session) checkEngine(ctx context.Context, program string) error {
	settings := s.env.Settings
	eng, err := engine.New(engine.Options{
		Program: program, StateDir: settings.CacheDir, TempDir: settings.TempDir, RunID: "check", CAFile: s.env.CAFile,
		Platform: platform, Log: s.env.Log,
	})
	if err != nil {
		return fault.AsPrerequisite(err)
	}
	info, err := eng.Check(ctx)
	if err != nil {
		return fault.AsPrerequisite(err)
	}
	s.env.Log.Debug("container engine", "name", info.Name, "version", info.Version, "rootless", info.Rootless)
	return nil
}

// engine makes the engine, with the credentials for the plan's toolkits in a file of the run. It starts nothing.
func (in *planInput) engine(ctx context.Context, r BuildRequest, p *plan.Plan, ws *workspace.Workspace) (*engine.CLI, error) {
	dir, err := ws.Mkdir("engine")
	if err != nil {
		return nil, err
	}
	authFile := filepath.Join(dir, "config.json")
	var dtks []string
	for _, b := range p.Builds {
		if b.NeedsBuild(r.Force) {
			dtks = append(dtks, b.Toolkits...)
		}
	}
	login := func(ctx context.Context) error { return in.toolkits.writeLogin(ctx, authFile, dtks) }
	if err := login(ctx); err != nil {
		return nil, fault.AsPrerequisite(err)
	}
	return engine.New(engine.Options{
		Program: r.Engine, StateDir: in.session.env.Settings.CacheDir, TempDir: dir, RunID: ws.ID(), AuthFile: authFile, Login: login,
		CAFile: in.session.env.CAFile, Platform: platform, Log: in.session.env.Log,
	})
}

// mirroredEngine pulls a Driver Toolkit from the mirror, or else from where the catalogue has it.
type mirroredEngine struct {
	*engine.CLI // runs and builds
	toolkits    *toolkits
}

// Acquire implements pipeline.Engine.
func (m mirroredEngine) Acquire(ctx context.Context, dtk string, progress func(done, total int64)) (pipeline.Lease, error) {
	at, err := m.toolkits.locate(ctx, dtk)
	if err != nil {
		return nil, err
	}
	lease, err := m.CLI.Acquire(ctx, at, progress)
	if pull, ok := errors.AsType[*engine.PullError](err); ok && at != dtk {
		m.toolkits.session.env.Log.Warn("cannot pull a Driver Toolkit from the mirror; pulling it from the repository in the catalogue",
			"toolkit", at, "reason", pull)
		lease, err = m.CLI.Acquire(ctx, dtk, progress)
	}
	if pull, ok := errors.AsType[*engine.PullError](err); ok && pull.Unauthorized && isAtQuay(pull.Image) {
		err = fault.Wrap(err, quayAdvice)
	}
	if err != nil {
		return nil, err
	}
	return lease, nil
}

func isAtQuay(image string) bool {
	ref, err := name.ParseReference(image)
	return err == nil && ref.Context().RegistryStr() == quayHost
}
