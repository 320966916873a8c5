package registry

import (
	"bytes"
	"io"
	"net/http"
	"strings"
)

// tokenRefresher adds the challenge that some registries omit when a token has expired. ECR Public, whose tokens live
// for an hour, answers 400 and says that the token is invalid; go-containerregistry gets a new token only for 401 with
// a challenge, and a run may last longer than any token.
// https://github.com/aws/containers-roadmap/issues/2835
type tokenRefresher struct{ next http.RoundTripper }

// staleTexts are the messages of registries about expired tokens, in lower case.
var staleTexts = []string{"authorization token is invalid", "authorization token has expired"}

// maxRefusal bounds what is read of a refusal to understand it.
const maxRefusal = 8 << 10

func (t tokenRefresher) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusForbidden {
		return resp, err
	}
	if !strings.HasPrefix(req.Header.Get("Authorization"), "Bearer ") {
		return resp, nil
	}
	start, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // the rest stays to be read
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	resp.Body = &answerBody{reader: io.MultiReader(bytes.NewReader(start), resp.Body), closer: resp.Body}
	// The answer to HEAD has no text. Where the reason was another one, the new token costs one request.
	stale := req.Method == http.MethodHead && resp.StatusCode == http.StatusBadRequest
	for _, text := range staleTexts {
		stale = stale || strings.Contains(strings.ToLower(string(start)), text)
	}
	if stale {
		resp.StatusCode, resp.Status = http.StatusUnauthorized, "401 Unauthorized"
		// The token server is known from the first challenge.
		resp.Header.Set("WWW-Authenticate", `Bearer realm="https://`+req.URL.Host+`/"`)
	}
	return resp, nil
}
