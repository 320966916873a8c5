package fakegithub

import (
	"crypto/rand"
	"net/http"
	"strings"
)

// Access is what a token may do with the contents of its repository, which releases are part of.
type Access int

// The levels of access. Public repositories can be read with any, and without a token.
const (
	None Access = iota
	Read
	Write
)

// Token is what a program shows. The zero value may do nothing.
type Token struct {
	Repository string // OWNER/NAME of the one it is for; empty for all
	Contents   Access
	// Classic is a personal access token of the old kind. What its scopes do not allow is "Not Found" to it; to a
	// workflow's token it is "Resource not accessible".
	Classic bool
}

// AddToken makes a token known and returns the secret.
func (f *Forge) AddToken(t Token) string {
	secret := "ghs_" + rand.Text() + rand.Text()[:10]
	f.SetToken(secret, t)
	return secret
}

// SetToken changes what a token may do, from the next request on.
func (f *Forge) SetToken(secret string, t Token) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens[secret] = t
}

// Revoke makes a token unknown.
func (f *Forge) Revoke(secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tokens, secret)
}

// caller is who sent a request; the zero value is somebody without a token.
type caller struct {
	Token
	known bool
}

// authenticate finds out who sent r. A wrong token is refused even where none is needed.
func (f *Forge) authenticate(r *http.Request) (caller, *refusal) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return caller{}, nil
	}
	scheme, secret, _ := strings.Cut(header, " ")
	t, ok := f.tokens[secret]
	if !ok || (!strings.EqualFold(scheme, "bearer") && !strings.EqualFold(scheme, "token")) {
		return caller{}, refuse(http.StatusUnauthorized, "Bad credentials")
	}
	return caller{t, true}, nil
}

// may reports whether who asks has that much access to a repository.
func (c caller) may(want Access, r *repository) bool {
	if want == Read && !r.Private {
		return true
	}
	return c.known && c.Contents >= want && (c.Repository == "" || strings.EqualFold(c.Repository, r.Name))
}

// enter returns the repository that a request is for, or why who asks may not do that there. What may not be seen is
// not there.
func (f *Forge) enter(c caller, name string, want Access) (*repository, *refusal) {
	repo := f.repository(name)
	if repo == nil || !c.may(Read, repo) {
		return nil, notFound()
	}
	switch {
	case c.may(want, repo):
		return repo, nil
	case !c.known:
		return nil, refuse(http.StatusUnauthorized, "Requires authentication")
	case c.Classic:
		return nil, notFound()
	}
	return nil, refuse(http.StatusForbidden, "Resource not accessible by integration")
}
