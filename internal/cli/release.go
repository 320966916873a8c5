package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/github"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/workspace"
	"neuron-kmod/internal/release"
	"neuron-kmod/internal/version"
)

// releaseOptions are the flags of release.
type releaseOptions struct{ buildOptions }

func newRelease(a *app) *cobra.Command {
	o := &releaseOptions{buildOptions: buildOptions{planOptions: planOptions{app: a}}}
	cmd := &cobra.Command{
		Use:   "release DRIVER_VERSION|all",
		Short: "Create or update the GitHub release of a driver",
		Long: `Release makes the GitHub release neuron-driver-VERSION say what is published in
the target, for all releases of the matrix, and carry the sources that the GPL
asks for. What is as it should be is left alone.

It needs GITHUB_REPOSITORY (OWNER/NAME) and GITHUB_TOKEN or GH_TOKEN with the
permission contents: write.`,
		Example: `  neuron-kmod release all --target quay.io/me/neuron-kmod
  neuron-kmod release 2.24.7.0 --dry-run`,
		Args: exactly(1, 1, "a driver version or all"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.setArgs(args)
			return o.run(cmd.Context())
		},
	}
	o.placeFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "print the notes, and what would change where there is a token; change nothing")
	f.StringVar(&o.DriverSource, "driver-source", o.DriverSource, "`URL or folder` that holds the driver's RPMs")
	f.StringVar(&o.containerDir, "container-dir", "", "`folder` with build-module.sh to use instead of the built-in one")
	f.StringVarP(&o.output, "output", "o", "table", "`format` of the result: table or json")
	return cmd
}

func (o *releaseOptions) run(ctx context.Context) error {
	if err := o.checkOutput("table", "json"); err != nil {
		return err
	}
	s, err := o.open()
	if err != nil {
		return err
	}
	target, err := s.target(ctx, access{})
	if err != nil {
		return err
	}
	if !o.dryRun {
		if err := s.canRelease(); err != nil {
			return err
		}
	}
	results, failed, err := o.release(ctx, s, target, nil)
	if err != nil {
		return err
	}
	if err := o.writeReleases(results); err != nil {
		return err
	}
	if !o.dryRun {
		if err := o.workflow.AddSummary(summary(results)); err != nil {
			return err
		}
	}
	return verdict(results, failed)
}

// canRelease reports whether there is what a release needs, without asking GitHub.
func (s *session) canRelease() error {
	if strings.HasPrefix(s.Target, "oci:") {
		return usage{fault.Wrap(errors.New("a folder cannot be released: clusters pull from a registry"), "name a registry with --target, or give --no-release")}
	}
	if s.GitHub.Token.IsZero() {
		return prerequisite{fault.Wrap(errors.New("there is no token for GitHub"), "set GITHUB_TOKEN or GH_TOKEN; in a workflow GITHUB_TOKEN: ${{ github.token }} "+
			"and `permissions: contents: write`; or give --no-release")}
	}
	_, err := s.github()
	return err
}

func (s *session) github() (*github.Client, error) {
	c, err := github.New(github.Options{
		API: s.GitHub.API, Repository: s.GitHub.Repository, Token: s.GitHub.Token.Reveal(), HTTP: s.httpClient(), Log: s.log,
	})
	if err != nil {
		return nil, usage{err}
	}
	return c, nil
}

// releaseClient returns the client that all releases of a run share, with what they may wait in all. A dry run does
// without where nothing says which repository it is about; it then knows the notes and not what would change.
func (s *session) releaseClient(dryRun bool) (*github.Client, error) {
	if dryRun && (s.GitHub.Token.IsZero() || s.GitHub.Repository == "") {
		s.log.Warn("what would change on GitHub is not known without a repository and a token", "hint", "set GITHUB_REPOSITORY and GITHUB_TOKEN or GH_TOKEN")
		return nil, nil
	}
	return s.github()
}

// reasons tells, by tag, why builds of a run have failed.
func reasons(p *plan.Plan) map[string]string {
	why := map[string]string{}
	for _, b := range p.Builds {
		if b.State == plan.Failed {
			why[b.Tag] = b.Error
		}
	}
	return why
}

// release releases each driver that was asked for, in full, whatever a build was limited to. A driver that fails does not
// stop the others; failed has an error for each such driver. why tells, by tag, of builds that have just failed.
func (o *buildOptions) release(ctx context.Context, s *session, target registry.Target, why map[string]string) (results []released, failed []error, err error) {
	unread := &unreadable{Resolver: s.resolver(), passing: map[string]error{}}
	p, newest, err := o.fullPlan(ctx, s, target, unread.resolve)
	if err != nil {
		return nil, nil, err
	}
	ws, err := workspace.Open(ctx, o.CacheDir, o.TempDir, o.log)
	if err != nil {
		return nil, nil, prerequisite{err}
	}
	defer o.leave(ws)
	r := &releaser{buildOptions: o, session: s, target: target, workspace: ws, newest: newest, why: why, passing: unread.passing}
	if r.github, err = s.releaseClient(o.dryRun); err != nil {
		return nil, nil, err
	}
	for _, d := range p.Drivers {
		result, err := r.driver(ctx, p.Of(d))
		if ctx.Err() != nil {
			return nil, nil, errors.Join(err, context.Cause(ctx))
		}
		if err != nil {
			result.Error = fault.Text(err)
			failed = append(failed, fmt.Errorf("release %s: %w", result.Tag, err))
			o.log.Error("release failed", "driver", d, "error", result.Error)
		}
		results = append(results, result)
	}
	return results, failed, nil
}

// fullPlan makes the plan of the drivers that are released, for all their OpenShift releases. newest is the newest driver
// of the whole matrix.
func (o *buildOptions) fullPlan(ctx context.Context, s *session, target registry.Target, resolve plan.Resolver) (_ *plan.Plan, newest version.Driver, err error) {
	full := planOptions{app: o.app, driver: o.driver}
	in, err := full.input()
	if err != nil {
		return nil, newest, err
	}
	m, err := matrix.Load(o.Matrix)
	if err != nil {
		return nil, newest, invalid{err}
	}
	newest = slices.MaxFunc(m.Entries, func(a, b matrix.Entry) int { return a.Driver.Compare(b.Driver) }).Driver
	if _, err := s.useMirror(ctx, in.Catalog); err != nil {
		return nil, newest, err
	}
	in.Target, in.Resolve = target, resolve
	p, err := plan.Make(ctx, in)
	if err != nil {
		return nil, newest, o.classify(err)
	}
	for _, n := range p.Notes {
		o.log.Warn("not every node will find an image", "reason", n)
	}
	return p, newest, nil
}

// releaser is what the releases of several drivers share.
type releaser struct {
	*buildOptions
	session   *session
	target    registry.Target
	workspace *workspace.Workspace
	github    *github.Client    // nil for a dry run without a token
	newest    version.Driver    // of the matrix; its release is the latest
	why       map[string]string // by tag, for builds that have just failed
	passing   map[string]error  // by toolkit, as in unreadable
}

// unreadable is why toolkits cannot be told a kernel now, though they could be the next time: notes without their
// releases would forget what is published.
type unreadable struct {
	plan.Resolver
	passing map[string]error // by toolkit
}

// resolve gives each failure a reason that may be public: notes are, and errors
// name hosts and files of this machine.
func (u *unreadable) resolve(ctx context.Context, toolkits []string) []plan.Resolved {
	all := u.Resolver(ctx, toolkits)
	for i := range all {
		err := all[i].Err
		switch {
		case err == nil:
		case registry.Is404(err):
			all[i].Err = errors.New("its Driver Toolkit is gone from the registry")
		case errors.Is(err, toolkit.ErrAbsent):
			all[i].Err = errors.New("its Driver Toolkit does not say for which kernel it is")
		default:
			u.passing[toolkits[i]] = err
		}
	}
	return all
}

// driver releases the one driver of a plan.
func (r *releaser) driver(ctx context.Context, p *plan.Plan) (released, error) {
	v := p.Drivers[0]
	result := released{Driver: v, Tag: release.Name(v), Changes: []string{}}
	if len(p.Releases(v)) == 0 {
		r.log.Warn("the catalogue has no release for this driver, so there is nothing to release", "driver", v)
		return result, nil
	}
	for _, u := range p.Unresolved {
		if err := r.passing[u.Toolkit]; err != nil {
			return result, fmt.Errorf("the kernels of some OpenShift releases cannot be found out now, and notes without them would be wrong: %w", err)
		}
	}
	for i := range p.Builds {
		if b := &p.Builds[i]; b.State == plan.Missing && r.why[b.Tag] != "" {
			b.State, b.Error = plan.Failed, r.why[b.Tag]
		}
	}
	images, err := r.look(ctx, p)
	if err != nil {
		return result, err
	}
	result.Missing = p.Count(plan.Missing) + p.Count(plan.Unbuildable) + p.Count(plan.Failed) + len(p.Unresolved)
	if len(release.Available(p)) == 0 {
		r.log.Warn("no image is published, so there is no release", "driver", v)
		return result, nil
	}
	busyBox, err := busyBoxes(ctx, images)
	if err != nil {
		return result, err
	}
	if result.Notes, err = release.Notes(release.NotesInput{Plan: p, Repository: r.target.String(), BusyBox: busyBox}); err != nil {
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

// look reads what the published images of a driver say of themselves: those of the plan, which it completes, and those
// for kernels that are no longer asked for, whose sources are still owed. They are in the order of their tags.
func (r *releaser) look(ctx context.Context, p *plan.Plan) ([]kmod, error) {
	listed, unplanned := p.Count(plan.Published)+p.Count(plan.Built), p.Others(p.Drivers[0])
	planned, err := inspect(ctx, r.target, p)
	if err != nil {
		return nil, err
	}
	others, err := look(ctx, r.target, unplanned)
	if err != nil {
		return nil, err
	}
	if len(planned) != listed || len(others) != len(unplanned) {
		return nil, errors.New("images that the repository lists are not there: they are being deleted, or the registry is in trouble; run again")
	}
	var images []kmod
	for _, b := range p.Builds {
		if seen, ok := planned[b.Tag]; ok {
			images = append(images, kmod{b.Image, b.Kernel, seen})
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(others)) {
		one := kmod{name: r.target.Reference(tag), published: others[tag]}
		if one.kernel, err = kernel.Parse(one.labels[image.LabelKernel]); err != nil {
			r.log.Warn("an image does not say for which kernel it is, so it is taken for another program's", "image", one.name)
			continue
		}
		images = append(images, one)
	}
	return images, nil
}

// sync makes GitHub have the release, or tells what it would change.
func (r *releaser) sync(ctx context.Context, result released, sources []release.Archive) (released, error) {
	want := github.Release{Tag: result.Tag, Name: result.Tag, Body: result.Notes, Latest: result.Driver == r.newest}
	for _, a := range sources {
		want.Assets = append(want.Assets, github.Asset{Name: a.Name, ContentType: release.ContentType, Size: a.Size, Digest: a.Digest, Open: a.Open})
	}
	act := r.github.Sync
	if r.dryRun {
		act = r.github.Compare
	}
	done, err := act(ctx, want)
	result.URL = done.URL
	for _, c := range done.Changes {
		result.Changes = append(result.Changes, c.String())
	}
	switch {
	case err != nil:
	case r.dryRun:
		r.log.Info("what would change on GitHub", "driver", result.Driver, "changes", result.what(), "url", result.URL)
	default:
		r.log.Info("the release is as it should be", "driver", result.Driver, "changes", len(result.Changes), "url", result.URL)
	}
	return result, err
}
