package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/catalog"
	"neuron-kmod/internal/driver"
	"neuron-kmod/internal/github"
	"neuron-kmod/internal/hint"
	"neuron-kmod/internal/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/registry"
	"neuron-kmod/internal/release"
	"neuron-kmod/internal/toolkit"
	"neuron-kmod/internal/version"
	"neuron-kmod/internal/workspace"
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
	f.BoolVar(&o.dryRun, "dry-run", false, "print the notes and change nothing")
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
	if !o.dryRun {
		if err := errors.Join(o.writeReleases(results), o.workflow.AddSummary(summary(results))); err != nil {
			return err
		}
	}
	return verdict(results, failed)
}

// canRelease tells whether there is what a release needs, without asking GitHub.
func (s *session) canRelease() error {
	if strings.HasPrefix(s.Target, "oci:") {
		return usage{hint.Wrap(errors.New("a folder cannot be released: clusters pull from a registry"), "name a registry with --target, or give --no-release")}
	}
	if s.GitHub.Token.IsZero() {
		return prerequisite{hint.Wrap(errors.New("there is no token for GitHub"), "set GITHUB_TOKEN or GH_TOKEN; in a workflow GITHUB_TOKEN: ${{ github.token }} "+
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

// release releases each driver that was asked for, from a plan of its own and
// in full, whatever a build was limited to. A driver that fails does not stop
// the others; failed has an error for each such driver. why tells, by tag, of
// builds that have just failed.
func (o *buildOptions) release(ctx context.Context, s *session, target registry.Target, why map[string]string) (results []released, failed []error, err error) {
	full := planOptions{app: o.app, driver: o.driver}
	in, err := full.input()
	if err != nil {
		return nil, nil, err
	}
	m, err := matrix.Load(o.Matrix)
	if err != nil {
		return nil, nil, invalid{err}
	}
	newest := slices.MaxFunc(m.Entries, func(a, b matrix.Entry) int { return a.Driver.Compare(b.Driver) }).Driver
	if _, err := s.useMirror(ctx, in.Catalog); err != nil {
		return nil, nil, err
	}
	unread := &unreadable{Resolver: s.resolver()}
	in.Target, in.Resolve = &listedOnce{Target: target}, unread.resolve
	ws, err := workspace.Open(ctx, o.CacheDir, o.TempDir, o.log)
	if err != nil {
		return nil, nil, prerequisite{err}
	}
	defer o.leave(ws)
	r := &releaser{buildOptions: o, session: s, target: target, workspace: ws, newest: newest, why: why, unreadable: unread}
	for _, e := range in.Entries {
		alone := in
		alone.Entries = []matrix.Entry{e}
		result, err := r.driver(ctx, alone)
		if ctx.Err() != nil {
			return nil, nil, errors.Join(err, context.Cause(ctx))
		}
		if err != nil {
			result.Error = hint.Text(err)
			failed = append(failed, fmt.Errorf("release %s: %w", result.Tag, err))
			o.log.Error("release failed", "driver", e.Driver, "error", result.Error)
		}
		results = append(results, result)
	}
	return results, failed, nil
}

// listedOnce is a target whose tags are listed for the first plan and kept for
// the others.
type listedOnce struct {
	registry.Target
	tags map[string]bool
}

func (l *listedOnce) Tags(ctx context.Context) (map[string]bool, error) {
	if l.tags == nil {
		tags, err := l.Target.Tags(ctx)
		if err != nil {
			return nil, err
		}
		l.tags = tags
	}
	return l.tags, nil
}

// releaser is what the releases of several drivers share.
type releaser struct {
	*buildOptions
	session   *session
	target    registry.Target
	workspace *workspace.Workspace
	newest    version.Driver // of the matrix; its release is the latest
	why       map[string]string

	*unreadable
}

// unreadable is why releases cannot be told a kernel now, though they could be
// the next time: notes without them would forget what is published.
type unreadable struct {
	plan.Resolver
	passing error // the last such failure
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
			u.passing = err
		}
	}
	return all
}

// driver releases one driver.
func (r *releaser) driver(ctx context.Context, in plan.Input) (released, error) {
	v := in.Entries[0].Driver
	result := released{Driver: v, Tag: release.Name(v), Changes: []string{}}
	r.passing = nil
	p, err := plan.Make(ctx, in)
	if nothing, ok := errors.AsType[*catalog.NotFoundError](err); ok {
		r.log.Warn("the catalogue has no release for this driver, so there is nothing to release", "driver", v, "missing", nothing)
		return result, nil
	}
	if err != nil {
		return result, r.classify(err)
	}
	if r.passing != nil {
		return result, fmt.Errorf("the kernels of some OpenShift releases cannot be found out now, and notes without them would be wrong: %w", r.passing)
	}
	for _, n := range p.Notes {
		r.log.Warn("the matrix asks for more than the catalogue has", "driver", v, "missing", n)
	}
	for i := range p.Builds {
		if b := &p.Builds[i]; b.State == plan.Missing && r.why[b.Tag] != "" {
			b.State, b.Error = plan.Failed, r.why[b.Tag]
		}
	}
	result.Missing = p.Count(plan.Missing) + p.Count(plan.Failed) + len(p.Unresolved)
	if len(release.Available(p)) == 0 {
		r.log.Warn("no image is published, so there is no release", "driver", v)
		return result, nil
	}
	busyBox, err := r.session.inspect(ctx, r.target, p)
	if err != nil {
		return result, err
	}
	notes, err := release.Notes(release.NotesInput{Plan: p, Repository: r.target.String(), BusyBox: busyBox})
	if err != nil {
		return result, err
	}
	if r.dryRun {
		_, err := fmt.Fprintln(r.stdout, strings.TrimRight(notes, "\n"))
		return result, err
	}
	sources, err := r.sources(ctx, p, busyBox)
	if err != nil {
		return result, fmt.Errorf("%w; without its sources nothing is released, the images stay", err)
	}
	return r.sync(ctx, result, notes, sources)
}

func (r *releaser) sync(ctx context.Context, result released, notes string, sources []release.Archive) (released, error) {
	client, err := r.session.github()
	if err != nil {
		return result, err
	}
	want := github.Release{Tag: result.Tag, Name: result.Tag, Body: notes, Latest: result.Driver == r.newest}
	for _, a := range sources {
		want.Assets = append(want.Assets, github.Asset{Name: a.Name, ContentType: release.ContentType, Size: a.Size, Digest: a.Digest, Open: a.Open})
	}
	done, err := client.Sync(ctx, want)
	result.URL = done.URL
	for _, c := range done.Changes {
		result.Changes = append(result.Changes, c.String())
	}
	if err == nil {
		r.log.Info("the release is as it should be", "driver", result.Driver, "changes", len(result.Changes), "url", result.URL)
	}
	return result, err
}

// sources makes the archives that the GPL asks for: the driver's source as it
// was compiled for the published images, and that of their BusyBox.
func (r *releaser) sources(ctx context.Context, p *plan.Plan, busyBox []string) ([]release.Archive, error) {
	files, err := r.parts()
	if err != nil {
		return nil, err
	}
	v := p.Drivers[0]
	fetcher := &driver.Fetcher{
		HTTP: r.session.httpClient(), Source: r.DriverSource, Cache: filepath.Join(r.CacheDir, "drivers"), Log: r.log,
	}
	rpm, err := fetcher.Fetch(ctx, v)
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
	for _, b := range release.Available(p) {
		in.Kernels = append(in.Kernels, b.Kernel)
	}
	modified, err := release.ModifiedSource(ctx, in)
	if err != nil {
		return nil, err
	}
	archives := []release.Archive{modified}
	getter := &release.BusyBox{HTTP: r.session.httpClient(), Cache: filepath.Join(r.CacheDir, "sources"), Log: r.log}
	for _, version := range busyBox {
		a, err := getter.Source(ctx, version)
		if err != nil {
			return nil, err
		}
		archives = append(archives, a)
	}
	return archives, nil
}
