package registrytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// authenticator decides about requests; it has answered those that it refuses.
type authenticator interface {
	admit(s *Server, w http.ResponseWriter, r *http.Request) bool
}

func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.auth == nil || s.auth.admit(s, w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// BasicAuth makes the server ask for a user and a password with every request.
func BasicAuth(user, password string) Option {
	return func(s *settings) { s.server.auth = basicAuth{user, password} }
}

type basicAuth struct{ user, password string }

func (b basicAuth) admit(_ *Server, w http.ResponseWriter, r *http.Request) bool {
	if user, password, _ := r.BasicAuth(); user == b.user && password == b.password {
		return true
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
	problem(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

// TokenAuth makes the server ask for tokens, which its own token server gives to a user with a password: for everything
// that is asked for to writers, for reading alone to others. The first three tokens are good for uses requests each, as
// if they expired in the middle of work; later ones for ever. Zero means that all are good for ever.
// https://distribution.github.io/distribution/spec/auth/token/
func TokenAuth(user, password string, writer bool, uses int) Option {
	return func(s *settings) {
		account := basicAuth{user: user, password: password}
		s.server.auth = &tokenAuth{account: account, writer: writer, uses: uses, tokens: map[string]*token{}}
	}
}

// NoChallenge makes the server of TokenAuth refuse a token that has ended as ECR Public does: with 400 and no
// challenge.
func NoChallenge() Option {
	return func(s *settings) { s.server.noChallenge = true }
}

type tokenAuth struct {
	account basicAuth
	writer  bool
	uses    int

	mu     sync.Mutex
	tokens map[string]*token
}

type token struct {
	scopes map[string]bool // "repository:NAME:ACTION"
	uses   int             // that are left; negative means any number
}

func (a *tokenAuth) admit(s *Server, w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path == "/token" {
		a.issue(w, r)
		return false
	}
	scope := scopeOf(r)
	if a.valid(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), scope) {
		return true
	}
	if s.noChallenge && r.Header.Get("Authorization") != "" {
		problem(w, http.StatusBadRequest, "DENIED", "Your Authorization Token is invalid.")
		return false
	}
	challenge := fmt.Sprintf(`Bearer realm="%s/token",service="test"`, s.URL)
	if scope != "" {
		challenge += fmt.Sprintf(",scope=%q", scope)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	problem(w, http.StatusUnauthorized, "UNAUTHORIZED", "a token is required")
	return false
}

// scopeOf returns the scope that a request needs, "" for the ping.
func scopeOf(r *http.Request) string {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/"} {
		repo, _, ok := strings.Cut(path, part)
		if !ok {
			continue
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return "repository:" + repo + ":pull"
		}
		return "repository:" + repo + ":push"
	}
	return ""
}

func (a *tokenAuth) valid(id, scope string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tokens[id]
	if t == nil || (scope != "" && !t.scopes[scope]) || t.uses == 0 {
		return false
	}
	t.uses--
	return true
}

func (a *tokenAuth) issue(w http.ResponseWriter, r *http.Request) {
	if user, password, _ := r.BasicAuth(); user != a.account.user || password != a.account.password {
		problem(w, http.StatusUnauthorized, "UNAUTHORIZED", "wrong user or password")
		return
	}
	t := &token{scopes: map[string]bool{}, uses: -1}
	for _, scope := range r.URL.Query()["scope"] {
		at := strings.LastIndexByte(scope, ':')
		for action := range strings.SplitSeq(scope[at+1:], ",") {
			if action == "pull" || a.writer {
				t.scopes[scope[:at+1]+action] = true
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tokens) < 3 && a.uses > 0 {
		t.uses = a.uses
	}
	id := fmt.Sprintf("token-%d", len(a.tokens))
	a.tokens[id] = t
	_ = json.NewEncoder(w).Encode(map[string]string{"token": id})
}
