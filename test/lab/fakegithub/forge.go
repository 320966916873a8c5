// Package fakegithub is a stand-in for what the product uses of GitHub: the releases of repositories and their assets,
// as the unmodified go-github client speaks to them.
//
// It keeps state and enforces the real rules: who may see and change what, unique tags and names, limits of size,
// uploads that break off and leave half an asset, rate limits. It is for tests of any package and for the lab; the
// product never imports it.
//
// Start a server with a Forge as its handler. It is laid out as GitHub Enterprise is: the API under /api/v3, uploads
// under /api/uploads.
package fakegithub

import (
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options say what a forge is. The zero value is good.
type Options struct {
	MaxAsset  int64            // bytes; 2 GiB if zero
	NoDigests bool             // answers have no digests of assets, as those of older Enterprise servers
	Now       func() time.Time // the forge's clock; the real one if nil
}

// Repository is a place for releases.
type Repository struct {
	Name      string // OWNER/NAME
	Private   bool
	Immutable bool // what is published can no longer be changed, except for its name and notes
}

// Forge is the state of one GitHub. It may be used by many goroutines.
type Forge struct {
	maxAsset  int64
	noDigests bool
	now       func() time.Time

	mu           sync.Mutex
	repositories map[string]*repository // by lower-case name
	tokens       map[string]Token       // by the secret
	lastID       int64
	rate         rate
	faults       []*Fault
	hook         func(n int, r *http.Request)
	started      int // requests since the last Forget
	calls        []Call
}

type repository struct {
	Repository
	releases []*release      // the newest last
	tags     map[string]bool // of git
	latest   int64           // id of the release that is shown as the latest; 0 if none is
}

type release struct {
	id                   int64
	tag, target          string
	name, body           string
	draft, prerelease    bool
	immutable            bool
	created, publishedAt time.Time
	assets               []*asset
}

// States of an asset.
const (
	Starter  = "starter"  // its upload is not done, or never will be
	Uploaded = "uploaded" // it is whole
)

type asset struct {
	id          int64
	signature   string // that opens its content
	name, label string
	contentType string
	state       string
	content     []byte // nil for a starter
	created     time.Time
}

// New returns a forge without repositories and tokens.
func New(o Options) *Forge {
	f := &Forge{
		maxAsset: o.MaxAsset, noDigests: o.NoDigests, now: o.Now,
		repositories: map[string]*repository{},
		tokens:       map[string]Token{},
		rate:         rate{limit: hourly, remaining: hourly},
	}
	if f.maxAsset == 0 {
		f.maxAsset = 2 << 30
	}
	if f.now == nil {
		f.now = time.Now
	}
	return f
}

// AddRepository adds a repository without releases.
func (f *Forge) AddRepository(r Repository) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.repositories[strings.ToLower(r.Name)] = &repository{Repository: r, tags: map[string]bool{}}
}

// repository finds a repository by OWNER/NAME, in which upper and lower case are the same; nil if there is none.
func (f *Forge) repository(name string) *repository { return f.repositories[strings.ToLower(name)] }

// newID is an id that nothing else has.
func (f *Forge) newID() int64 {
	f.lastID++
	return f.lastID
}

// newAsset is an asset whose content is still to come.
func (f *Forge) newAsset(name, label, contentType string) *asset {
	return &asset{
		id: f.newID(), signature: rand.Text(), name: name, label: label, contentType: contentType,
		state: Starter, created: f.now(),
	}
}

// published returns the release that has a tag; nil if there is none. Drafts do not have theirs yet.
func (r *repository) published(tag string) *release {
	for _, rel := range r.releases {
		if !rel.draft && rel.tag == tag {
			return rel
		}
	}
	return nil
}

func (r *repository) byID(id int64) *release {
	for _, rel := range r.releases {
		if rel.id == id {
			return rel
		}
	}
	return nil
}

// asset finds an asset and the release that it belongs to.
func (r *repository) asset(id int64) (*release, *asset) {
	for _, rel := range r.releases {
		for _, a := range rel.assets {
			if a.id == id {
				return rel, a
			}
		}
	}
	return nil, nil
}

func (r *release) named(name string) *asset {
	for _, a := range r.assets {
		if a.name == name {
			return a
		}
	}
	return nil
}
