package registry

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// R8: a registry's answers are not held in memory without bound, nor its links followed anywhere.
func TestHostileAnswers(t *testing.T) {
	answer := func(length int, link string) roundTripper {
		return func(req *http.Request) (*http.Response, error) {
			text := `{"tags":["` + strings.Repeat("a", length) + `"]}`
			if strings.HasSuffix(req.URL.Path, "/v2/") {
				text = "{}"
			}
			return &http.Response{
				StatusCode: http.StatusOK, Request: req, ContentLength: -1,
				Header: http.Header{"Link": {link}}, Body: readCloser{strings.NewReader(text)},
			}, nil
		}
	}
	tests := map[string]struct {
		rt   roundTripper
		want string
	}{
		"large":         {answer(answerLimit, ""), "larger than"},
		"another host":  {answer(1, `<https://evil.test/v2/>; rel="next"`), "another host"},
		"in a circle":   {answer(1, `</v2/me/kmod/tags/list?n=1000>; rel="next"`), "names itself"},
		"without end":   {endless(answer), "pages"},
		"not a link":    {answer(1, `next`), "malformed"},
		"not a bracket": {answer(1, `</v2/`), "malformed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			target, err := NewTarget("registry.test/me/kmod", NewClient(nil, tt.rt, nil))
			if err != nil {
				t.Fatal(err)
			}
			if tags, err := target.Tags(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Tags = %d tags, %v; want an error with %q", len(tags), err, tt.want)
			}
		})
	}
}

// endless is a registry with ever another page.
func endless(answer func(int, string) roundTripper) roundTripper {
	n := 0
	return func(req *http.Request) (*http.Response, error) {
		n++
		return answer(1, fmt.Sprintf(`</v2/me/kmod/tags/list?last=%d>; rel="next"`, n))(req)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// Nothing in a Link header leads to another host or to a crash.
func FuzzNextPage(f *testing.F) {
	for _, seed := range []string{
		"", "<", "<>", `</v2/x?n=1&last=a>; rel="next"`, `<https://evil.test/>`, `<//evil.test/>`, `<x>; rel="prev"`, `<%zz>`,
	} {
		f.Add(seed)
	}
	from, err := url.Parse("https://registry.test/v2/me/kmod/tags/list?n=1000")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, link string) {
		next, err := nextPage(link, from)
		if err == nil && next != nil && (next.Host != from.Host || next.Scheme != from.Scheme) {
			t.Errorf("%q leads to %s", link, next)
		}
	})
}

// R8: an answer that is held in memory is bounded wherever it comes from; a blob is not.
func TestRedirectedAnswers(t *testing.T) {
	large := `{"tags":["` + strings.Repeat("a", answerLimit) + `"]}`
	cdn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, large) // too long for a Content-Length
	}))
	t.Cleanup(cdn.Close)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			http.Redirect(w, r, cdn.URL+"/store/1", http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	for _, repo := range []string{"me/kmod", "me/blobs/kmod"} {
		target := newTestTarget(t, host+"/"+repo, nil)
		if tags, err := target.Tags(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than") {
			t.Errorf("%s: Tags = %d tags, %v; want an error", repo, len(tags), err)
		}
		if _, _, err := target.Stat(t.Context(), testTag); err == nil || !strings.Contains(err.Error(), "larger than") {
			t.Errorf("%s: Stat: error %v", repo, err)
		}
	}
	digest, size, err := v1.SHA256(strings.NewReader(large))
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(host + "/me/kmod")
	if err != nil {
		t.Fatal(err)
	}
	blob, err := newTestClient(t, nil).Blob(t.Context(), repo, v1.Descriptor{Digest: digest, Size: size})
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if n, err := io.Copy(io.Discard, blob); n != size || err != nil {
		t.Errorf("the blob: %d bytes, %v; want %d", n, err, size)
	}
}
