package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/catalogsync"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

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
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
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
	u, err := r.update(ctx, s, c, scope)
	if err != nil {
		return nil, err
	}
	out := &Updated{
		Catalog: c.Catalog.Path, Changes: slices.Concat([]catalogsync.Change{}, u.Changes), Unreadable: slices.Concat([]catalogsync.Problem{}, u.Unreadable),
		Vanished: slices.Concat([]catalogsync.Problem{}, u.Vanished), Refused: slices.Concat([]catalogsync.Problem{}, u.Refused),
		Missing: slices.Concat([]version.Selector{}, u.Missing),
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

// update asks the releases, and shows how far it is.
func (r UpdateCatalogRequest) update(ctx context.Context, s *session, c *catalog.File, scope catalogsync.Scope) (*catalogsync.Update, error) {
	syncer, shown, err := r.Catalog.syncer(s)
	if err != nil {
		return nil, err
	}
	defer shown.close()
	u, err := syncer.Update(ctx, &c.Catalog, scope, r.Refresh)
	if errors.Is(err, catalogsync.ErrNoReleases) {
		return nil, fault.AsUsage(err)
	}
	return u, registry.Classify(err)
}

func (r UpdateCatalogRequest) scope() (catalogsync.Scope, error) {
	for _, a := range r.Archs {
		if err := catalog.CheckArch(a); err != nil {
			return catalogsync.Scope{}, fault.AsUsage(fmt.Errorf("--arch: %w", err))
		}
	}
	minors, err := r.Catalog.minors()
	if err != nil {
		return catalogsync.Scope{}, err
	}
	var skip []version.OCP
	for _, text := range r.Skip {
		v, err := version.ParseOCP(text)
		if err != nil {
			return catalogsync.Scope{}, fault.AsUsage(fault.Wrap(fmt.Errorf("--skip: %w", err), "name releases in full, such as --skip 4.20.7"))
		}
		skip = append(skip, v)
	}
	selectors, err := r.Catalog.matrixSelectors(len(minors) > 0)
	return catalogsync.Scope{
		Selectors: sortedSelectors(append(selectors, minors...)), Archs: r.Archs, PreReleases: r.PreReleases, Skip: skip,
	}, err
}

// warn logs what the user should know who does not read the result.
func (r UpdateCatalogRequest) warn(env Env, u *catalogsync.Update) {
	for _, m := range u.Missing {
		if slices.Contains(r.Skip, m.String()) {
			env.Log.Warn("--skip names a release that does not exist", "release", m, "repository", r.Catalog.From)
			continue
		}
		env.Log.Warn("this release does not exist yet", "release", m, "repository", r.Catalog.From)
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

// Verdict returns the error that says what is wrong, of the kind fault.Incomplete; with check, that the file is not up to
// date is wrong.
func (u *Updated) Verdict(check bool) error {
	switch {
	case len(u.Unreadable) > 0:
		advice := "run it again when quay.io, or the mirror that --images-from names, can be read"
		if i := slices.IndexFunc(u.Unreadable, func(t catalogsync.Problem) bool { return t.DTK == "" }); i >= 0 {
			advice = fmt.Sprintf("run it again later; use --skip %s for a release that will never be readable", u.Unreadable[i].Version)
		}
		return fault.AsIncomplete(fault.Wrap(fmt.Errorf("%s could not be read", strings.Join(u.UnreadableCounts(), " and ")), advice))
	case check && u.Drift:
		return fault.AsIncomplete(fault.Wrap(errors.New(u.Catalog+" is not up to date"), "run `neuron-kmod catalog update`"))
	}
	return nil
}
