package fakeauth

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Tokens are the bearer tokens that a registry has issued: random texts, each of which stands for a T until it
// expires. It may be used by many goroutines.
// https://distribution.github.io/distribution/spec/auth/token/
type Tokens[T any] struct {
	now func() time.Time

	mu     sync.Mutex
	issued map[string]issued[T]
}

type issued[T any] struct {
	value   T
	expires time.Time
}

// NewTokens returns tokens that go by the given clock.
func NewTokens[T any](now func() time.Time) *Tokens[T] {
	return &Tokens[T]{now: now, issued: map[string]issued[T]{}}
}

// Answer issues a token for value and writes it as the answer of a token server.
func (t *Tokens[T]) Answer(w http.ResponseWriter, value T, life time.Duration) {
	token, now := rand.Text()+rand.Text(), t.now()
	t.mu.Lock()
	t.issued[token] = issued[T]{value, now.Add(life)}
	t.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"token":      token,
		"expires_in": int(life / time.Second),
		"issued_at":  now.UTC().Format(time.RFC3339),
	})
}

// Of returns what the token of r stands for. ok is false if r has none, an unknown one or an expired one.
func (t *Tokens[T]) Of(r *http.Request) (value T, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return value, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.issued[token]
	if !ok || !t.now().Before(found.expires) {
		return value, false
	}
	return found.value, true
}

// Secrets returns every token that was issued.
func (t *Tokens[T]) Secrets() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []string
	for token := range t.issued {
		all = append(all, token)
	}
	return all
}

// Challenge sets the header that says where tokens come from: the path realm on the host that was asked. An empty
// scope is left out.
func Challenge(w http.ResponseWriter, r *http.Request, realm, service, scope string) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	value := fmt.Sprintf(`Bearer realm="%s://%s%s",service=%q`, scheme, r.Host, realm, service)
	if scope != "" {
		value += fmt.Sprintf(",scope=%q", scope)
	}
	w.Header().Set("Www-Authenticate", value)
}
