package fakeauth

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

func TestParse(t *testing.T) {
	tests := []struct {
		method, path string
		want         Request
	}{
		{"GET", "/v2/", Request{Kind: Ping}},
		{"GET", "/v2/a/b/tags/list", Request{Kind: Tags, Repository: "a/b", Reference: "list"}},
		{"HEAD", "/v2/a/manifests/1", Request{Kind: Manifest, Repository: "a", Reference: "1"}},
		{"PUT", "/v2/a/manifests/1", Request{Kind: Manifest, Repository: "a", Reference: "1", Writes: true}},
		{"GET", "/v2/a/blobs/sha256:0", Request{Kind: Blob, Repository: "a", Reference: "sha256:0"}},
		{"GET", "/v2/a/blobs/b/manifests/1", Request{Kind: Manifest, Repository: "a/blobs/b", Reference: "1"}},
		{"POST", "/v2/a/blobs/uploads/", Request{Kind: Upload, Repository: "a", Writes: true}},
		{"PATCH", "/v2/a/blobs/uploads/7", Request{Kind: Upload, Repository: "a", Reference: "7", Writes: true}},
		{"GET", "/v2/_catalog", Request{}},
		{"GET", "/token", Request{}},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, Parse(httptest.NewRequest(tt.method, tt.path, nil))); d != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.method, tt.path, d)
		}
	}
}

// What a door has not looked at does not get past it.
func TestBackend(t *testing.T) {
	r := httptest.NewRequest("POST", "/v2/a/blobs/uploads/?mount=sha256:0&from=b&x=y", nil)
	r.Header.Set("Authorization", "Bearer x")
	got := Backend(r)
	if got.Header.Get("Authorization") != "" || got.URL.RawQuery != "x=y" {
		t.Errorf("header %q, query %q", got.Header.Get("Authorization"), got.URL.RawQuery)
	}
	if r.Header.Get("Authorization") == "" || !r.URL.Query().Has("mount") {
		t.Error("the request itself was changed")
	}
}

// quay starts a Quay with one private and one public repository and returns where it is.
func quay(t *testing.T, now func() time.Time) (*Quay, string) {
	t.Helper()
	q := NewQuay("org+robot", "quay-password", now)
	q.Public = []string{"org/public"}
	s := httptest.NewServer(q.Wrap(registry.New(registry.Logger(log.New(io.Discard, "", 0)))))
	t.Cleanup(s.Close)
	return q, strings.TrimPrefix(s.URL, "http://")
}

func push(t *testing.T, ref string, auth authn.Authenticator) error {
	t.Helper()
	img, err := random.Image(256, 1)
	if err != nil {
		t.Fatal(err)
	}
	return remote.Write(parse(t, ref), img, remote.WithAuth(auth), remote.WithContext(t.Context()))
}

func parse(t *testing.T, ref string) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func pull(t *testing.T, ref string, auth authn.Authenticator) error {
	t.Helper()
	var img v1.Image
	img, err := remote.Image(parse(t, ref), remote.WithAuth(auth), remote.WithContext(t.Context()))
	if err != nil {
		return err
	}
	_, err = img.RawConfigFile()
	return err
}

// expectRefusal fails unless err is a 401 with a text; with an empty text, unless it is nil.
func expectRefusal(t *testing.T, err error, text string) {
	t.Helper()
	var refused *transport.Error
	switch {
	case text == "" && err != nil:
		t.Errorf("error %v, want none", err)
	case text != "" && (!errors.As(err, &refused) || refused.StatusCode != http.StatusUnauthorized ||
		!strings.Contains(err.Error(), text)):
		t.Errorf("error %v, want status 401 with %q", err, text)
	}
}

// R1.3: Quay lets in its account; others to what is public.
func TestQuay(t *testing.T) {
	_, host := quay(t, time.Now)
	right := &authn.Basic{Username: "org+robot", Password: "quay-password"}
	expectRefusal(t, push(t, host+"/org/private:1", right), "")
	expectRefusal(t, push(t, host+"/org/public:1", right), "")
	expectRefusal(t, pull(t, host+"/org/private:1", right), "")

	expectRefusal(t, pull(t, host+"/org/public:1", authn.Anonymous), "")
	expectRefusal(t, pull(t, host+"/org/private:1", authn.Anonymous), "access to the requested resource is not authorized")
	expectRefusal(t, push(t, host+"/org/public:1", authn.Anonymous), "access to the requested resource is not authorized")
	for _, wrong := range []*authn.Basic{
		{Username: "org+robot", Password: "x"}, {Username: "x", Password: "quay-password"},
	} {
		expectRefusal(t, pull(t, host+"/org/public:1", wrong), "Invalid Username or Password")
	}
}

// A token ends, and what it was for is among the secrets: R10.2.
func TestQuayTokens(t *testing.T) {
	var ahead atomic.Int64
	q, host := quay(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	q.Life = time.Minute
	get := func(path string, prepare func(*http.Request)) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		prepare(req)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	resp := get(
		"/v2/auth?service=quay.io&scope=repository:org/private:pull,push",
		func(r *http.Request) { r.SetBasicAuth(q.User, q.Password) },
	)
	var answer struct {
		Token string
		Life  int `json:"expires_in"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Life != 60 {
		t.Fatalf("%+v, error %v", answer, err)
	}
	if !slices.Contains(q.Secrets(), answer.Token) || !slices.Contains(q.Secrets(), "quay-password") {
		t.Errorf("secrets %q", q.Secrets())
	}
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+answer.Token) }
	if resp := get("/v2/", bearer); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d with a good token", resp.StatusCode)
	}
	if resp := get("/v2/org/other/manifests/1", bearer); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d with another repository's token", resp.StatusCode)
	}
	ahead.Store(int64(time.Minute))
	resp = get("/v2/", bearer)
	want := `Bearer realm="http://` + host + `/v2/auth",service="quay.io"`
	if got := resp.Header.Get("Www-Authenticate"); resp.StatusCode != http.StatusUnauthorized || got != want {
		t.Errorf("status %d, challenge %s; want 401, %s", resp.StatusCode, got, want)
	}
}
