package fakegithub

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-github/v89/github"
)

func sum(content string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))) }

// R7.3: an asset from its upload to its end.
func TestAssetLife(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	c := w.client.Repositories
	r := w.create(t, github.CreateReleaseRequest{TagName: "v1"})
	a, err := w.upload(t.Context(), r, "a.tar.gz", "content")
	if err != nil || a.GetState() != Uploaded || a.GetSize() != 7 || a.GetDigest() != sum("content") ||
		a.GetContentType() != "application/gzip" {
		t.Fatalf("%+v, %v", a, err)
	}
	b, err := w.upload(t.Context(), r, "b.tar.gz", "other")
	expect(t, err, 0, "")
	_, err = w.upload(t.Context(), r, "a.tar.gz", "again")
	expect(t, err, http.StatusUnprocessableEntity, "Resource:ReleaseAsset Field:name Code:already_exists")

	name := func(to string) error {
		_, _, err := c.UpdateReleaseAsset(t.Context(), owner, repo, b.GetID(), github.UpdateReleaseAssetRequest{Name: &to})
		return err
	}
	expect(t, name("a.tar.gz"), http.StatusUnprocessableEntity, "Code:already_exists")
	expect(t, name("b.tar.gz"), 0, "")
	expect(t, name("c.tar.gz"), 0, "")
	_, err = c.DeleteReleaseAsset(t.Context(), owner, repo, a.GetID())
	expect(t, err, 0, "")
	_, err = c.DeleteReleaseAsset(t.Context(), owner, repo, a.GetID())
	expect(t, err, http.StatusNotFound, "Not Found")
	_, _, err = c.GetReleaseAsset(t.Context(), owner, repo, a.GetID())
	expect(t, err, http.StatusNotFound, "Not Found")
	got, _, err := c.GetReleaseAsset(t.Context(), owner, repo, b.GetID())
	if err != nil || got.GetName() != "c.tar.gz" {
		t.Errorf("%+v, %v", got, err)
	}
	list, _, err := c.ListReleaseAssets(t.Context(), owner, repo, r.ID, nil)
	if err != nil || len(list) != 1 {
		t.Errorf("list %v, %v", list, err)
	}
	want := []Asset{{Name: "c.tar.gz", ContentType: "application/gzip", State: Uploaded, Size: 5, Digest: sum("other")}}
	if diff := cmp.Diff(want, w.Snapshot("example/neuron-kmod").Releases[0].Assets); diff != "" {
		t.Error(diff)
	}
}

// What cannot be an asset is refused, and leaves nothing.
func TestUploadRefused(t *testing.T) {
	w := newWorld(t, Options{MaxAsset: 10}, Repository{})
	r := w.create(t, github.CreateReleaseRequest{TagName: "v1"})
	tests := map[string]struct {
		name, media, content string
		size                 int64
		status               int
		text                 string
	}{
		"largest":   {"a", "text/plain", "0123456789", 10, 0, ""},
		"too large": {"b", "text/plain", "0123456789x", 11, 422, "size must be less than or equal to 10"},
		"empty":     {"c", "text/plain", "", 0, 422, "size must be greater than or equal to 1"},
		"no size":   {"d", "text/plain", "x", -1, 400, "Bad Content-Length"},
		"no name":   {"", "text/plain", "x", 1, 422, "Code:missing_field"},
		"no type":   {"e", "", "x", 1, 400, "Content-Type"},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			u := fmt.Sprintf("repos/%s/releases/%d/assets?name=%s", name, r.ID, tt.name)
			req, err := w.client.NewUploadRequest(t.Context(), u, strings.NewReader(tt.content), tt.size, "x/y")
			if err != nil {
				t.Fatal(err)
			}
			if req.Header.Set("Content-Type", tt.media); tt.media == "" {
				req.Header.Del("Content-Type")
			}
			if tt.size == 0 {
				req.Body = http.NoBody // else the size is unknown
			}
			_, err = w.client.Do(req, nil)
			expect(t, err, tt.status, tt.text)
		})
	}
	if got := w.Snapshot(name).Releases[0].Assets; len(got) != 1 || got[0].Name != "a" {
		t.Errorf("assets %+v", got)
	}
	_, err := w.upload(
		t.Context(), &github.RepositoryRelease{UploadURL: strings.Replace(r.UploadURL, "/releases/", "/releases/99", 1)},
		"f", "x",
	)
	expect(t, err, http.StatusNotFound, "Not Found")
	reader := w.as(t, w.AddToken(Token{Repository: name, Contents: Read}))
	_, _, err = reader.Repositories.UploadReleaseAssetFromRelease(
		t.Context(), r, &github.UploadOptions{Name: "g"}, strings.NewReader("x"), 1,
	)
	expect(t, err, http.StatusForbidden, "Resource not accessible")
}

// GitHub does not keep odd characters in names.
func TestOddNames(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	r := w.create(t, github.CreateReleaseRequest{TagName: "v1"})
	for asked, want := range map[string]string{
		"neuron-2.24.7.0_modified+source.tar.gz": "neuron-2.24.7.0_modified+source.tar.gz",
		"two words.txt":                          "two.words.txt",
		".env":                                   "default.env",
		"end.":                                   "end",
	} {
		if a, err := w.upload(t.Context(), r, asked, "x"); err != nil || a.GetName() != want {
			t.Errorf("%q is called %q, %v; want %q", asked, a.GetName(), err, want)
		}
	}
}

// R7.3: an upload that breaks off leaves a starter. It has no digest and no content, and takes the name.
func TestStarter(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	c := w.client.Repositories
	r := w.create(t, github.CreateReleaseRequest{TagName: "v1"})
	w.SetFaults(Fault{Method: http.MethodPost, Times: 1, Half: true, Status: http.StatusBadGateway})
	_, err := w.upload(t.Context(), r, "spoilt", "content")
	expect(t, err, http.StatusBadGateway, "")
	_, err = w.upload(t.Context(), r, "spoilt", "content")
	expect(t, err, http.StatusUnprocessableEntity, "Code:already_exists")

	list, _, err := c.ListReleaseAssets(t.Context(), owner, repo, r.ID, nil)
	if err != nil || len(list) != 1 || list[0].GetState() != Starter || list[0].Digest != nil {
		t.Fatalf("%v, %v; want a starter", list, err)
	}
	_, _, err = c.DownloadReleaseAsset(t.Context(), owner, repo, list[0].GetID(), http.DefaultClient)
	expect(t, err, http.StatusNotFound, "Not Found")
	_, err = c.DeleteReleaseAsset(t.Context(), owner, repo, list[0].GetID())
	expect(t, err, 0, "")
	_, err = w.upload(t.Context(), r, "spoilt", "content")
	expect(t, err, 0, "")
}

// R7.3: a sender that goes away leaves a starter as well.
func TestCutUpload(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	r := w.create(t, github.CreateReleaseRequest{TagName: "v1"})
	begun := make(chan struct{})
	w.SetHook(func(int, *http.Request) { close(begun) })
	cut := io.MultiReader(strings.NewReader("half"), waiting{begun}, iotest.ErrReader(errors.New("cut")))
	_, _, err := w.client.Repositories.UploadReleaseAssetFromRelease(
		t.Context(), r, &github.UploadOptions{Name: "cut"}, cut, 1000,
	)
	if err == nil {
		t.Error("an upload that was cut has succeeded")
	}
	w.server.Close() // waits until the forge has done with it
	want := []Asset{{Name: "cut", ContentType: "application/octet-stream", State: Starter}}
	if diff := cmp.Diff(want, w.Snapshot(name).Releases[0].Assets); diff != "" {
		t.Error(diff)
	}
}

// waiting is empty, and ends when the channel is closed.
type waiting struct{ until <-chan struct{} }

func (w waiting) Read([]byte) (int, error) {
	<-w.until
	return 0, io.EOF
}

// A half upload whose asset is deleted meanwhile does not come back.
func TestUploadOfDeleted(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	r := w.create(t, github.CreateReleaseRequest{TagName: "v1", Draft: new(true)})
	inside, body := io.Pipe()
	go func() { // ends with the pipe
		_, _ = body.Write([]byte("half"))
		_, _ = w.client.Repositories.DeleteRelease(t.Context(), owner, repo, r.ID)
		_, _ = body.Write([]byte("done"))
		body.Close()
	}()
	_, _, err := w.client.Repositories.UploadReleaseAssetFromRelease(
		t.Context(), r, &github.UploadOptions{Name: "a"}, inside, 8,
	)
	expect(t, err, http.StatusNotFound, "Not Found")
	if got := w.Snapshot(name); len(got.Releases) != 0 {
		t.Errorf("%+v", got)
	}
}

// R7.3: contents are fetched from a storage that wants no token, by the API or by the address for browsers.
func TestDownload(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	r := w.create(t, github.CreateReleaseRequest{TagName: "v1", Draft: new(true)})
	a, err := w.upload(t.Context(), r, "a.tar.gz", "content")
	expect(t, err, 0, "")
	c := w.client.Repositories
	rc, at, err := c.DownloadReleaseAsset(t.Context(), owner, repo, a.GetID(), nil)
	if err != nil || rc != nil || !strings.HasPrefix(at, w.url+"/storage/") {
		t.Fatalf("redirected to %q, %v", at, err)
	}
	if status, text := get(t, at, ""); status != 200 || text != "content" {
		t.Errorf("%d %q", status, text)
	}
	if status, _ := get(t, at+"x", ""); status != 404 {
		t.Errorf("with a wrong signature: %d, want 404", status)
	}
	if status, _ := get(t, at, w.token); status != 400 {
		t.Errorf("a token at the storage: %d, want 400", status)
	}
	page := w.url + "/" + name + "/releases/download/v1/a.tar.gz"
	if status, _ := get(t, page, ""); status != 404 {
		t.Errorf("a draft's asset: %d, want 404", status)
	}
	published := github.UpdateReleaseRequest{Draft: new(false)}
	if _, _, err := c.UpdateRelease(t.Context(), owner, repo, r.ID, published); err != nil {
		t.Fatal(err)
	}
	if status, text := get(t, page, ""); status != 200 || text != "content" {
		t.Errorf("%d %q", status, text)
	}
	if status, _ := get(t, page+"x", ""); status != 404 {
		t.Errorf("no asset: %d, want 404", status)
	}
}

// What is private is not for browsers that nobody has logged in with, whatever their token.
func TestDownloadPrivate(t *testing.T) {
	w := newWorld(t, Options{}, Repository{Private: true})
	r := w.create(t, github.CreateReleaseRequest{TagName: "v1"})
	a, err := w.upload(t.Context(), r, "a.tar.gz", "content")
	expect(t, err, 0, "")
	if status, _ := get(t, a.GetBrowserDownloadURL(), w.token); status != 404 {
		t.Errorf("by the browser's address: %d, want 404", status)
	}
	rc, _, err := w.client.Repositories.DownloadReleaseAsset(t.Context(), owner, repo, a.GetID(), http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if text, err := io.ReadAll(rc); err != nil || string(text) != "content" {
		t.Errorf("by the API: %q, %v", text, err)
	}
}

// get asks as a browser does, with a token if there is one.
func get(t *testing.T, url, token string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// Older Enterprise servers tell no digests.
func TestNoDigests(t *testing.T) {
	w := newWorld(t, Options{NoDigests: true}, Repository{})
	r := w.create(t, github.CreateReleaseRequest{TagName: "v1"})
	if a, err := w.upload(t.Context(), r, "a", "content"); err != nil || a.Digest != nil || a.GetSize() != 7 {
		t.Errorf("%+v, %v", a, err)
	}
}
