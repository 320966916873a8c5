package fakegithub

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-github/v89/github"
)

const (
	owner = "example"
	repo  = "neuron-kmod"
	name  = owner + "/" + repo
)

// world is a forge with one repository, and a client that may write to it.
type world struct {
	*Forge
	server *httptest.Server
	url    string
	token  string
	client *github.Client
}

func newWorld(t *testing.T, o Options, r Repository) *world {
	t.Helper()
	f := New(o)
	r.Name = name
	f.AddRepository(r)
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	w := &world{Forge: f, server: s, url: s.URL, token: f.AddToken(Token{Repository: name, Contents: Write})}
	w.client = w.as(t, w.token)
	return w
}

// as is the unmodified client with a token; without one if it is empty. It leaves rate limits to the server.
func (w *world) as(t *testing.T, token string) *github.Client {
	t.Helper()
	o := []github.ClientOptionsFunc{github.WithEnterpriseURLs(w.url, w.url), github.WithDisableRateLimitCheck()}
	if token != "" {
		o = append(o, github.WithAuthToken(token))
	}
	c, err := github.NewClient(o...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// create makes a release and fails the test if that does not go.
func (w *world) create(t *testing.T, in github.CreateReleaseRequest) *github.RepositoryRelease {
	t.Helper()
	r, _, err := w.client.Repositories.CreateRelease(t.Context(), owner, repo, in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) upload(
	ctx context.Context, r *github.RepositoryRelease, name, content string,
) (*github.ReleaseAsset, error) {
	options := &github.UploadOptions{Name: name, MediaType: "application/gzip"}
	body, size := strings.NewReader(content), int64(len(content))
	a, _, err := w.client.Repositories.UploadReleaseAssetFromRelease(ctx, r, options, body, size)
	return a, err
}

// expect fails unless err is an answer with a status and a text in its message; with status 0, unless it is nil.
func expect(t *testing.T, err error, status int, text string) {
	t.Helper()
	if status == 0 {
		if err != nil {
			t.Errorf("error %v, want none", err)
		}
		return
	}
	var refused *github.ErrorResponse
	if !errors.As(err, &refused) || refused.Response.StatusCode != status || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want %d with %q", err, status, text)
	}
}

// R7.3: who may see and change what.
func TestAccess(t *testing.T) {
	tests := map[string]struct {
		private     bool
		token       *Token // nil is no token
		read, write int    // the status of a refusal; 0 if there is none
		drafts      bool   // can be seen
		text        string // in the refusal to write
	}{
		"anonymous":          {write: 401, text: "Requires authentication"},
		"anonymous, private": {private: true, read: 404, write: 404},
		"read": {
			token: &Token{Repository: name, Contents: Read}, write: 403, text: "Resource not accessible by integration",
		},
		"read, private":  {private: true, token: &Token{Repository: name, Contents: Read}, write: 403},
		"none":           {token: &Token{Repository: name}, write: 403},
		"none, private":  {private: true, token: &Token{Repository: name}, read: 404, write: 404},
		"write":          {token: &Token{Repository: name, Contents: Write}, drafts: true},
		"write, private": {private: true, token: &Token{Repository: name, Contents: Write}, drafts: true},
		"elsewhere":      {token: &Token{Repository: "example/other", Contents: Write}, write: 403},
		"elsewhere, private": {
			private: true, token: &Token{Repository: "example/other", Contents: Write}, read: 404, write: 404,
		},
		"classic, no scope":   {token: &Token{Repository: name, Contents: Read, Classic: true}, write: 404},
		"classic, everything": {private: true, token: &Token{Contents: Write, Classic: true}, drafts: true},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t, Options{}, Repository{Private: tt.private})
			published := w.create(t, github.CreateReleaseRequest{TagName: "one"})
			draft := w.create(t, github.CreateReleaseRequest{TagName: "two", Draft: new(true)})
			before := w.Snapshot(name)

			secret := ""
			if tt.token != nil {
				secret = w.AddToken(*tt.token)
			}
			c := w.as(t, secret).Repositories
			list, _, err := c.ListReleases(t.Context(), owner, repo, nil)
			expect(t, err, tt.read, "Not Found")
			if want := map[bool]int{false: 1, true: 2}[tt.drafts]; tt.read == 0 && len(list) != want {
				t.Errorf("%d releases are listed, want %d", len(list), want)
			}
			_, _, err = c.GetRelease(t.Context(), owner, repo, published.ID)
			expect(t, err, tt.read, "Not Found")
			_, _, err = c.GetRelease(t.Context(), owner, repo, draft.ID)
			_, _, assetsErr := c.ListReleaseAssets(t.Context(), owner, repo, draft.ID, nil)
			if status := map[bool]int{false: 404, true: 0}[tt.drafts]; true {
				expect(t, err, status, "Not Found")
				expect(t, assetsErr, status, "Not Found")
			}
			_, _, err = c.UpdateRelease(
				t.Context(), owner, repo, published.ID, github.UpdateReleaseRequest{Body: new("changed")},
			)
			expect(t, err, tt.write, tt.text)
			if changed := w.Snapshot(name).Releases[0].Body != before.Releases[0].Body; changed != (tt.write == 0) {
				t.Errorf("the release was changed: %v", changed)
			}
		})
	}
}

// R7.3: a token that is not known is refused even where none is needed, and so is the right one for what is not there.
func TestAuthentication(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	_, _, err := w.as(t, "ghs_wrong").Repositories.ListReleases(t.Context(), owner, repo, nil)
	expect(t, err, http.StatusUnauthorized, "Bad credentials")
	_, _, err = w.client.Repositories.ListReleases(t.Context(), "Example", "Neuron-Kmod", nil)
	expect(t, err, 0, "")
	_, _, err = w.client.Repositories.ListReleases(t.Context(), owner, "other", nil)
	expect(t, err, http.StatusNotFound, "Not Found")
	w.SetToken(w.token, Token{Repository: name, Contents: Read})
	_, _, err = w.client.Repositories.CreateRelease(t.Context(), owner, repo, github.CreateReleaseRequest{TagName: "t"})
	expect(t, err, http.StatusForbidden, "Resource not accessible")
	w.Revoke(w.token)
	_, _, err = w.client.Repositories.ListReleases(t.Context(), owner, repo, nil)
	expect(t, err, http.StatusUnauthorized, "Bad credentials")
}
