package github

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	api "github.com/google/go-github/v89/github"

	"neuron-kmod/test/lab/fakegithub"
)

const (
	repository = "example/neuron-kmod"
	tag        = "neuron-driver-2.24.7.0"
)

// world is a forge with a repository, and what a client of it logs and waits.
type world struct {
	*fakegithub.Forge
	url    string
	token  string
	client *http.Client // sends each request once

	mu    sync.Mutex
	log   bytes.Buffer
	ahead time.Duration // of the forge's clock
	waits []time.Duration
}

func newWorld(t *testing.T, o fakegithub.Options, r fakegithub.Repository) *world {
	t.Helper()
	w := &world{}
	o.Now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return time.Now().Add(w.ahead)
	}
	w.Forge = fakegithub.New(o)
	r.Name = repository
	w.AddRepository(r)
	s := httptest.NewServer(w.Forge)
	t.Cleanup(s.Close)
	w.url = s.URL
	w.token = w.AddToken(fakegithub.Token{Repository: repository, Contents: fakegithub.Write})
	w.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return w
}

// Write takes the log.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *world) options() Options {
	return Options{
		API: w.url + "/api/v3", Repository: repository, Token: w.token, HTTP: w.client,
		Log: slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// as makes a client that waits in the forge's time only.
func (w *world) as(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.pause = func(ctx context.Context, d time.Duration) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ahead += d
		w.waits = append(w.waits, d)
		return ctx.Err()
	}
	return c
}

func (w *world) sync(t *testing.T, want Release) (Outcome, error) {
	t.Helper()
	return w.as(t, w.options()).Sync(t.Context(), want)
}

// mustSync fails the test if Sync does, or changes something else than the changes.
func (w *world) mustSync(t *testing.T, want Release, changes ...Change) {
	t.Helper()
	out, err := w.sync(t, want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Outcome{URL: w.url + "/" + repository + "/releases/tag/" + tag, Changes: changes}, out); diff != "" {
		t.Error(diff)
	}
}

// mustTidy fails the test unless the next Sync has no more to do than to remove what was left, and the state is then as it
// is to be.
func (w *world) mustTidy(t *testing.T, want Release, state fakegithub.State) {
	t.Helper()
	diff := "never synced"
	// A server may still be at a request whose client has given up, and what it then makes is the next Sync's to remove.
	for n := 0; n < 2 && diff != ""; n++ {
		out, err := w.sync(t, want)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range out.Changes {
			if c.What != Remove {
				t.Errorf("had to %s", c)
			}
		}
		diff = cmp.Diff(state, w.Snapshot(repository))
	}
	if diff != "" {
		t.Error(diff)
	}
}

// upload adds an asset to the first release, as a person does.
func (w *world) upload(t *testing.T, name, content string) error {
	t.Helper()
	r := w.as(t, w.options()).api.Repositories
	list, _, err := r.ListReleases(t.Context(), "example", "neuron-kmod", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = r.UploadReleaseAssetFromRelease(t.Context(), list[0], &api.UploadOptions{Name: name, MediaType: contentType}, bytes.NewReader([]byte(content)), int64(len(content)))
	return err
}

func sum(content string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))) }

// file is an asset of a release.
func file(name, content string) Asset {
	return Asset{
		Name: name, ContentType: "application/gzip", Size: int64(len(content)), Digest: sum(content),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(content))), nil },
	}
}

// wanted is a release with files of these contents.
func wanted(notes, busybox, source string) Release {
	return Release{
		Tag: tag, Name: "Neuron driver 2.24.7.0", Body: notes, Latest: true,
		Assets: []Asset{file("busybox-1.36.1.tar.gz", busybox), file("source.tar.gz", source)},
	}
}

// holds is a forge with just that release.
func holds(r Release, others ...fakegithub.Asset) fakegithub.State {
	out := fakegithub.Release{Tag: r.Tag, Name: r.Name, Body: r.Body, Latest: r.Latest, Assets: others}
	for _, a := range r.Assets {
		out.Assets = append(out.Assets, fakegithub.Asset{Name: a.Name, ContentType: a.ContentType, State: fakegithub.Uploaded, Size: a.Size, Digest: a.Digest})
	}
	return fakegithub.State{Releases: []fakegithub.Release{out}, Tags: []string{r.Tag}}
}
