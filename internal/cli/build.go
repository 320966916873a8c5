package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/kmod/pipeline"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/progress"
	"neuron-kmod/internal/platform/workspace"
	"neuron-kmod/internal/release"
)

// buildOptions are the flags of build.
type buildOptions struct {
	planOptions
	builder      string
	engine       string
	containerDir string
	jobs         int
	failFast     bool
	keepGoing    bool // the default, so it only must not meet failFast
	timeout      time.Duration
	create       bool // the repository in ECR, if it is missing
	mutable      bool // let the tags of a new repository be overwritten
	doRelease    bool
	noRelease    bool
	dryRun       bool // of release: print the notes and change nothing
}

func newBuild(a *app) *cobra.Command {
	o := &buildOptions{planOptions: planOptions{app: a}}
	cmd := &cobra.Command{
		Use:   "build DRIVER_VERSION|all [OCP_VERSION]",
		Short: "Build and publish the images that are missing",
		Long: `Build compiles the driver for each kernel of the wanted releases that has no
image in the target, and publishes the image. A kernel that fails does not stop
the others. A run that was stopped is finished by running it again.`,
		Example: `  neuron-kmod build all --target quay.io/me/neuron-kmod
  neuron-kmod build 2.24.7.0 4.20 --target quay.io/me/neuron-kmod
  neuron-kmod build all --target quay.io/me/neuron-kmod --kernel 5.14.0-570.96.1.el9_6.x86_64
  neuron-kmod build all --target oci:images`,
		Args: exactly(1, 2, "a driver version or all, and perhaps an OpenShift version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.setArgs(args)
			return o.run(cmd.Context())
		},
	}
	o.flags(cmd)
	o.engineFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.Force, "force", o.Force, "build and overwrite images that are published (FORCE_BUILD)")
	f.IntVar(&o.jobs, "jobs", runtime.GOMAXPROCS(0), "`processors` to compile with")
	f.BoolVar(&o.failFast, "fail-fast", false, "stop at the first failure")
	f.BoolVar(&o.keepGoing, "keep-going", false, "go on with the other kernels after a failure (the default)")
	f.DurationVar(&o.timeout, "timeout", 30*time.Minute, "`limit` for one compile")
	f.StringVar(&o.builder, "builder", string(pipeline.Auto), "who makes the image: auto, native (in-process) or `engine`")
	f.StringVar(&o.DriverSource, "driver-source", o.DriverSource, "`URL or folder` that holds the driver's RPMs")
	f.BoolVar(&o.doRelease, "release", false, "then create or update the GitHub release (the default in GitHub Actions)")
	f.BoolVar(&o.noRelease, "no-release", false, "leave the GitHub release alone (the default elsewhere)")
	f.BoolVar(&o.create, "create-repository", false, "with target ecr, create the repository if it is missing: immutable tags, images scanned on push")
	f.BoolVar(&o.mutable, "mutable-tags", false, "with --create-repository, let tags be overwritten, which --force needs")
	return cmd
}

// engineFlags say with which engine, and from what, images are made.
func (o *buildOptions) engineFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.engine, "engine", "podman", "container `engine`: podman or docker")
	f.StringVar(&o.BaseImage, "base-image", o.BaseImage, "base of the images: a `reference`, or oci:DIR:TAG")
	f.StringVar(&o.containerDir, "container-dir", "", "`folder` with Containerfile, build-module.sh and licenses/ to use instead of the built-in ones")
}

func (o *buildOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	parts, err := o.parts()
	if err != nil {
		return err
	}
	s, err := o.open()
	if err != nil {
		return err
	}
	if o.releases() {
		if err := s.canRelease(); err != nil {
			return err
		}
	}
	p, target, err := o.plan(ctx, s, access{push: true, create: o.create, mutable: o.mutable, engine: o.checkEngine})
	if err != nil {
		return err
	}
	if err := s.preferMirror(ctx, p, o.Force); err != nil {
		return err
	}
	err = o.build(ctx, s, p, target, parts)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if werr := errors.Join(o.write(p), o.tellStep(p)); werr != nil {
		return errors.Join(err, werr)
	}
	if err != nil {
		return err
	}
	if o.releases() {
		results, failed, err := o.release(ctx, s, target, reasons(p))
		if err != nil {
			return err
		}
		for i := range results {
			results[i].Missing = 0 // of other kernels, perhaps; what this run has missed is in its report
		}
		if err := verdict(results, failed); err != nil {
			return err
		}
	}
	return completeness(p)
}

// releases reports whether a build is followed by the release. By itself it is
// not where images go to a directory, which nobody can pull from.
func (o *buildOptions) releases() bool {
	return !o.noRelease && (o.doRelease || o.GitHub.Release && !strings.HasPrefix(o.Target, "oci:"))
}

func (o *buildOptions) check() error {
	if err := o.checkOutput("table", "json"); err != nil {
		return err
	}
	switch pipeline.Builder(o.builder) {
	case pipeline.Auto, pipeline.Native, pipeline.ByEngine:
	default:
		return usage{fault.Wrap(fmt.Errorf("--builder is %q", o.builder), "use auto, native or engine")}
	}
	if o.create && o.Target != registry.KindECR {
		return usage{errors.New("--create-repository is for target ecr")}
	}
	if o.doRelease && o.noRelease {
		return usage{errors.New("--release and --no-release exclude each other")}
	}
	if o.mutable && !o.create {
		return usage{errors.New("--mutable-tags goes with --create-repository")}
	}
	if o.failFast && o.keepGoing {
		return usage{errors.New("--fail-fast and --keep-going exclude each other")}
	}
	if e := filepath.Base(o.engine); e != "podman" && e != "docker" {
		return usage{fault.Wrap(fmt.Errorf("--engine is %q", o.engine), "use podman or docker")}
	}
	if o.jobs < 1 || o.jobs > 1024 {
		return usage{fault.Wrap(fmt.Errorf("--jobs is %d", o.jobs), "give a number of processors from 1 to 1024")}
	}
	if o.timeout < time.Second {
		return usage{fault.Wrap(fmt.Errorf("--timeout is %s", o.timeout), "give at least 1s, for example 30m")}
	}
	return nil
}

// build removes what a killed run has left and carries the plan out. Where
// nothing is due and nothing was left it starts nothing.
func (o *buildOptions) build(ctx context.Context, s *session, p *plan.Plan, target registry.Target, files parts) error {
	ws, err := workspace.Open(ctx, o.CacheDir, o.TempDir, o.log)
	if err != nil {
		return prerequisite{err}
	}
	defer o.leave(ws)
	eng, err := o.engineFor(ctx, p, s, ws)
	if err != nil {
		return err
	}
	if err := eng.Sweep(ctx); err != nil {
		o.log.Warn("cannot remove all that an earlier run left", "error", err)
	}
	if !slices.ContainsFunc(p.Builds, func(b plan.Build) bool { return b.Due(o.Force) }) {
		return nil
	}
	if err := s.ready.sure(ctx); err != nil {
		return err
	}
	reached, err := s.reachedToolkits(ctx, p, o.Force)
	if err != nil {
		return err
	}
	if err := s.checkPull(ctx, reached); err != nil {
		return err
	}
	recipe, err := o.recipe(ctx, s, ws, files)
	if err != nil {
		return err
	}
	if err := release.CheckBusyBox(recipe.BusyBox); err != nil {
		err = fmt.Errorf("base image %s: %w; without its source its images cannot be released", files.base, err)
		if o.releases() || o.GitHub.Release { // now, or by a job that comes after this one
			return prerequisite{err}
		}
		o.log.Warn(fault.Text(err))
	}
	bars := progress.NewProgress(o.stderr, o.live && !o.quiet, o.log)
	defer bars.Close()
	r := &pipeline.Run{
		Options: o.options(), Engine: leasing{eng, s.locate}, Target: target, Workspace: ws, Recipe: recipe,
		Fetcher: &driver.Fetcher{
			HTTP: s.httpClient(), Source: o.DriverSource, Cache: filepath.Join(o.CacheDir, "drivers"), Log: o.log,
		},
		Log: o.log, Progress: bars, KernelDone: func(k kernel.Version) { o.endGroup(p, k) },
	}
	return r.Do(ctx, p)
}

// leave removes the run's directory.
func (a *app) leave(ws *workspace.Workspace) {
	if err := ws.Close(); err != nil {
		a.log.Warn("cannot remove the run's folder; the next run tries again", "error", err)
	}
}

// checkEngine reports whether the container engine answers.
func (o *buildOptions) checkEngine(ctx context.Context) error {
	eng, err := engine.New(engine.Options{
		Program: o.engine, StateDir: o.CacheDir, TempDir: o.TempDir, RunID: "check", CAFile: o.caFile, Platform: platform, Log: o.log,
	})
	if err != nil {
		return prerequisite{err}
	}
	info, err := eng.Check(ctx)
	if err != nil {
		return prerequisite{err}
	}
	o.log.Debug("container engine", "name", info.Name, "version", info.Version, "rootless", info.Rootless)
	return nil
}

// options are the run's choices; without SOURCE_DATE_EPOCH images are of now.
func (o *buildOptions) options() pipeline.Options {
	created := o.Created
	if created.IsZero() {
		created = time.Now().UTC().Truncate(time.Second)
	}
	return pipeline.Options{
		Builder: pipeline.Builder(o.builder), Jobs: o.jobs, Timeout: o.timeout, Force: o.Force, FailFast: o.failFast,
		Created: created, SourceURL: o.SourceURL, LogDir: filepath.Join(o.CacheDir, "logs"),
	}
}

// engineFor makes the engine, with the credentials for the plan's toolkits in a
// file of the run. It starts nothing.
func (o *buildOptions) engineFor(ctx context.Context, p *plan.Plan, s *session, ws *workspace.Workspace) (*engine.CLI, error) {
	dir, err := ws.Mkdir("engine")
	if err != nil {
		return nil, err
	}
	authFile := filepath.Join(dir, "config.json")
	toolkits := dueToolkits(p, o.Force)
	login := func(ctx context.Context) error { return s.writeLogin(ctx, authFile, toolkits) }
	if err := login(ctx); err != nil {
		return nil, prerequisite{err}
	}
	return engine.New(engine.Options{
		Program: o.engine, StateDir: o.CacheDir, TempDir: dir, RunID: ws.ID(), AuthFile: authFile, Login: login,
		CAFile:   o.caFile,
		Platform: platform, Log: o.log,
	})
}

// leasing is the engine as package pipeline sees it.
type leasing struct {
	*engine.CLI
	locate locator
}

func (l leasing) Acquire(ctx context.Context, image string, progress func(done, total int64)) (pipeline.Lease, error) {
	lease, err := l.pull(ctx, image, progress)
	if err != nil {
		return nil, err
	}
	return lease, nil
}
