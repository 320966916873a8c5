package fakegithub

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-github/v89/github"
)

// R7.3: a release from its draft to its end. A draft has no tag yet and is not found by it.
func TestReleaseLife(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := newWorld(t, Options{Now: func() time.Time { return at }}, Repository{})
	c := w.client.Repositories
	draft := w.create(t, github.CreateReleaseRequest{TagName: "v1", Draft: new(true), Body: new("soon")})
	if !draft.Draft || draft.PublishedAt != nil || !strings.Contains(draft.HTMLURL, "untagged-") ||
		!strings.HasPrefix(draft.UploadURL, w.url+"/api/uploads/repos/example/neuron-kmod/") {
		t.Errorf("draft %+v", draft)
	}
	_, _, err := c.GetReleaseByTag(t.Context(), owner, repo, "v1")
	expect(t, err, http.StatusNotFound, "Not Found")
	if tags := w.Snapshot(name).Tags; len(tags) != 0 {
		t.Errorf("a draft has made the tags %v", tags)
	}

	update := github.UpdateReleaseRequest{Draft: new(false), Name: new("One"), Body: new("done"), MakeLatest: new("true")}
	if _, _, err := c.UpdateRelease(t.Context(), owner, repo, draft.ID, update); err != nil {
		t.Fatal(err)
	}
	got, _, err := c.GetReleaseByTag(t.Context(), owner, repo, "v1")
	if err != nil || got.ID != draft.ID || got.Draft || !got.PublishedAt.Equal(github.Timestamp{Time: at}) ||
		!strings.HasSuffix(got.HTMLURL, "/releases/tag/v1") {
		t.Errorf("published %+v, %v", got, err)
	}
	want := State{Releases: []Release{{Tag: "v1", Name: "One", Body: "done", Latest: true}}, Tags: []string{"v1"}}
	if diff := cmp.Diff(want, w.Snapshot(name)); diff != "" {
		t.Error(diff)
	}
	if _, err := c.DeleteRelease(t.Context(), owner, repo, draft.ID); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(State{Tags: []string{"v1"}}, w.Snapshot(name)); diff != "" {
		t.Error(diff)
	}
	_, err = c.DeleteRelease(t.Context(), owner, repo, draft.ID)
	expect(t, err, http.StatusNotFound, "Not Found")
}

// R7.3: only one published release can have a tag; drafts can share it, with each other and with that one.
func TestOneReleaseForTag(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	c := w.client.Repositories
	var drafts []int64
	for range 2 {
		drafts = append(drafts, w.create(t, github.CreateReleaseRequest{TagName: "v1", Draft: new(true)}).ID)
	}
	publish := github.UpdateReleaseRequest{Draft: new(false), Body: new("published")}
	_, _, err := c.UpdateRelease(t.Context(), owner, repo, drafts[0], publish)
	expect(t, err, 0, "")
	_, _, err = c.UpdateRelease(t.Context(), owner, repo, drafts[1], publish)
	expect(t, err, http.StatusUnprocessableEntity, "Code:already_exists")
	_, _, err = c.CreateRelease(t.Context(), owner, repo, github.CreateReleaseRequest{TagName: "v1"})
	expect(t, err, http.StatusUnprocessableEntity, "Field:tag_name Code:already_exists")
	w.create(t, github.CreateReleaseRequest{TagName: "v1", Draft: new(true), Body: new("third")})
	want := State{Tags: []string{"v1"}, Releases: []Release{
		{Tag: "v1", Body: "published", Latest: true}, {Tag: "v1", Draft: true}, {Tag: "v1", Draft: true, Body: "third"},
	}}
	if diff := cmp.Diff(want, w.Snapshot(name)); diff != "" {
		t.Error(diff)
	}
	_, _, err = c.CreateRelease(t.Context(), owner, repo, github.CreateReleaseRequest{})
	expect(t, err, http.StatusUnprocessableEntity, "Code:missing_field")
}

// R7.1: notes have at most 125,000 characters, not bytes.
func TestNotesLimit(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	longest := strings.Repeat("é", 125_000)
	r := w.create(t, github.CreateReleaseRequest{TagName: "v1", Body: &longest})
	longer := longest + "x"
	_, _, err := w.client.Repositories.UpdateRelease(
		t.Context(), owner, repo, r.ID, github.UpdateReleaseRequest{Body: &longer, Name: new("new")},
	)
	expect(t, err, http.StatusUnprocessableEntity, "body is too long (maximum is 125000 characters)")
	_, _, err = w.client.Repositories.CreateRelease(
		t.Context(), owner, repo, github.CreateReleaseRequest{TagName: "v2", Body: &longer},
	)
	expect(t, err, http.StatusUnprocessableEntity, "body is too long")
	if got := w.Snapshot(name).Releases; len(got) != 1 || got[0].Name != "" {
		t.Errorf("a refused request has changed something: %d releases, name %q", len(got), got[0].Name)
	}
}

// The latest release is the last that was published, unless its publisher says otherwise.
func TestLatest(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	c := w.client.Repositories
	_, _, err := c.GetLatestRelease(t.Context(), owner, repo)
	expect(t, err, http.StatusNotFound, "Not Found")
	for _, in := range []github.CreateReleaseRequest{
		{TagName: "v1"}, {TagName: "v2"}, {TagName: "v0", MakeLatest: new("false")}, {TagName: "v3", Draft: new(true)},
	} {
		w.create(t, in)
	}
	if r, _, err := c.GetLatestRelease(t.Context(), owner, repo); err != nil || r.TagName != "v2" {
		t.Errorf("latest is %+v, %v; want v2", r, err)
	}
}

// Lists come in pages of at most 100, 30 if nothing is said, the newest first; links lead from one to the next.
func TestPages(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	for range 205 {
		w.create(t, github.CreateReleaseRequest{TagName: "v1", Draft: new(true)})
	}
	list := func(o *github.ListOptions) ([]*github.RepositoryRelease, *github.Response) {
		t.Helper()
		got, resp, err := w.client.Repositories.ListReleases(t.Context(), owner, repo, o)
		if err != nil {
			t.Fatal(err)
		}
		return got, resp
	}
	if got, _ := list(nil); len(got) != 30 {
		t.Errorf("%d on a page of no given size, want 30", len(got))
	}
	seen, o := map[int64]bool{}, &github.ListOptions{PerPage: 1000}
	for pages := 1; ; pages++ {
		got, resp := list(o)
		if len(got) > 100 {
			t.Fatalf("%d on a page", len(got))
		}
		for _, r := range got {
			seen[r.ID] = true
		}
		if resp.NextPage == 0 {
			if pages != 3 || len(seen) != 205 || resp.PrevPage != 2 || resp.FirstPage != 1 {
				t.Errorf("%d pages with %d releases, the last says %+v", pages, len(seen), resp)
			}
			break
		}
		o.Page = resp.NextPage
	}
	if got, resp := list(&github.ListOptions{Page: 99}); len(got) != 0 || resp.NextPage != 0 {
		t.Errorf("behind the end there are %d releases and the next page %d", len(got), resp.NextPage)
	}
}

// R7.3: in a repository with immutable releases nothing of what is published can be changed but its name and notes.
func TestImmutable(t *testing.T) {
	w := newWorld(t, Options{}, Repository{Immutable: true})
	c := w.client.Repositories
	r := w.create(t, github.CreateReleaseRequest{TagName: "v1", Draft: new(true)})
	a, err := w.upload(t.Context(), r, "a.tar.gz", "content")
	expect(t, err, 0, "")
	r, _, err = c.UpdateRelease(t.Context(), owner, repo, r.ID, github.UpdateReleaseRequest{Draft: new(false)})
	if err != nil || !*r.Immutable {
		t.Fatalf("%+v, %v", r, err)
	}
	_, err = w.upload(t.Context(), r, "b.tar.gz", "content")
	expect(t, err, http.StatusUnprocessableEntity, "Cannot upload assets to an immutable release.")
	_, err = c.DeleteReleaseAsset(t.Context(), owner, repo, a.GetID())
	expect(t, err, http.StatusUnprocessableEntity, "immutable")
	_, _, err = c.UpdateReleaseAsset(t.Context(), owner, repo, a.GetID(), github.UpdateReleaseAssetRequest{Name: new("c")})
	expect(t, err, http.StatusUnprocessableEntity, "immutable")
	_, _, err = c.UpdateRelease(t.Context(), owner, repo, r.ID, github.UpdateReleaseRequest{TagName: new("v2")})
	expect(t, err, http.StatusUnprocessableEntity, "immutable")
	_, _, err = c.UpdateRelease(t.Context(), owner, repo, r.ID, github.UpdateReleaseRequest{Body: new("better")})
	expect(t, err, 0, "")
}
