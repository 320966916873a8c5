package fakegithub

import (
	"cmp"
	"maps"
	"slices"
)

// State is what a repository holds, without what differs from one run to the next: ids, times, who did it. Everything
// in it is sorted.
type State struct {
	Releases []Release
	Tags     []string
}

// Release is one of a State.
type Release struct {
	Tag, Name, Body              string
	Draft, Prerelease, Immutable bool
	Latest                       bool
	Assets                       []Asset
}

// Asset is one of a Release.
type Asset struct {
	Name, ContentType string
	State             string // Starter or Uploaded
	Size              int64
	Digest            string // "sha256:..."; empty for a Starter
}

// Snapshot returns what a repository holds now.
func (f *Forge) Snapshot(repository string) State {
	f.mu.Lock()
	defer f.mu.Unlock()
	repo := f.repository(repository)
	if repo == nil {
		return State{}
	}
	state := State{Tags: slices.Sorted(maps.Keys(repo.tags))}
	for _, r := range repo.releases {
		state.Releases = append(state.Releases, Release{
			Tag: r.tag, Name: r.name, Body: r.body, Draft: r.draft, Prerelease: r.prerelease, Immutable: r.immutable,
			Latest: r.id == repo.latest, Assets: r.snapshot(),
		})
	}
	slices.SortFunc(state.Releases, func(a, b Release) int {
		return cmp.Or(cmp.Compare(a.Tag, b.Tag), compareBool(a.Draft, b.Draft), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Body, b.Body))
	})
	return state
}

func (r *release) snapshot() []Asset {
	var list []Asset
	for _, a := range r.assets {
		list = append(list, Asset{a.name, a.contentType, a.state, int64(len(a.content)), a.digest()})
	}
	slices.SortFunc(list, func(a, b Asset) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// compareBool sorts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
