package action

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"neuron-kmod/internal/github"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/platform/workspace"
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
	// After is the build of the same run that has published to the target: its way to the outside is used, and its failures
	// are told. nil if there was none.
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

// Verdict returns nil if all went well, the one reason why all have failed, or else the error that says that some did or that
// images are missing. With onlyFailures what is missing is somebody else's to tell.
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

// Release makes the GitHub release of each driver say what is published and carry the sources. A driver that fails does not
// stop the others. It blocks on the network.
func Release(ctx context.Context, env Env, r ReleaseRequest) (*ReleaseResult, error) {
	rel, err := newReleaser(ctx, env, r)
	if err != nil {
		return nil, err
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
	if rel.github, err = rel.session.releaseClient(r.DryRun); err != nil {
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

// newReleaser opens what the releases work with: that of the build before, or its own.
func newReleaser(ctx context.Context, env Env, r ReleaseRequest) (*releaser, error) {
	if r.After != nil {
		return &releaser{session: r.After.input.session, request: r, target: r.After.input.target, toolkits: r.After.input.toolkits}, nil
	}
	s, err := open(env, access{target: r.Target, mirror: r.ToolkitMirror})
	if err != nil {
		return nil, err
	}
	target, err := s.target(ctx, use{})
	if err != nil {
		return nil, err
	}
	if !r.DryRun {
		if err := s.canRelease(); err != nil {
			return nil, err
		}
	}
	return &releaser{session: s, request: r, target: target}, nil
}

// canRelease reports whether there is what a release needs, without asking GitHub.
func (s *session) canRelease() error {
	if strings.HasPrefix(s.access.target, "oci:") {
		return fault.AsUsage(fault.Wrap(errors.New("cannot release a directory: clusters pull from a registry"),
			"name a registry with --target, or give --no-release"))
	}
	if s.env.Settings.GitHub.Token.IsZero() {
		return fault.AsPrerequisite(fault.Wrap(errors.New("there is no token for GitHub"),
			"set GITHUB_TOKEN or GH_TOKEN; in a workflow GITHUB_TOKEN: ${{ github.token }} and `permissions: contents: write`; or give --no-release"))
	}
	_, err := s.github()
	return err
}

func (s *session) github() (*github.Client, error) {
	g := s.env.Settings.GitHub
	c, err := github.New(github.Options{API: g.API, Repository: g.Repository, Token: g.Token.Reveal(), HTTP: s.http, Log: s.env.Log})
	return c, fault.AsUsage(err)
}

// releaseClient returns the client that all releases of a run share, with what they may wait in all. A dry run does without
// (nil) where nothing says which repository it is about; it then knows the notes and not what would change.
func (s *session) releaseClient(dryRun bool) (*github.Client, error) {
	if dryRun && (s.env.Settings.GitHub.Token.IsZero() || s.env.Settings.GitHub.Repository == "") {
		s.env.Log.Warn("without a repository and a token, the changes on GitHub are unknown",
			"hint", "set GITHUB_REPOSITORY and GITHUB_TOKEN or GH_TOKEN")
		return nil, nil
	}
	return s.github()
}

// fullPlan makes the plan of the drivers that are released, for all their OpenShift releases, with reasons that may be
// public. It finds the newest driver of the whole matrix.
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

// unreadable is the public reason for a Driver Toolkit that could be readable the next time. The log has the error, which
// names hosts and files of this machine.
const unreadable = "its Driver Toolkit could not be read"

// publicReason is the reason for an unresolved release that may be public: errors name hosts and files of this machine.
func publicReason(u plan.Unresolved) string {
	switch {
	case mayPass(u):
		return unreadable
	case registry.Is404(u.Err):
		return "its Driver Toolkit is gone from the registry"
	case errors.Is(u.Err, toolkit.ErrAbsent):
		return "its Driver Toolkit does not say for which kernel it is"
	}
	return u.Reason
}

// mayPass reports whether the kernel of an unresolved release could be read the next time: notes without such a release
// would forget what is published.
func mayPass(u plan.Unresolved) bool {
	return u.Err != nil && !errors.As(u.Err, new(*plan.ArchError)) && !registry.Is404(u.Err) && !errors.Is(u.Err, toolkit.ErrAbsent)
}
