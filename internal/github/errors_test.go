package github

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/test/lab/fakegithub"
)

// R7.3, R8.1, R10.2: what a person has to mend is told apart from what may pass, with what to do, and without the token.
func TestSyncErrors(t *testing.T) {
	tests := map[string]struct {
		repository fakegithub.Repository
		set        func(w *world, o *Options)
		credential bool
		text, hint string
		writes     int
	}{
		"no token": {
			set:        func(_ *world, o *Options) { o.Token = "" },
			credential: true, text: "there is no token", hint: "GITHUB_TOKEN or GH_TOKEN",
		},
		"token unknown": {
			set:        func(w *world, _ *Options) { w.Revoke(w.token) },
			credential: true, text: "list the releases: GitHub answers 401 Bad credentials", hint: "the token is wrong",
		},
		"token may only read": {
			set: func(w *world, _ *Options) {
				w.SetToken(w.token, fakegithub.Token{Repository: repository, Contents: fakegithub.Read})
			},
			credential: true, text: "create neuron-driver-2.24.7.0: GitHub answers 403 Resource not accessible", hint: "contents: write", writes: 1,
		},
		"classic token without scope": {
			set: func(w *world, _ *Options) {
				w.SetToken(w.token, fakegithub.Token{Repository: repository, Contents: fakegithub.Read, Classic: true})
			},
			credential: true, text: "create neuron-driver-2.24.7.0: GitHub answers 404 Not Found", hint: "scope repo", writes: 1,
		},
		"single sign-on": {
			set: func(w *world, _ *Options) {
				w.SetFaults(fakegithub.Fault{Status: 403, Message: "Resource protected by organization SAML enforcement.", Header: http.Header{"X-Github-Sso": {"required"}}})
			},
			credential: true, text: "403 Resource protected", hint: "single sign-on",
		},
		"no repository": {
			set:        func(_ *world, o *Options) { o.Repository = "example/other" },
			credential: true, text: "list the releases: GitHub answers 404 Not Found", hint: "example/other in GITHUB_REPOSITORY is right",
		},
		"private repository": {
			repository: fakegithub.Repository{Private: true},
			set: func(w *world, _ *Options) {
				w.SetToken(w.token, fakegithub.Token{Repository: "example/other", Contents: fakegithub.Write})
			},
			credential: true, text: "404 Not Found", hint: "the token may write to it",
		},
		"wrong address of Enterprise": {
			set:        func(w *world, o *Options) { o.API = w.url },
			credential: true, text: "404", hint: "https://HOST/api/v3",
		},
		"a page for people": {
			set:  func(w *world, _ *Options) { w.SetFaults(fakegithub.Fault{Status: 200}) },
			text: "answers with something else than GitHub's API does", hint: "https://HOST/api/v3",
		},
		"GitHub is down": {
			set:  func(w *world, _ *Options) { w.SetFaults(fakegithub.Fault{Status: 503}) },
			text: "GitHub answers 503 Service Unavailable", hint: "githubstatus.com",
		},
		"no network": {
			set:  func(w *world, _ *Options) { w.SetFaults(fakegithub.Fault{}) },
			text: "EOF", hint: "HTTPS_PROXY",
		},
		"a refusal of the transport": {
			set:  func(_ *world, o *Options) { o.HTTP = &http.Client{Transport: noPosts{o.HTTP.Transport}} },
			text: "the proxy says no", hint: "ask the proxy",
		},
		"refused for some reason": {
			set: func(w *world, _ *Options) {
				w.SetFaults(fakegithub.Fault{Method: http.MethodPost, Status: 422, Message: "Repository rule violations found for " + w.token + strings.Repeat("!", 1000)})
			},
			text: "GitHub answers 422 Repository rule violations found for (secret)!!!", hint: "run again", writes: 1,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, fakegithub.Options{}, tt.repository)
			o := w.options()
			tt.set(w, &o)
			_, err := w.as(t, o).Sync(t.Context(), wanted("n", "b", "s"))
			if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.Of(err), tt.hint) {
				t.Fatalf("error %v, advice %q", err, fault.Of(err))
			}
			if _, credential := errors.AsType[*CredentialError](err); credential != tt.credential {
				t.Errorf("a credential's error: %v, want %v", credential, tt.credential)
			}
			if all := err.Error() + fault.Of(err) + w.logged(); strings.Contains(all, w.token) || len(err.Error()) > 600 {
				t.Errorf("the token is shown, or too much: %s", all)
			}
			if got := len(w.Writes()); got != tt.writes || len(w.waits) != 0 {
				t.Errorf("%d writes, want %d, and waits %v", got, tt.writes, w.waits)
			}
		})
	}
}

// noPosts is a transport that knows what to do about POST.
type noPosts struct{ http.RoundTripper }

func (n noPosts) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		return nil, fault.Wrap(errors.New("the proxy says no"), "ask the proxy")
	}
	return n.RoundTripper.RoundTrip(r)
}

// R10.2: a release that lacks nothing can be checked with a token that may only read.
func TestSyncNothingToDoReadOnly(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{Private: true})
	want := wanted("notes", "busybox", "source")
	w.mustSync(t, want, Change{Create, tag})
	w.SetToken(w.token, fakegithub.Token{Repository: repository, Contents: fakegithub.Read})
	w.mustSync(t, want)
}

// R10.2: an asset's content is read without the token, and what opens it is not shown.
func TestContentSecrets(t *testing.T) {
	w := newWorld(t, fakegithub.Options{NoDigests: true}, fakegithub.Repository{Private: true})
	want := wanted("notes", "busybox", "source")
	w.mustSync(t, want, Change{Create, tag})
	w.mustSync(t, want)
	w.SetFaults(fakegithub.Fault{Path: regexp.MustCompile("^/storage/")})
	_, err := w.sync(t, want)
	if err == nil || !strings.Contains(err.Error(), "/storage/") || strings.Contains(err.Error()+w.logged(), "sig=") {
		t.Errorf("error %v, log %s", err, w.logged())
	}
}

// R10.2: the token does not go to another host, wherever the API leads to; where it leads within itself is followed.
func TestRedirects(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	asked := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(elsewhere.Close)
	path := fmt.Sprintf("/api/v3/repos/%s/releases", repository)
	for to, ok := range map[string]bool{elsewhere.URL + path: false, path + "?page=1": true, w.url + path: false} {
		w.Forget()
		w.SetFaults(fakegithub.Fault{Times: 1, Status: 301, Message: "Moved Permanently", Header: http.Header{"Location": {to}}})
		if to == w.url+path {
			w.SetFaults(fakegithub.Fault{Status: 301, Message: "Moved Permanently", Header: http.Header{"Location": {to}}}) // for ever
		}
		_, err := w.as(t, w.options()).Compare(t.Context(), wanted("n", "b", "s"))
		if (err == nil) != ok || (!ok && fault.Of(err) == "") {
			t.Errorf("redirected to %s: error %v, advice %q", to, err, fault.Of(err))
		}
	}
	if asked {
		t.Error("the other host was asked")
	}
}

// What cannot be an address or a repository is refused at once.
func TestNew(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	for api, ok := range map[string]bool{
		"": true, "https://api.github.com": true, "https://api.github.com/": true, "https://github.example.com/api/v3": true,
		"github.example.com": false, "ftp://github.example.com": false, "https://user:hunter2@github.example.com": false, "https://h/?q=1": false, "://": false,
	} {
		o := w.options()
		o.API = api
		if _, err := New(o); (err == nil) != ok || (!ok && (!strings.Contains(fault.Of(err), "/api/v3") || strings.Contains(err.Error(), "hunter2"))) {
			t.Errorf("API %q: error %v, advice %q", api, err, fault.Of(err))
		}
	}
	for name, ok := range map[string]bool{"example/neuron-kmod": true, "": false, "example": false, "/x": false, "x/": false, "a/b/c": false, "a/..": false} {
		o := w.options()
		o.Repository = name
		if _, err := New(o); (err == nil) != ok || (!ok && fault.Of(err) == "") {
			t.Errorf("repository %q: error %v, advice %q", name, err, fault.Of(err))
		}
	}
}

// answer is a transport that answers everything with a body.
type answer struct{ body io.Reader }

func (a answer) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(a.body)}, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// An answer of the API that does not end is cut off; the content of an asset, which has a size of its own, is not.
func TestBounded(t *testing.T) {
	for accept, want := range map[string]int64{"application/json": maxAnswer, contentType: maxAnswer + 1} {
		req := httptest.NewRequest(http.MethodGet, "https://api.github.com", nil)
		req.Header.Set("Accept", accept)
		resp, err := (&boundedTransport{next: answer{zeros{}}}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer+1)); err != nil || got != want {
			t.Errorf("%s: %d bytes, %v; want %d", accept, got, err, want)
		}
	}
}

// An interrupted run ends at once, and with the interruption as its error.
func TestSyncInterrupted(t *testing.T) {
	for n := 1; n <= 5; n++ {
		w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
		ctx, stop := context.WithCancel(t.Context())
		w.SetHook(func(i int, _ *http.Request) {
			if i == n {
				stop()
			}
		})
		_, err := w.as(t, w.options()).Sync(ctx, wanted("n", "b", "s"))
		stop()
		if last := n == 5 && err == nil; !errors.Is(err, context.Canceled) && !last || len(w.waits) != 0 {
			t.Errorf("stopped at request %d: error %v, waits %v", n, err, w.waits)
		}
	}
}
