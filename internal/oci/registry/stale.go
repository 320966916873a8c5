package registry

import (
	"bytes"
	"io"
	"net/http"
	"strings"
)

// staleToken makes a challenge of the answer of registries that do not challenge when a token has ended. ECR Public,
// whose tokens live for an hour, answers 400 and says that the token is invalid; go-containerregistry gets a new token
// for 401 with a challenge only, and a run may last longer than any token.
// https://github.com/aws/containers-roadmap/issues/2835
type staleToken struct{ next http.RoundTripper }

// staleTexts are how registries say it, in lower case.
var staleTexts = []string{"authorization token is invalid", "authorization token has expired"}

// maxRefusal bounds what is read of a refusal to understand it.
const maxRefusal = 8 << 10

func (s staleToken) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusForbidden {
		return resp, err
	}
	if !strings.HasPrefix(req.Header.Get("Authorization"), "Bearer ") {
		return resp, nil
	}
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(said), resp.Body), resp.Body}
	// The answer to HEAD has no words. A new token costs one request, where it was something else.
	stale := req.Method == http.MethodHead && resp.StatusCode == http.StatusBadRequest
	for _, text := range staleTexts {
		stale = stale || strings.Contains(strings.ToLower(string(said)), text)
	}
	if stale {
		resp.StatusCode, resp.Status = http.StatusUnauthorized, "401 Unauthorized"
		// Where tokens come from is known from the first challenge.
		resp.Header.Set("WWW-Authenticate", `Bearer realm="https://`+req.URL.Host+`/"`)
	}
	return resp, nil
}
