package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/catalogsync"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/openshift/payload"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/platform/progress"
	"neuron-kmod/internal/version"
)

// CatalogRequest says what the catalogue is compared with.
type CatalogRequest struct {
	Matrix  string   // path of build-matrix.json
	Catalog string   // path of driver-toolkit.json
	From    string   // repository of OpenShift's release images
	Images  string   // repository of the images that releases are made of; "" for where the releases say
	Minors  []string // minor releases, such as "4.20"
	Check   bool     // write nothing
}

// ReleaseRepository is where OpenShift's release images are.
const ReleaseRepository = payload.DefaultRepository

func (r CatalogRequest) minors() ([]version.Selector, error) {
	var minors []version.Selector
	for _, text := range r.Minors {
		s, err := version.ParseSelector(text)
		if err == nil && s.String() != s.Minor() {
			err = fmt.Errorf("%q is one release", text)
		}
		if err != nil {
			err = fault.Wrap(fmt.Errorf("--minors: %w", err), "name minor releases, such as --minors 4.20,4.21")
			return nil, fault.AsUsage(err)
		}
		minors = append(minors, s)
	}
	return minors, nil
}

// matrixSelectors returns the minors of the matrix, and pre-releases that it names. An optional file may be missing.
func (r CatalogRequest) matrixSelectors(optional bool) ([]version.Selector, error) {
	m, err := matrix.Load(r.Matrix)
	if errors.Is(err, fs.ErrNotExist) {
		if optional {
			return nil, nil
		}
		err = fault.Wrap(err, "write it, name another file with --matrix, or name minor releases with --minors")
	}
	if err != nil {
		return nil, fault.AsInvalid(err)
	}
	var selectors []version.Selector
	for _, e := range m.Entries {
		for _, s := range e.Selectors {
			minor, err := version.ParseSelector(s.Minor())
			if err != nil {
				return nil, err
			}
			selectors = append(selectors, minor)
			if release, err := version.ParseOCP(s.String()); err == nil && release.IsPreRelease() {
				selectors = append(selectors, s)
			}
		}
	}
	return selectors, nil
}

// sortedSelectors returns selectors in order, each once.
func sortedSelectors(selectors []version.Selector) []version.Selector {
	slices.SortFunc(selectors, version.Selector.Compare)
	return slices.Compact(selectors)
}

// saveCatalog writes the catalogue if it has changed, and reports whether it has.
func saveCatalog(c *catalog.File) (bool, error) {
	wrote, err := c.Save()
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		err = fault.AsIncomplete(err)
	}
	return wrote, err
}

// syncer makes the way to the releases. The caller calls stop when the work is done, which ends the progress bars.
func (r CatalogRequest) syncer(s *session) (syncer *catalogsync.Syncer, stop func(), err error) {
	repository, err := payload.NewRepository(s.client, r.From)
	if err != nil {
		return nil, nil, fault.AsUsage(fmt.Errorf("--from: %w", err))
	}
	toolkits := s.reader(nil)
	if r.Images != "" {
		kind, _, err := registry.ParseTarget(r.Images)
		if err == nil && kind != registry.KindRegistry {
			err = fmt.Errorf("%q is not a repository of a registry", r.Images)
		}
		if err != nil {
			err = fault.Wrap(err, "name it as REGISTRY/REPOSITORY, without a tag")
			return nil, nil, fault.AsUsage(fmt.Errorf("--images-from: %w", err))
		}
		repository.Images = r.Images
		toolkits.Locate = func(_ context.Context, dtk string) (string, error) { return repository.Place(dtk), nil }
	}
	var mu sync.Mutex
	bars, tasks := s.env.Progress(), map[string]progress.Task{}
	update := func(step string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		task := tasks[step]
		if task == nil {
			task = bars.Start("read", fmt.Sprintf("%s (%d)", step, total), "")
			tasks[step] = task
		}
		task.Update(int64(done), int64(total))
		if done == total {
			task.Done(nil)
			delete(tasks, step)
		}
	}
	stop = func() {
		mu.Lock()
		defer mu.Unlock()
		for _, task := range tasks {
			task.Done(context.Canceled)
		}
		bars.Close()
	}
	return &catalogsync.Syncer{
		Repository: repository, Toolkits: toolkits, Parallel: parallelReads, Progress: update,
	}, stop, nil
}

// Verified is the result of VerifyCatalog.
type Verified struct {
	Catalog string                `json:"catalog"`
	Written bool                  `json:"written"` // whether corrections and marks were written
	Entries []catalogsync.Finding `json:"entries"`

	Corrections Corrections `json:"-"` // what is not as it was, written or not
}

// Corrections counts what a verification has changed in a catalogue.
type Corrections struct {
	Marks    int // have come, changed or gone
	Kernels  int // gave way to those of the Driver Toolkits
	Toolkits int // gave way to those of the releases
}

// VerifyCatalog compares the catalogue with the Driver Toolkits and the nodes' kernels, and corrects the file. What
// differs is in the result, and in its Verdict. It blocks on the network.
func VerifyCatalog(ctx context.Context, env Env, r CatalogRequest) (*Verified, error) {
	selectors, err := r.minors()
	if err != nil {
		return nil, err
	}
	if len(selectors) == 0 {
		if selectors, err = r.matrixSelectors(false); err != nil {
			return nil, err
		}
	}
	c, err := catalog.OpenExisting(r.Catalog)
	if err != nil {
		return nil, fault.AsInvalid(err)
	}
	s, err := open(env, access{target: env.Settings.Target})
	if err != nil {
		return nil, err
	}
	before := slices.SortedFunc(slices.Values(c.Catalog.Entries), catalog.Entry.Compare)
	v := &Verified{Catalog: c.Catalog.Path}
	syncer, stop, err := r.syncer(s)
	if err != nil {
		return nil, err
	}
	scope := catalogsync.Scope{Selectors: sortedSelectors(selectors), PreReleases: true}
	findings, err := syncer.Verify(ctx, &c.Catalog, scope)
	stop()
	if err != nil {
		return nil, registry.Classify(err)
	}
	v.Entries = append([]catalogsync.Finding{}, findings...)
	for i, e := range c.Catalog.Entries { // the same ones, in order
		old := before[i]
		if e.NodeKernel != old.NodeKernel {
			v.Corrections.Marks++
		}
		switch {
		case e.DTK != old.DTK:
			v.Corrections.Toolkits++
		case e.Kernel != old.Kernel:
			v.Corrections.Kernels++
		}
	}
	if v.Corrections != (Corrections{}) && !r.Check {
		if v.Written, err = saveCatalog(c); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// Count returns how many entries are in a state.
func (v *Verified) Count(s catalogsync.State) int {
	return count(v.Entries, func(f catalogsync.Finding) bool { return f.State == s })
}

// Verdict returns the error that says what is wrong, of the kind fault.Incomplete. Where nothing could be checked the
// service has failed.
func (v *Verified) Verdict() error {
	wrong, failed := v.Count(catalogsync.Mismatch)+v.Count(catalogsync.Gone), v.Count(catalogsync.Failed)
	switch {
	case wrong > 0:
		advice := "if nodes boot another kernel, plan uses that kernel and warns; if a Driver Toolkit is missing, build " +
			"uses another one for the same kernel"
		if v.Written {
			advice = "the file is corrected; " + advice
		} else if v.Corrections != (Corrections{}) {
			advice = "run without --check to correct the file"
		}
		err := fmt.Errorf("%d of %d entries of %s were wrong", wrong, len(v.Entries), v.Catalog)
		return fault.AsIncomplete(fault.Wrap(err, advice))
	case failed > 0 && failed == len(v.Entries):
		err := fmt.Errorf("no entry of %s could be checked", v.Catalog)
		return fault.Wrap(err, "the reasons are above; run it again later")
	case failed > 0:
		err := fmt.Errorf("%d of %d entries of %s could not be checked now", failed, len(v.Entries), v.Catalog)
		return fault.AsIncomplete(err)
	case len(v.Entries) == 0:
		err := errors.New(v.Catalog + " has no entry of these releases")
		return fault.AsIncomplete(fault.Wrap(err, "run `neuron-kmod catalog update`"))
	}
	return nil
}

// UpdateCatalogRequest asks for new OpenShift releases.
type UpdateCatalogRequest struct {
	Catalog     CatalogRequest // Minors are beside those of the matrix
	Archs       []string       // of releases: "x86_64"
	Skip        []string       // releases to leave out
	PreReleases bool           // engineering, feature and release candidates, too
	Refresh     bool           // ask again for what the catalogue has, and correct it
}

// Updated is the result of UpdateCatalog.
type Updated struct {
	Catalog    string                `json:"catalog"`
	Drift      bool                  `json:"drift"`   // whether the file was not as it should be
	Written    bool                  `json:"written"` // whether it is now
	Changes    []catalogsync.Change  `json:"changes"`
	Unreadable []catalogsync.Problem `json:"unreadable"`
	Refused    []catalogsync.Problem `json:"kernel_unknown"`
	Vanished   []catalogsync.Problem `json:"vanished"`
	Missing    []version.Selector    `json:"no_release"`
}

// UpdateCatalog brings new OpenShift releases into the catalogue. What could not be read is in the result, and in its
// Verdict. It blocks on the network.
func UpdateCatalog(ctx context.Context, env Env, r UpdateCatalogRequest) (*Updated, error) {
	for _, a := range r.Archs {
		if err := catalog.CheckArch(a); err != nil {
			return nil, fault.AsUsage(fmt.Errorf("--arch: %w", err))
		}
	}
	minors, err := r.Catalog.minors()
	if err != nil {
		return nil, err
	}
	scope := catalogsync.Scope{Archs: r.Archs, PreReleases: r.PreReleases}
	for _, text := range r.Skip {
		v, err := version.ParseOCP(text)
		if err != nil {
			err = fault.Wrap(fmt.Errorf("--skip: %w", err), "name releases in full, such as --skip 4.20.7")
			return nil, fault.AsUsage(err)
		}
		scope.Skip = append(scope.Skip, v)
	}
	selectors, err := r.Catalog.matrixSelectors(len(minors) > 0)
	if err != nil {
		return nil, err
	}
	scope.Selectors = sortedSelectors(append(selectors, minors...))
	c, err := catalog.Open(r.Catalog.Catalog)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.AsUsage(err)
	}
	if err != nil {
		return nil, fault.AsInvalid(err)
	}
	s, err := open(env, access{target: env.Settings.Target})
	if err != nil {
		return nil, err
	}
	syncer, stop, err := r.Catalog.syncer(s)
	if err != nil {
		return nil, err
	}
	u, err := syncer.Update(ctx, &c.Catalog, scope, r.Refresh)
	stop()
	if errors.Is(err, catalogsync.ErrNoReleases) {
		return nil, fault.AsUsage(err)
	}
	if err != nil {
		return nil, registry.Classify(err)
	}
	none := []catalogsync.Problem{} // lists of JSON are never null
	out := &Updated{
		Catalog: c.Catalog.Path, Changes: slices.Concat([]catalogsync.Change{}, u.Changes),
		Unreadable: slices.Concat(none, u.Unreadable), Vanished: slices.Concat(none, u.Vanished),
		Refused: slices.Concat(none, u.Refused), Missing: slices.Concat([]version.Selector{}, u.Missing),
	}
	if out.Drift, err = c.Differs(); err != nil {
		return nil, fault.AsInvalid(err)
	}
	if !r.Catalog.Check {
		if out.Written, err = saveCatalog(c); err != nil {
			return nil, err
		}
	}
	r.warn(env, u)
	return out, nil
}

// warn logs what the user should know who does not read the result.
func (r UpdateCatalogRequest) warn(env Env, u *catalogsync.Update) {
	for _, m := range u.Missing {
		what := "this release does not exist yet"
		if slices.Contains(r.Skip, m.String()) {
			what = "--skip names a release that does not exist"
		}
		env.Log.Warn(what, "release", m, "repository", r.Catalog.From)
	}
	if len(u.Refused) > 0 {
		first := u.Refused[0]
		env.Log.Warn("kernels are not recorded: these credentials cannot read their Driver Toolkits",
			"toolkits", len(u.Refused), "reason", fault.Text(withQuayAdvice(cmp.Or(r.Catalog.Images, first.DTK), first.Err())))
	}
	for _, t := range u.Unreadable {
		what := "a release cannot be read"
		if t.DTK != "" {
			what = "the Driver Toolkit of a release cannot be read"
		}
		env.Log.Error(what, "release", t.Version, "arch", t.Arch, "reason", t.Reason)
	}
}

// UnreadableCounts says how many releases and how many Driver Toolkits could not be read, a text each.
func (u *Updated) UnreadableCounts() []string {
	releases, toolkits := 0, map[string]bool{}
	for _, t := range u.Unreadable {
		if t.DTK == "" {
			releases++
		} else {
			toolkits[t.DTK] = true
		}
	}
	var parts []string
	if releases > 0 {
		parts = append(parts, format.Count(releases, "release"))
	}
	if len(toolkits) > 0 {
		parts = append(parts, format.Count(len(toolkits), "Driver Toolkit"))
	}
	return parts
}

// Verdict returns the error that says what is wrong, of the kind fault.Incomplete; with check, that the file is not
// up to date is wrong.
func (u *Updated) Verdict(check bool) error {
	switch {
	case len(u.Unreadable) > 0:
		advice := "run it again when quay.io, or the mirror that --images-from names, can be read"
		if i := slices.IndexFunc(u.Unreadable, func(t catalogsync.Problem) bool { return t.DTK == "" }); i >= 0 {
			advice = fmt.Sprintf("run it again later; use --skip %s for a release that will never be readable",
				u.Unreadable[i].Version)
		}
		err := fmt.Errorf("%s could not be read", strings.Join(u.UnreadableCounts(), " and "))
		return fault.AsIncomplete(fault.Wrap(err, advice))
	case check && u.Drift:
		return fault.AsIncomplete(fault.Wrap(errors.New(u.Catalog+" is not up to date"), "run `neuron-kmod catalog update`"))
	}
	return nil
}
