package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"neuron-kmod/internal/github"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/platform/workspace"
	"neuron-kmod/internal/release"
	"neuron-kmod/internal/version"
)

// ReleaseRequest asks for the GitHub releases of drivers, in full, whatever a build was limited to.
type ReleaseRequest struct {
	Matrix        string // path of build-matrix.json
	Catalog       string // path of driver-toolkit.json
	Driver        string // a version, or "all"
	Target        string
	ToolkitMirror string
	BaseImage     string
	ContainerDir  string // directory with build-module.sh; "" for the built-in one
	DriverSource  string
	DryRun        bool // change nothing; say what would change
	// After is the build that this run has made before, nil if none: its session is used, and its failures are told.
	After *BuildResult
}

// ReleaseResult is what became of the releases.
type ReleaseResult struct {
	Releases []DriverRelease
	Failed   []error // one for each driver whose release failed
}

// DriverRelease is what became of one driver's release.
type DriverRelease struct {
	Driver  version.Driver `json:"driver"`
	Tag     string         `json:"tag"`
	URL     string         `json:"url"`
	Changes []string       `json:"changes"` // empty if everything was as it should be; null if a dry run cannot know
	Missing int            `json:"missing"` // images and releases that the notes tell as missing
	Error   string         `json:"error"`
	Notes   string         `json:"notes,omitempty"`
}

// Summary says in a few words what became of a release.
func (r DriverRelease) Summary() string {
	switch {
	case r.Error != "":
		return "failed: " + strings.Join(strings.Fields(r.Error), " ")
	case len(r.Changes) > 0:
		return strings.Join(r.Changes, ", ")
	case r.URL == "":
		return "no image is published, so there is no release"
	}
	return "unchanged"
}

// Verdict returns nil if all went well, the one reason why all have failed, or else the error that says that some did
// or that images are missing. With onlyFailures what is missing is somebody else's to tell.
func (r *ReleaseResult) Verdict(onlyFailures bool) error {
	if len(r.Failed) > 0 && len(r.Failed) == len(r.Releases) {
		return r.Failed[0]
	}
	missing := 0
	for _, one := range r.Releases {
		if !onlyFailures {
			missing += one.Missing
		}
	}
	if len(r.Failed) > 0 || missing > 0 {
		return fault.AsIncomplete(fmt.Errorf("%d of %s failed; %s missing or not known",
			len(r.Failed), format.Count(len(r.Releases), "release"), format.Count(missing, "image")))
	}
	return nil
}

// Release makes the GitHub release of each driver say what is published and carry the sources. A driver that fails
// does not stop the others. It blocks on the network.
func Release(ctx context.Context, env Env, r ReleaseRequest) (*ReleaseResult, error) {
	rel := &releaser{request: r}
	var err error
	if r.After != nil {
		rel.session, rel.target, rel.toolkits = r.After.input.session, r.After.input.target, r.After.input.toolkits
	} else {
		if rel.session, err = open(env, access{target: r.Target, mirror: r.ToolkitMirror}); err != nil {
			return nil, err
		}
		if rel.target, err = rel.session.target(ctx, use{}); err != nil {
			return nil, err
		}
		if !r.DryRun {
			if err := rel.session.canRelease(); err != nil {
				return nil, err
			}
		}
	}
	p, err := rel.fullPlan(ctx)
	if err != nil {
		return nil, err
	}
	ws, err := workspace.Open(ctx, env.Settings.CacheDir, env.Settings.TempDir, env.Log)
	if err != nil {
		return nil, fault.AsPrerequisite(err)
	}
	defer closeWorkspace(env, ws)
	rel.workspace = ws
	settings := env.Settings.GitHub
	if r.DryRun && (settings.Token.IsZero() || settings.Repository == "") {
		env.Log.Warn("without a repository and a token, the changes on GitHub are unknown",
			"hint", "set GITHUB_REPOSITORY and GITHUB_TOKEN or GH_TOKEN")
	} else if rel.github, err = rel.session.github(); err != nil { // one client, which bounds what all may wait
		return nil, err
	}
	result := &ReleaseResult{}
	for _, d := range p.Drivers {
		one, err := rel.releaseDriver(ctx, p.ForDriver(d))
		if ctx.Err() != nil {
			return nil, errors.Join(err, context.Cause(ctx))
		}
		if err != nil {
			one.Error = fault.Text(err)
			result.Failed = append(result.Failed, fmt.Errorf("release %s: %w", one.Tag, err))
			env.Log.Error("release failed", "driver", d, "error", one.Error)
		}
		result.Releases = append(result.Releases, one)
	}
	return result, nil
}

// canRelease reports whether there is what a release needs, without asking GitHub.
func (s *session) canRelease() error {
	if strings.HasPrefix(s.access.target, "oci:") {
		return fault.AsUsage(fault.Wrap(errors.New("cannot release a directory: clusters pull from a registry"),
			"name a registry with --target, or give --no-release"))
	}
	if s.env.Settings.GitHub.Token.IsZero() {
		return fault.AsPrerequisite(fault.Wrap(errors.New("there is no token for GitHub"),
			"set GITHUB_TOKEN or GH_TOKEN; in a workflow GITHUB_TOKEN: ${{ github.token }} and "+
				"`permissions: contents: write`; or give --no-release"))
	}
	_, err := s.github()
	return err
}

func (s *session) github() (*github.Client, error) {
	g := s.env.Settings.GitHub
	o := github.Options{API: g.API, Repository: g.Repository, Token: g.Token.Reveal(), HTTP: s.http, Log: s.env.Log}
	c, err := github.New(o)
	return c, fault.AsUsage(err)
}

// fullPlan makes the plan of the drivers that are released, for all their OpenShift releases, with reasons that may
// be public. It finds the newest driver of the whole matrix.
func (r *releaser) fullPlan(ctx context.Context) (*plan.Plan, error) {
	in, err := Selection{Matrix: r.request.Matrix, Catalog: r.request.Catalog, Driver: r.request.Driver}.input()
	if err != nil {
		return nil, err
	}
	m, err := matrix.Load(r.request.Matrix)
	if err != nil {
		return nil, fault.AsInvalid(err)
	}
	r.newest = slices.MaxFunc(m.Entries, func(a, b matrix.Entry) int { return a.Driver.Compare(b.Driver) }).Driver
	if r.toolkits == nil {
		if r.toolkits, err = r.session.toolkits(ctx, in.Catalog); err != nil {
			return nil, err
		}
	}
	in.Target, in.Resolve = r.target, r.toolkits.resolver(nil)
	p, err := plan.Make(ctx, in)
	if err != nil {
		return nil, classifyPlan(err, r.session.access.target)
	}
	r.session.warnOf(p)
	return p.WithReasons(publicReason), nil
}

// publicReason is a reason that may be public: errors name hosts and files of this machine.
func publicReason(u plan.Unresolved) string {
	switch {
	case mayPass(u):
		return "its Driver Toolkit could not be read" // the log has the error
	case registry.Is404(u.Err):
		return "its Driver Toolkit is gone from the registry"
	case errors.Is(u.Err, toolkit.ErrAbsent):
		return "its Driver Toolkit does not say for which kernel it is"
	}
	return u.Reason
}

// mayPass reports whether the kernel of an unresolved release could be read the next time: notes without such a
// release would forget what is published.
func mayPass(u plan.Unresolved) bool {
	return u.Err != nil && !errors.As(u.Err, new(*plan.ArchError)) && !registry.Is404(u.Err) &&
		!errors.Is(u.Err, toolkit.ErrAbsent)
}

// releaser is what the releases of several drivers share.
type releaser struct {
	session   *session
	request   ReleaseRequest
	target    registry.Target
	toolkits  *toolkits
	workspace *workspace.Workspace
	github    *github.Client // nil for a dry run without a token
	newest    version.Driver // of the matrix; its release is the latest
}

// releaseDriver releases the one driver of a plan.
func (r *releaser) releaseDriver(ctx context.Context, p *plan.Plan) (DriverRelease, error) {
	v := p.Drivers[0]
	result := DriverRelease{Driver: v, Tag: release.Name(v), Changes: []string{}}
	log := r.session.env.Log
	if len(p.Releases(v)) == 0 {
		log.Warn("the catalogue has no release for this driver, so there is nothing to release", "driver", v)
		return result, nil
	}
	for _, u := range p.Unresolved {
		if mayPass(u) {
			return result, fmt.Errorf("cannot find the kernels of some OpenShift releases now, and notes without them would "+
				"be wrong: %w", u.Err)
		}
	}
	if r.request.After != nil {
		failed := map[int]plan.Outcome{} // in the build of this run
		for i, b := range p.Builds {
			for _, f := range r.request.After.Plan.Builds {
				if b.State == plan.Missing && b.Tag == f.Tag && f.State == plan.Failed && f.Error != "" {
					failed[i] = plan.Outcome{State: plan.Failed, Error: f.Error}
				}
			}
		}
		p = p.With(failed)
	}
	p, images, err := r.publishedImages(ctx, p)
	if err != nil {
		return result, err
	}
	result.Missing = p.Count(plan.Missing) + p.Count(plan.Unbuildable) + p.Count(plan.Failed) + len(p.Unresolved)
	if len(release.Available(p)) == 0 {
		log.Warn("no image is published, so there is no release", "driver", v)
		return result, nil
	}
	busyBox, err := busyBoxVersions(ctx, images)
	if err != nil {
		return result, err
	}
	notes := release.NotesInput{Plan: p, Repository: r.target.String(), BusyBox: busyBox}
	if result.Notes, err = release.Notes(notes); err != nil {
		return result, err
	}
	if r.github == nil {
		result.Changes = nil // nobody knows
		return result, nil
	}
	sources, err := r.sources(ctx, v, images, busyBox)
	if err != nil {
		return result, fmt.Errorf("%w; without its sources nothing is released, the images stay", err)
	}
	return r.sync(ctx, result, sources)
}

// publishedImages reads what the published images of a driver say of themselves, those of the plan first, which it
// returns completed, then those for kernels that are no longer asked for, whose sources are still owed.
func (r *releaser) publishedImages(ctx context.Context, p *plan.Plan) (*plan.Plan, []imageInfo, error) {
	listed, unplanned := p.Count(plan.Published)+p.Count(plan.Built), p.UnplannedTags(p.Drivers[0])
	p, planned, err := statPlan(ctx, r.target, p, nil)
	if err != nil {
		return nil, nil, err
	}
	others, err := statImages(ctx, r.target, unplanned, nil)
	if err != nil {
		return nil, nil, err
	}
	if len(planned) != listed || len(others) != len(unplanned) {
		return nil, nil,
			errors.New("listed images are missing: they are being deleted, or the registry is failing; run again")
	}
	var images []imageInfo
	for _, b := range p.Builds {
		if info, ok := planned[b.Tag]; ok {
			info.kernel = b.Kernel
			images = append(images, info)
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(others)) {
		if others[tag].kernel.IsZero() {
			r.session.env.Log.Warn("an image does not name its kernel; ignoring it as another program's",
				"image", others[tag].name)
			continue
		}
		images = append(images, others[tag])
	}
	return p, images, nil
}

// sync makes GitHub have the release, or finds out what it would change.
func (r *releaser) sync(ctx context.Context, result DriverRelease, sources []release.Archive) (DriverRelease, error) {
	want := github.Release{Tag: result.Tag, Name: result.Tag, Body: result.Notes, Latest: result.Driver == r.newest}
	for _, a := range sources {
		want.Assets = append(want.Assets, github.Asset{
			Name: a.Name, ContentType: release.ContentType, Size: a.Size, Digest: a.Digest, Open: a.Open,
		})
	}
	act := r.github.Sync
	if r.request.DryRun {
		act = r.github.Compare
	}
	done, err := act(ctx, want)
	result.URL = done.URL
	for _, c := range done.Changes {
		result.Changes = append(result.Changes, c.String())
	}
	log := r.session.env.Log
	switch {
	case err != nil:
	case r.request.DryRun:
		log.Info("what would change on GitHub", "driver", result.Driver, "changes", result.Summary(), "url", result.URL)
	default:
		log.Info("the release is up to date", "driver", result.Driver, "changes", len(result.Changes), "url", result.URL)
	}
	return result, err
}

// sources makes the archives that the GPL asks for: the driver's source as it was compiled for the images, and that
// of their BusyBox.
func (r *releaser) sources(
	ctx context.Context, v version.Driver, images []imageInfo, busyBox []string,
) ([]release.Archive, error) {
	env := r.session.env
	files, err := readImageFiles(r.request.ContainerDir, r.request.BaseImage)
	if err != nil {
		return nil, err
	}
	rpm, err := r.session.fetcher(r.request.DriverSource).Fetch(ctx, v)
	if err != nil {
		return nil, err
	}
	source, err := driver.Unpack(ctx, rpm, v, r.workspace.Path("source-"+v.String()))
	if err != nil {
		return nil, err
	}
	dir, err := r.workspace.Mkdir("release-" + v.String())
	if err != nil {
		return nil, err
	}
	in := release.SourceInput{Source: source, Script: files.script, Dir: dir}
	for _, one := range images {
		digest := one.labels[image.LabelSourceDigest]
		if digest == "" {
			env.Log.Warn("an image does not name its source; the release has the source that it would be built from now",
				"image", one.name, "hint", "rebuild it with `neuron-kmod build --force`")
		}
		in.Modules = append(in.Modules, release.Module{Kernel: one.kernel, Source: digest})
	}
	in.Earlier = func(ctx context.Context) (io.ReadCloser, error) {
		return r.github.OpenAsset(ctx, release.Name(v), release.ModifiedSourceFile(v))
	}
	modified, err := release.ModifiedSource(ctx, in)
	if err != nil {
		return nil, err
	}
	archives := []release.Archive{modified}
	getter := &release.BusyBox{HTTP: r.session.http, Cache: filepath.Join(env.Settings.CacheDir, "sources"), Log: env.Log}
	for _, version := range busyBox {
		a, err := getter.Source(ctx, version)
		if err != nil {
			return nil, err
		}
		archives = append(archives, a)
	}
	return archives, nil
}

// busyBoxVersions returns the versions of BusyBox in the images, in order: the one that the label says or, for an
// image of other tools, the one that the binary says. The licence asks for the source whatever the labels are.
func busyBoxVersions(ctx context.Context, images []imageInfo) ([]string, error) {
	versions := map[string]bool{}
	for _, one := range images {
		v := one.labels[image.LabelBusyBoxVersion]
		if v == "" {
			info, err := image.CheckBase(ctx, image.Base{Name: one.name, Image: one.image})
			if err != nil {
				return nil, fmt.Errorf("find the BusyBox version of %s: %w", one.name, registry.Classify(err))
			}
			v = info.BusyBox
		}
		if v != "" {
			versions[v] = true
		}
	}
	return slices.Sorted(maps.Keys(versions)), nil
}
