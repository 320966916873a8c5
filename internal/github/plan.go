package github

import (
	"crypto/rand"
	"regexp"
	"strings"
)

// asset is one that is on GitHub.
type asset struct {
	id     int64
	name   string
	whole  bool // its upload has come to its end
	size   int64
	digest string // "sha256:..."; empty where it is not known
}

// release is one that is on GitHub, published.
type release struct {
	id         int64
	url        string // of its page
	uploadURL  string
	name, body string
	immutable  bool // nothing but its name and notes can be changed
	assets     []asset
}

// found is what GitHub has for a tag.
type found struct {
	published *release // nil if there is none
	drafts    []int64  // what interrupted runs have left
}

// named returns the asset with a name. Its id is 0 if there is none.
func (r *release) named(name string) asset {
	for _, a := range r.assets {
		if a.name == name {
			return a
		}
	}
	return asset{}
}

// Names that an asset has for a moment, while it is being replaced. GitHub cannot exchange two assets, so the new one
// is uploaded under a name of its own ("new"), the one that is there is put aside ("old"), and the new one gets its
// name. Each name has something random in it, so that runs at the same time have names of their own.
const (
	kindNew = "new"
	kindOld = "old"
)

var leftover = regexp.MustCompile(`^neuron-kmod-(new|old)-[a-z0-9]{8}-(.+)$`)

// temporaryName returns such a name.
func temporaryName(kind, name string) string {
	return "neuron-kmod-" + kind + "-" + strings.ToLower(rand.Text()[:8]) + "-" + name
}

// parseTemporaryName returns the parts of such a name; kind is empty for all others.
func parseTemporaryName(name string) (kind, replaces string) {
	if m := leftover.FindStringSubmatch(name); m != nil {
		return m[1], m[2]
	}
	return "", ""
}

// step is a change and what it is done with. An id of 0 is nothing.
type step struct {
	change Change
	want   Asset // of Add and Replace

	current  asset // of Add and Replace: what has the name
	uploaded int64 // of Add and Replace: an asset that holds what is wanted, uploaded by an interrupted run
	old      int64 // of Add and Replace: what an interrupted run has put aside and not replaced

	asset int64 // of Restore and Remove
	draft int64 // of Remove
}

// steps are what makes of what is there what is wanted. What interrupted runs have left comes last: until then it may
// be all that is left of an asset, and another run that is busy with it would have to start over.
func steps(want Release, have found) []step {
	var list []step
	if have.published == nil {
		list = append(list, step{change: Change{What: Create, Name: want.Tag}})
	} else {
		list = changes(want, have.published)
	}
	for _, id := range have.drafts {
		list = append(list, step{change: Change{What: Remove, Name: want.Tag + " (draft)"}, draft: id})
	}
	return list
}

// changes are the steps for a release that is there.
func changes(want Release, have *release) []step {
	var list []step
	used := map[int64]bool{}
	for _, a := range want.Assets {
		s := step{change: Change{What: Replace, Name: a.Name}, want: a, current: have.named(a.Name)}
		if a.matches(s.current) {
			continue
		}
		if s.current.id == 0 {
			s.change.What = Add
			s.old = have.newest(kindOld, a.Name, whole)
		}
		s.uploaded = have.newest(kindNew, a.Name, a.matches)
		used[s.uploaded], used[s.old] = true, true
		list = append(list, s)
	}
	if have.name != want.Name || !sameNotes(have.body, want.Body) {
		list = append(list, step{change: Change{What: Edit, Name: want.Tag}})
	}
	for _, a := range have.assets {
		kind, name := parseTemporaryName(a.name)
		switch {
		case kind == "" || used[a.id]:
		case have.named(name).id == 0 && have.newest(kindOld, name, whole) == a.id:
			list = append(list, step{change: Change{What: Restore, Name: name}, asset: a.id})
		default:
			list = append(list, step{change: Change{What: Remove, Name: a.name}, asset: a.id})
		}
	}
	return list
}

// newest returns the id of the asset that was uploaded last of those that an interrupted run has left for a name and
// that fit; 0 if there is none.
func (r *release) newest(kind, name string, fits func(asset) bool) int64 {
	var id int64
	for _, a := range r.assets {
		if k, replaces := parseTemporaryName(a.name); k == kind && replaces == name && fits(a) {
			id = max(id, a.id)
		}
	}
	return id
}

func whole(a asset) bool { return a.whole }
