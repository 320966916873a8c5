// Package fakeauth holds what stands before a registry in real life: requests told apart by what they want, errors as
// registries write them, bearer tokens, and Quay. The registry behind a door is any http.Handler that lets everybody
// in.
//
// It is for tests and the lab; the product never imports it.
package fakeauth

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Kind is what a request to a registry is about.
type Kind int

// The kinds of the distribution specification.
const (
	Other    Kind = iota // not a request of a registry's API
	Ping                 // /v2/
	Tags                 // /v2/NAME/tags/list
	Manifest             // /v2/NAME/manifests/REFERENCE
	Blob                 // /v2/NAME/blobs/DIGEST
	Upload               // /v2/NAME/blobs/uploads/...
)

// Request is what a request to a registry wants.
type Request struct {
	Kind       Kind
	Repository string // "" for Ping and Other
	Reference  string // a manifest's tag or digest, a blob's digest, an upload's name ("" for a new one)
	Writes     bool   // it changes something
}

// parts come between a repository's name and a reference. Of two at the same place the first counts.
var parts = []struct {
	text string
	kind Kind
}{
	{"/blobs/uploads/", Upload},
	{"/blobs/", Blob},
	{"/manifests/", Manifest},
	{"/tags/", Tags},
}

// Parse tells what r wants.
func Parse(r *http.Request) Request {
	q := Request{Writes: r.Method != http.MethodGet && r.Method != http.MethodHead}
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok {
		return q
	}
	if path == "" {
		q.Kind = Ping
		return q
	}
	// A repository may have "blobs" in its name; a reference has no slash. So the last part counts.
	last := 0
	for _, p := range parts {
		if at := strings.LastIndex(path, p.text); at > last {
			last = at
			q.Kind, q.Repository, q.Reference = p.kind, path[:at], path[at+len(p.text):]
		}
	}
	return q
}

// Refuse answers with an error as the distribution specification writes it.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
func Refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

// Backend returns r as the registry behind a door gets it: without the client's credentials, and without the wish to
// mount a blob of another repository, which the door has not looked at. A registry may always answer that wish with an
// ordinary upload.
func Backend(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	query := r.URL.Query()
	if query.Has("mount") || query.Has("from") {
		query.Del("mount")
		query.Del("from")
		r.URL.RawQuery = query.Encode()
	}
	return r
}
