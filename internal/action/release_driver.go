package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"neuron-kmod/internal/github"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/workspace"
	"neuron-kmod/internal/release"
	"neuron-kmod/internal/version"
)

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

// publishedImage is a published image, for a kernel.
type publishedImage struct {
	name   string
	kernel kernel.Version
	info   imageInfo
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
			return result, fmt.Errorf("cannot find the kernels of some OpenShift releases now, and notes without them would be wrong: %w", u.Err)
		}
	}
	p, images, err := r.publishedImages(ctx, r.withFailures(p))
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

// withFailures returns the plan with the builds that have failed in this run.
func (r *releaser) withFailures(p *plan.Plan) *plan.Plan {
	if r.request.After == nil {
		return p
	}
	why := map[string]string{} // by tag
	for _, b := range r.request.After.Plan.Builds {
		if b.State == plan.Failed {
			why[b.Tag] = b.Error
		}
	}
	failed := map[int]plan.Outcome{}
	for i, b := range p.Builds {
		if b.State == plan.Missing && why[b.Tag] != "" {
			failed[i] = plan.Outcome{State: plan.Failed, Error: why[b.Tag]}
		}
	}
	return p.With(failed)
}

// publishedImages reads what the published images of a driver say of themselves: those of the plan, which it returns
// completed, and those for kernels that are no longer asked for, whose sources are still owed. They are in the order of
// their tags.
func (r *releaser) publishedImages(ctx context.Context, p *plan.Plan) (*plan.Plan, []publishedImage, error) {
	listed, unplanned := p.Count(plan.Published)+p.Count(plan.Built), p.UnplannedTags(p.Drivers[0])
	p, planned, err := statPlan(ctx, r.target, p)
	if err != nil {
		return nil, nil, err
	}
	others, err := statImages(ctx, r.target, unplanned)
	if err != nil {
		return nil, nil, err
	}
	if len(planned) != listed || len(others) != len(unplanned) {
		return nil, nil, errors.New("listed images are missing: they are being deleted, or the registry is failing; run again")
	}
	var images []publishedImage
	for _, b := range p.Builds {
		if info, ok := planned[b.Tag]; ok {
			images = append(images, publishedImage{name: b.Image, kernel: b.Kernel, info: info})
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(others)) {
		one := publishedImage{name: r.target.Reference(tag), info: others[tag]}
		if one.kernel, err = kernel.Parse(one.info.labels[image.LabelKernel]); err != nil {
			r.session.env.Log.Warn("an image does not name its kernel; ignoring it as another program's", "image", one.name)
			continue
		}
		images = append(images, one)
	}
	return p, images, nil
}

// sync makes GitHub have the release, or finds out what it would change.
func (r *releaser) sync(ctx context.Context, result DriverRelease, sources []release.Archive) (DriverRelease, error) {
	want := github.Release{Tag: result.Tag, Name: result.Tag, Body: result.Notes, Latest: result.Driver == r.newest}
	for _, a := range sources {
		want.Assets = append(want.Assets, github.Asset{Name: a.Name, ContentType: release.ContentType, Size: a.Size, Digest: a.Digest, Open: a.Open})
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

// sources makes the archives that the GPL asks for: the driver's source as it was compiled for the images, and that of
// their BusyBox.
func (r *releaser) sources(ctx context.Context, v version.Driver, images []publishedImage, busyBox []string) ([]release.Archive, error) {
	modified, err := r.modifiedSource(ctx, v, images)
	if err != nil {
		return nil, err
	}
	archives := []release.Archive{modified}
	env := r.session.env
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

func (r *releaser) modifiedSource(ctx context.Context, v version.Driver, images []publishedImage) (release.Archive, error) {
	files, err := readImageFiles(r.request.ContainerDir, r.request.BaseImage)
	if err != nil {
		return release.Archive{}, err
	}
	rpm, err := r.session.fetcher(r.request.DriverSource).Fetch(ctx, v)
	if err != nil {
		return release.Archive{}, err
	}
	source, err := driver.Unpack(ctx, rpm, v, r.workspace.Path("source-"+v.String()))
	if err != nil {
		return release.Archive{}, err
	}
	dir, err := r.workspace.Mkdir("release-" + v.String())
	if err != nil {
		return release.Archive{}, err
	}
	return release.ModifiedSource(ctx, release.SourceInput{
		Source: source, Script: files.script, Dir: dir, Modules: r.modules(images),
		Earlier: func(ctx context.Context) (io.ReadCloser, error) {
			return r.github.OpenAsset(ctx, release.Name(v), release.ModifiedSourceFile(v))
		},
	})
}

// modules are the modules in the images, whose source is owed.
func (r *releaser) modules(images []publishedImage) []release.Module {
	var all []release.Module
	for _, one := range images {
		digest := one.info.labels[image.LabelSourceDigest]
		if digest == "" {
			r.session.env.Log.Warn("an image does not name its source; the release has the source that it would be built from now",
				"image", one.name, "hint", "rebuild it with `neuron-kmod build --force`")
		}
		all = append(all, release.Module{Kernel: one.kernel, Source: digest})
	}
	return all
}

// busyBoxVersions returns the versions of BusyBox in the images, in order: the one that the label says or, for an image of
// other tools, the one that the binary says. The licence asks for the source whatever the labels are.
func busyBoxVersions(ctx context.Context, images []publishedImage) ([]string, error) {
	versions := map[string]bool{}
	for _, one := range images {
		v := one.info.labels[image.LabelBusyBoxVersion]
		if v == "" {
			info, err := image.CheckBase(ctx, image.Base{Name: one.name, Image: one.info.image})
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
