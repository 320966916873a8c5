package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/identity"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/platform/workspace"
	"neuron-kmod/internal/version"
)

const (
	// checkTime bounds each check, so that a host that never answers takes no other check with it.
	checkTime = 2 * time.Minute
	// parallelChecks bounds how many checks wait for the network at the same time.
	parallelChecks = 4
)

// DoctorRequest says what a build would work with.
type DoctorRequest struct {
	Matrix        string
	Catalog       string
	Target        string
	ToolkitMirror string
	Engine        string
	BaseImage     string
	ContainerDir  string
	Environment   error // what is wrong with the environment, nil if nothing is
}

// Doctor makes the checks that a build makes before it downloads anything, all of them, and changes nothing. A check
// that fails hides no other: what depends on it says so. It blocks on the network, a few minutes at most.
func Doctor(ctx context.Context, env Env, r DoctorRequest) (doctor.Report, error) {
	x := &checkup{env: env, request: r, toolkits: &toolkits{locate: asNamed}}
	info, _ := debug.ReadBuildInfo() // nil without
	checks := append(x.checkFiles(ctx), doctor.Replaced(info, env.Settings.CheckTools)...)
	if r.Environment != nil { // it may be the proxy, or whose credentials to take: no registry is asked
		x.closed = "the environment is wrong"
	} else {
		var err error
		if x.session, err = open(env, access{target: r.Target, mirror: r.ToolkitMirror}); err != nil {
			x.closed = "the credentials cannot be read"
			checks = append(checks, doctor.Check{Group: "files", Name: "credentials"}.Fail(err))
		}
		if x.workspace, err = workspace.Open(ctx, env.Settings.CacheDir, env.Settings.TempDir, env.Log); err != nil {
			checks = append(checks, doctor.Check{Group: "files", Name: "folders"}.Fail(err))
		} else {
			defer closeWorkspace(env, x.workspace)
		}
	}
	results := x.runAll(ctx, x.steps())
	checks = append(checks, x.checkAWS(results))
	for _, r := range results {
		checks = append(checks, r.check)
	}
	groups := []string{"files", "tools", "engine", "credentials", "registries"}
	slices.SortStableFunc(checks, func(a, b doctor.Check) int {
		return cmp.Compare(slices.Index(groups, a.Group), slices.Index(groups, b.Group))
	})
	settings := env.Settings
	settings.Target, settings.ToolkitMirror, settings.Matrix, settings.Catalog, settings.BaseImage =
		r.Target, r.ToolkitMirror, r.Matrix, r.Catalog, r.BaseImage
	report := doctor.NewReport(settings.Describe(), checks)
	if ctx.Err() != nil {
		return report, context.Cause(ctx)
	}
	return report, nil
}

// checkup is one run of Doctor: what some checks find for others. Each of its fields is written by one check, and
// read only by checks that come after that one.
type checkup struct {
	env     Env
	request DoctorRequest

	files    plan.Input // zero unless both the matrix and the catalogue are good
	newest   string     // the newest Driver Toolkit that is wanted, "" for none
	images   imageFiles
	imageErr error // why images is not known

	session   *session             // nil: closed says why
	closed    string               // "" if there is a session
	workspace *workspace.Workspace // nil where none can be made
	toolkits  *toolkits            // without a mirror if none could be looked for

	engine    *engine.CLI // nil if it does not work
	info      engine.Info
	base      image.Base      // zero if the base image cannot be read
	target    registry.Target // nil if it is not known, for targetErr
	targetErr error
}

// step is one check to make.
type step struct {
	group, name string
	after       []*step       // steps that have to be over, because they find what this one needs
	unmet       func() string // why it cannot be made, "" if it can; nil: it always can
	// run fills in what was found. It may block until ctx ends. An error makes it a check that failed.
	run func(ctx context.Context, c doctor.Check) (doctor.Check, error)
}

// outcome is what became of a step.
type outcome struct {
	check doctor.Check
	noAWS bool // it could not be made for lack of an AWS identity
}

// checkFiles reads what is on this machine: the environment, the matrix, the catalogue and what images are made from.
func (x *checkup) checkFiles(ctx context.Context) []doctor.Check {
	var checks []doctor.Check
	add := func(name string, err error, detail func() string) {
		c := doctor.Check{Group: "files", Name: name, State: doctor.OK}
		if err != nil {
			c = c.Fail(err)
		} else {
			c.Detail = detail()
		}
		checks = append(checks, c)
	}
	r := x.request
	if r.Environment != nil {
		add("environment", r.Environment, nil)
	}
	m, err := matrix.Load(r.Matrix)
	add("matrix", err, func() string { return fmt.Sprintf("%s: %s", r.Matrix, format.Count(len(m.Entries), "driver")) })
	c, err := catalog.Load(r.Catalog)
	add("catalogue", err, func() string {
		return fmt.Sprintf("%s: %s", r.Catalog, format.Count(len(c.Entries), "Driver Toolkit"))
	})
	if m != nil && c != nil {
		x.files = plan.Input{Entries: m.Entries, Catalog: c, Arch: arch}
		var last catalog.Entry
		for _, e := range m.Entries {
			match, _ := c.Select(e.Selectors, arch)
			if len(match) > 0 && match[len(match)-1].Compare(last) > 0 {
				last = match[len(match)-1]
			}
		}
		x.newest = last.DTK
		checks = append(checks, checkReleases(ctx, x.files))
	}
	x.images, x.imageErr = readImageFiles(r.ContainerDir, r.BaseImage)
	return checks
}

// checkReleases makes the plan as far as the two files decide it. Without a common release a build ends there.
func checkReleases(ctx context.Context, in plan.Input) doctor.Check {
	c := doctor.Check{Group: "files", Name: "releases", State: doctor.OK}
	in.Target = vacantTarget{}
	in.Resolve = func(_ context.Context, dtks []string) ([]plan.Resolved, error) {
		return make([]plan.Resolved, len(dtks)), nil
	}
	p, err := plan.Make(ctx, in)
	if err != nil {
		return c.Fail(err)
	}
	releases := map[version.OCP]bool{}
	for _, u := range p.Unresolved {
		releases[u.Release] = true
	}
	for _, b := range p.Builds {
		for _, r := range b.Releases {
			releases[r] = true
		}
	}
	c.Detail = "the matrix asks for " + format.Count(len(releases), "release") + " of the catalogue"
	if len(p.Notes) > 0 {
		c.State, c.Detail = doctor.Warning, c.Detail+"; "+strings.Join(p.Notes, "; ")
	}
	return c
}

// vacantTarget is a target that holds nothing.
type vacantTarget struct{}

func (vacantTarget) Tags(context.Context) (map[string]bool, error) { return nil, nil }
func (vacantTarget) Reference(tag string) string                   { return tag }

// runAll makes the checks, each when those before it are over. The outcomes are in the order of the steps.
func (x *checkup) runAll(ctx context.Context, steps []*step) []outcome {
	results := make([]outcome, len(steps))
	over := map[*step]bool{}
	for len(over) < len(steps) {
		var group errgroup.Group // its functions report through results
		group.SetLimit(parallelChecks)
		var round []*step
		for i, s := range steps {
			if over[s] || slices.ContainsFunc(s.after, func(a *step) bool { return !over[a] }) {
				continue
			}
			round = append(round, s)
			group.Go(func() error {
				results[i] = x.run(ctx, s)
				return nil
			})
		}
		_ = group.Wait()
		for _, s := range round {
			over[s] = true
		}
	}
	return results
}

// run makes one check. One that fails with the error of the AWS identity does not repeat it.
func (x *checkup) run(ctx context.Context, s *step) outcome {
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
		err = fault.Wrap(err, fmt.Sprintf("there was no answer within %s: "+
			"check the network and the proxy settings (HTTPS_PROXY, NO_PROXY)", checkTime))
	}
	return outcome{check: c.Fail(err)}
}

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
		{
			group: "engine", name: "a container runs", after: []*step{engine, base}, run: x.checkContainer,
			unmet: func() string {
				if x.engine != nil && x.base.Image == nil {
					return "there is no base image to run"
				}
				return x.needsEngine()
			},
		},
		{group: "engine", name: "room for images", after: []*step{engine}, unmet: x.needsEngine, run: x.checkStore},
		{group: "engine", name: "room for downloads", run: x.checkTemporary},
		{
			group: "credentials", name: "Driver Toolkits", after: []*step{mirror}, unmet: needsToolkit,
			run: x.checkToolkitLogin,
		},
		{group: "credentials", name: "target", after: []*step{target}, unmet: x.needsTarget, run: x.checkTargetLogin},
		{
			group: "credentials", name: "base image", run: x.checkBaseLogin,
			unmet: x.needs("the base image is not known", func() bool { return x.imageErr == nil }),
		},
		{group: "registries", name: "target takes images", after: []*step{target}, unmet: x.needsTarget, run: x.checkPush},
		{
			group: "registries", name: "Driver Toolkits can be read", after: []*step{mirror}, unmet: needsToolkit,
			run: x.checkToolkit,
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

func (x *checkup) needsEngine() string {
	if x.engine == nil {
		return filepath.Base(x.request.Engine) + " does not work"
	}
	return ""
}

// checkEngine asks the engine what it is. That needs no directory, but New wants the names of some.
func (x *checkup) checkEngine(ctx context.Context, _ doctor.Check) (doctor.Check, error) {
	settings := x.env.Settings
	o := engine.Options{
		Program: x.request.Engine, StateDir: cmp.Or(settings.CacheDir, settings.TempDir), TempDir: settings.TempDir,
		RunID: "doctor", CAFile: x.env.CAFile, Platform: platform, Log: x.env.Log,
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
	absent := errors.Is(err, exec.ErrNotFound)
	return doctor.Engine(filepath.Base(x.request.Engine), x.info.Path, x.info.Version, absent, err), nil
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
	at, err := x.toolkits.locate(ctx, x.newest)
	if err != nil {
		return c, err
	}
	if _, _, err := x.session.client.Image(ctx, at); err != nil {
		return c, withQuayAdvice(at, err)
	}
	c.State, c.Detail = doctor.OK, at
	return c, nil
}

// checkToolkitLogin looks for the login for a Driver Toolkit, where it is taken from. A build in GitHub Actions does
// not begin without one for quay.io.
func (x *checkup) checkToolkitLogin(ctx context.Context, c doctor.Check) (doctor.Check, error) {
	if err := x.session.checkQuay(ctx, x.files); err != nil {
		return c, err
	}
	at, err := x.toolkits.locate(ctx, x.newest)
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

const noAWS = "there is no AWS identity"

// lacksAWS reports whether err is the reason why there is no AWS identity.
func (x *checkup) lacksAWS(err error) bool {
	if x.session == nil {
		return false
	}
	_, reason := x.session.caller.known()
	return reason != nil && errors.Is(err, reason)
}

// checkAWS says who the program is to AWS. It asks for nothing: the other checks have asked, if a build would. That
// there is no identity is a failure where one of them could not be made for it.
func (x *checkup) checkAWS(results []outcome) doctor.Check {
	c := doctor.Check{Group: "credentials", Name: "AWS identity"}
	if x.session == nil {
		return c.Skip("not tried: " + x.closed)
	}
	id, err := x.session.caller.known()
	switch {
	case err != nil && slices.ContainsFunc(results, func(r outcome) bool { return r.noAWS }):
		return c.Fail(err)
	case id == nil && err == nil, errors.Is(err, identity.ErrNone):
		return c.Skip("not needed for target " + x.request.Target)
	case err != nil:
		c.State, c.Detail, c.Hint = doctor.Warning, "not needed, and it does not work: "+err.Error(), fault.Of(err)
		return c
	}
	c.State, c.Source, c.Identity = doctor.OK, id.Source, id.ARN
	c.Detail = fmt.Sprintf("%s, account %s, region %s", id.ARN, id.Account, id.Region)
	c.ValidUntil = validUntil(id.Expires)
	return c
}

// validUntil is a time for the report, nil for none.
func validUntil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func checkAccount(ctx context.Context, s *session, c doctor.Check, reference string) (doctor.Check, error) {
	if strings.HasPrefix(reference, "oci:") {
		return c.Skip("not needed for a directory"), nil
	}
	ref, err := name.ParseReference(reference)
	if err != nil {
		return c, err
	}
	host := ref.Context().RegistryStr()
	c.Name += " (" + host + ")"
	credentials, source, err := s.keychain.Find(ctx, ref.Context())
	if err != nil {
		return c, err
	}
	if source == "" {
		c.State, c.Detail = doctor.Warning, "no credentials: it is asked anonymously"
		return c, nil
	}
	cfg, err := authn.Authorization(ctx, credentials)
	if err != nil {
		return c, err
	}
	c.State, c.Source, c.Identity = doctor.OK, source, cfg.Username
	c.Detail = "user " + cfg.Username
	if cfg.Username == "" {
		c.Detail = "a token"
	}
	if t, ok := credentials.(interface{ Expires() time.Time }); ok {
		c.ValidUntil = validUntil(t.Expires())
	}
	return c, nil
}
