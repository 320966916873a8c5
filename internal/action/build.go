package action

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"neuron-kmod/container"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/kmod/pipeline"
	"neuron-kmod/internal/kmod/rpm"
	"neuron-kmod/internal/oci/auth"
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
	ToolkitMirror string   // HOST/REPOSITORY, "" for none but that of the environment
	Engine        string   // program: "podman" or "docker", with or without its path
	BaseImage     string   // a reference, or oci:DIR:TAG
	ContainerDir  string   // directory with Containerfile, build-module.sh and licenses/; "" for the built-in ones
	DriverSource  string   // URL or directory of the driver's packages
	DriverKeys    []string // files with the OpenPGP keys that sign the packages; none means AWS's key, which is built in
	Builder       string   // who makes the image: "auto", "native" (in-process) or "engine"
	Jobs          int      // processors to compile with
	Timeout       time.Duration
	Force         bool // build and overwrite what is published
	FailFast      bool
	Create        bool // create the repository in ECR if it is missing
	Mutable       bool // let the tags of a new repository be overwritten
	Release       bool // the caller releases what was built
	// MustBeReleasable: what was built will be released, now or by a later job, so it has to be possible.
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
	engine, builders := filepath.Base(r.Engine), []pipeline.Builder{pipeline.Auto, pipeline.Native, pipeline.ByEngine}
	switch {
	case !slices.Contains(builders, pipeline.Builder(r.Builder)):
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
	byEngine := r.Builder == string(pipeline.ByEngine) || !image.IsBuiltIn(files.containerfile)
	if byEngine && filepath.Base(r.Engine) == "docker" {
		err := errors.New("docker is used to compile, not to build images")
		return nil, fault.AsUsage(fault.Wrap(err, "use --engine podman, or the built-in Containerfile and builder"))
	}
	if r.Builder == string(pipeline.Native) && !image.IsBuiltIn(files.containerfile) {
		err := fmt.Errorf("--builder native makes images of the built-in Containerfile only, and %s has another one",
			r.ContainerDir)
		return nil, fault.AsUsage(fault.Wrap(err, "leave --builder out: the engine builds what is not built in"))
	}
	keys, err := driverKeys(r.DriverKeys)
	if err != nil {
		return nil, err
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
	preflight := sync.OnceValue(func() error {
		return errors.Join(checkPush(ctx, in.target), s.checkEngine(ctx, r.Engine))
	})
	p, err := in.makePlan(ctx, preflight)
	if err != nil {
		return nil, err
	}
	preferred, err := in.toolkits.preferMirrored(ctx, p, r.Force)
	if err == nil {
		p, err = in.build(ctx, r, preferred, files, keys, preflight)
	}
	return &BuildResult{Plan: p, input: in}, err
}

// build removes what a killed run has left and makes the builds. Where nothing is to do it starts nothing.
func (in *planInput) build(
	ctx context.Context, r BuildRequest, p *plan.Plan, files imageFiles, keys rpm.Keyring, preflight func() error,
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
	if err := preflight(); err != nil {
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
	created := settings.Created // SOURCE_DATE_EPOCH
	if created.IsZero() {
		created = time.Now().UTC().Truncate(time.Second)
	}
	bars := s.env.Progress()
	defer bars.Close()
	run := &pipeline.Run{
		Options: pipeline.Options{
			Builder: pipeline.Builder(r.Builder), Jobs: r.Jobs, Timeout: r.Timeout, Force: r.Force, FailFast: r.FailFast,
			Created: created, SourceURL: settings.SourceURL, LogDir: filepath.Join(settings.CacheDir, "logs"),
		},
		Engine: mirroredEngine{CLI: eng, toolkits: in.toolkits}, Target: in.target, Workspace: ws, Recipe: recipe,
		Fetcher: s.fetcher(r.DriverSource, keys, in.files.Entries), Log: log, Progress: bars,
	}
	if r.KernelDone != nil {
		run.KernelDone = func(k kernel.Version, states []plan.State) { r.KernelDone(KernelResult{Kernel: k, States: states}) }
	}
	return run.Do(ctx, p)
}

func closeWorkspace(env Env, ws *workspace.Workspace) {
	if err := ws.Close(); err != nil {
		env.Log.Warn("cannot remove the run's directory; the next run will try again", "error", err)
	}
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
	if err == nil {
		s.env.Log.Debug("container engine", "name", info.Name, "version", info.Version, "rootless", info.Rootless)
	}
	return fault.AsPrerequisite(err)
}

// engine makes the engine, with the credentials for the plan's toolkits in a file of the run. It starts nothing.
func (in *planInput) engine(
	ctx context.Context, r BuildRequest, p *plan.Plan, ws *workspace.Workspace,
) (*engine.CLI, error) {
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
	login := func(ctx context.Context) error { // at the mirror, and where the catalogue has Driver Toolkits
		refs := slices.Clone(dtks)
		for _, dtk := range dtks {
			at, err := in.toolkits.locate(ctx, dtk)
			if err != nil {
				return err
			}
			if at != dtk {
				refs = append(refs, at)
			}
		}
		return auth.WriteFile(ctx, authFile, in.session.keychain, refs)
	}
	if err := login(ctx); err != nil {
		return nil, fault.AsPrerequisite(err)
	}
	return engine.New(engine.Options{
		Program: r.Engine, StateDir: in.session.env.Settings.CacheDir, TempDir: dir, RunID: ws.ID(), AuthFile: authFile,
		Login: login, CAFile: in.session.env.CAFile, Platform: platform, Log: in.session.env.Log,
	})
}

// mirroredEngine pulls a Driver Toolkit from the mirror, or else from where the catalogue has it.
type mirroredEngine struct {
	*engine.CLI // runs and builds
	toolkits    *toolkits
}

// Acquire implements pipeline.Engine.
func (m mirroredEngine) Acquire(
	ctx context.Context, dtk string, progress func(done, total int64),
) (pipeline.Lease, error) {
	at, err := m.toolkits.locate(ctx, dtk)
	if err != nil {
		return nil, err
	}
	lease, err := m.CLI.Acquire(ctx, at, progress)
	if pull, ok := errors.AsType[*engine.PullError](err); ok && at != dtk {
		m.toolkits.session.env.Log.Warn(
			"cannot pull a Driver Toolkit from the mirror; pulling it from the repository in the catalogue",
			"toolkit", at, "reason", pull)
		lease, err = m.CLI.Acquire(ctx, dtk, progress)
	}
	pull, ok := errors.AsType[*engine.PullError](err)
	if ok && pull.Unauthorized && strings.HasPrefix(pull.Image, quayHost+"/") {
		err = fault.Wrap(err, quayAdvice)
	}
	if err != nil {
		return nil, err
	}
	return lease, nil
}

// imageFiles are the files that describe an image: the built-in ones, or those of --container-dir.
type imageFiles struct {
	containerfile []byte
	script        string // build-module.sh
	licenses      fs.FS
	base          string // the image that the Containerfile's FROM names
}

// readImageFiles reads the files in dir, or the built-in ones for "", and finds what is wrong with them.
func readImageFiles(dir, baseImage string) (imageFiles, error) {
	var files fs.FS = container.Files
	flag := fmt.Sprintf("--base-image %q", baseImage)
	if dir != "" {
		files, flag = os.DirFS(dir), "--container-dir "+dir
	}
	fail := func(err error) (imageFiles, error) {
		return imageFiles{}, fault.AsUsage(fmt.Errorf("%s: %w", flag, err))
	}
	containerfile, err := fs.ReadFile(files, "Containerfile")
	if err != nil {
		return fail(err)
	}
	script, err := fs.ReadFile(files, "build-module.sh")
	if err != nil {
		return fail(err)
	}
	if _, err := fs.ReadDir(files, "licenses"); err != nil {
		return fail(err)
	}
	licenses, err := fs.Sub(files, "licenses")
	if err != nil {
		return fail(err)
	}
	base, err := image.BaseReference(containerfile, map[string]string{image.ArgBase: baseImage})
	if err != nil {
		return fail(err)
	}
	return imageFiles{containerfile: containerfile, script: string(script), licenses: licenses, base: base}, nil
}

// recipe gets what every image is made from; the base image must have what KMM runs in it.
func (s *session) recipe(ctx context.Context, ws *workspace.Workspace, files imageFiles) (pipeline.Recipe, error) {
	base, info, err := s.baseImage(ctx, ws, files.base)
	if err != nil {
		return pipeline.Recipe{}, err
	}
	return pipeline.Recipe{
		Base: base, BusyBox: info.BusyBox, Containerfile: files.containerfile, Script: files.script,
		CopyLicenses: func(dst string) error {
			if err := os.CopyFS(dst, files.licenses); err != nil {
				return fmt.Errorf("copy the licences to %s: %w", filepath.Base(dst), err)
			}
			return nil
		},
	}, nil
}

// baseImage gets the image that the Containerfile's FROM names into the run's directory, checks that it has what KMM
// runs in it, and warns where its BusyBox is not the version that R5.2 names.
func (s *session) baseImage(
	ctx context.Context, ws *workspace.Workspace, reference string,
) (image.Base, image.BaseInfo, error) {
	fail := func(err error) (image.Base, image.BaseInfo, error) {
		return image.Base{}, image.BaseInfo{}, fmt.Errorf("get the base image: %w", err)
	}
	img, digest, err := s.image(ctx, reference)
	if err != nil {
		return fail(err)
	}
	dir, err := ws.Mkdir("base")
	if err != nil {
		return fail(err)
	}
	base, err := image.Base{Name: reference, Image: img, Digest: digest}.Store(ctx, dir)
	if err != nil {
		return fail(registry.Classify(err))
	}
	info, err := image.CheckBase(ctx, base)
	if err != nil {
		return fail(fault.AsPrerequisite(err))
	}
	for _, w := range info.Warnings {
		s.env.Log.Warn(w)
	}
	return base, info, nil
}
