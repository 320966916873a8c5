package fakeauth

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Quay stands before a registry as quay.io does, with one account, which may do everything. Public and Life are to be
// set before it is used.
type Quay struct {
	User, Password string
	Public         []string      // repositories that anybody may pull
	Life           time.Duration // of bearer tokens

	tokens *Tokens[[]string] // each stands for scopes: "repository:NAME:ACTION"
}

// NewQuay returns a Quay without public repositories, whose tokens are good for an hour of the given clock.
func NewQuay(user, password string, now func() time.Time) *Quay {
	return &Quay{User: user, Password: password, Life: time.Hour, tokens: NewTokens[[]string](now)}
}

const (
	quayRealm   = "/v2/auth"
	quayService = "quay.io"
)

// Wrap puts the door before backend.
func (q *Quay) Wrap(backend http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == quayRealm {
			q.issue(w, r)
			return
		}
		if q.admit(w, r) {
			backend.ServeHTTP(w, Backend(r))
		}
	})
}

// issue is Quay's token server: it grants, of what is asked for, what the account may do. Nobody is refused for
// asking for too much, only for wrong credentials.
func (q *Quay) issue(w http.ResponseWriter, r *http.Request) {
	user, password, given := r.BasicAuth()
	if given && (user != q.User || password != q.Password) {
		Refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "Invalid Username or Password")
		return
	}
	var scopes []string
	for _, asked := range r.URL.Query()["scope"] {
		for one := range strings.FieldsSeq(asked) {
			scopes = append(scopes, q.grant(one, given)...)
		}
	}
	q.tokens.Answer(w, scopes, q.Life)
}

// grant returns of "repository:NAME:ACTION,ACTION" what is granted, an action each.
func (q *Quay) grant(scope string, account bool) []string {
	resource, actions, _ := cutLast(scope, ":")
	var granted []string
	for action := range strings.SplitSeq(actions, ",") {
		public := action == "pull" && slices.Contains(q.Public, strings.TrimPrefix(resource, "repository:"))
		if account || public {
			granted = append(granted, resource+":"+action)
		}
	}
	return granted
}

// admit reports whether r may pass; it has answered those that may not.
func (q *Quay) admit(w http.ResponseWriter, r *http.Request) bool {
	want := Parse(r)
	scope := ""
	if want.Repository != "" {
		action := "pull"
		if want.Writes {
			action = "push"
		}
		scope = "repository:" + want.Repository + ":" + action
	}
	granted, ok := q.tokens.Of(r)
	if ok && (scope == "" || slices.Contains(granted, scope)) {
		return true
	}
	Challenge(w, r, quayRealm, quayService, scope)
	message := "Requires authentication"
	if ok {
		message = "access to the requested resource is not authorized"
	}
	Refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", message)
	return false
}

// Secrets returns the account's password, as it is and as auth files have it, and every token that was issued.
func (q *Quay) Secrets() []string {
	encoded := base64.StdEncoding.EncodeToString([]byte(q.User + ":" + q.Password))
	return append(q.tokens.Secrets(), q.Password, encoded)
}

// cutLast is strings.Cut around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if at := strings.LastIndex(s, sep); at >= 0 {
		return s[:at], s[at+len(sep):], true
	}
	return s, "", false
}
