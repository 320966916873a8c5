// Package auth finds the credentials for a registry: in variables, in files of docker and podman, in their helpers, and in
// whatever else implements Source. It asks no registry.
package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Source is one place where credentials may be. It may be used from several goroutines.
type Source interface {
	// Name says which place it is, for people: "REGISTRY_AUTH_FILE (/home/me/pull-secret.json)".
	Name() string
	// Find returns the credentials for r, nil if this place has none. It may block until ctx ends.
	Find(ctx context.Context, r authn.Resource) (authn.Authenticator, error)
}

// Keychain finds credentials in several places. It implements authn.Keychain and authn.ContextKeychain, and may be
// used from several goroutines.
type Keychain struct{ sources []Source }

// NewKeychain returns a keychain over sources, the most explicit first: the first one that has credentials for a
// repository decides.
func NewKeychain(sources ...Source) *Keychain { return &Keychain{sources} }

// Find returns the credentials for r and the name of the place that they are from; authn.Anonymous and "" if no place
// has any.
func (k *Keychain) Find(ctx context.Context, r authn.Resource) (authn.Authenticator, string, error) {
	for _, s := range k.sources {
		auth, err := s.Find(ctx, r)
		if err != nil {
			return nil, "", err
		}
		if auth != nil {
			return auth, s.Name(), nil
		}
	}
	return authn.Anonymous, "", nil
}

// ResolveContext is Find without the name. It implements authn.ContextKeychain, which go-containerregistry prefers to
// Resolve.
func (k *Keychain) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	auth, _, err := k.Find(ctx, r)
	return auth, err
}

// Resolve makes it an authn.Keychain. It fails: nothing could end a search that has no context.
func (k *Keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return nil, errors.New("credentials are not looked for without a context")
}

// Advice says what to do when the registry of r has refused the credentials that k has for it, or wants some.
func (k *Keychain) Advice(ctx context.Context, r authn.Resource) string {
	host := r.RegistryStr()
	_, source, err := k.Find(ctx, r)
	switch {
	case err != nil:
		return ""
	case source != "":
		return fmt.Sprintf("%s refuses the credentials from %s: mend them there, or give others", host, source)
	}
	var places []string
	for _, s := range k.sources {
		places = append(places, s.Name())
	}
	looked := "no place was given to look in"
	if len(places) > 0 {
		looked = "looked in " + strings.Join(places, ", ")
	}
	return fmt.Sprintf("there are no credentials for %s (%s): log in with podman login %s, or name a file that has them in REGISTRY_AUTH_FILE", host, looked, host)
}

// Password is a source that has one account, for all repositories of one host.
type Password struct {
	From     string // where the account is from: "QUAY_USERNAME and QUAY_PASSWORD"
	Host     string // "quay.io"
	Username string
	Secret   string
}

// Name implements Source.
func (p Password) Name() string { return p.From }

// Find implements Source.
func (p Password) Find(_ context.Context, r authn.Resource) (authn.Authenticator, error) {
	if r.RegistryStr() != p.Host {
		return nil, nil
	}
	return &authn.Basic{Username: p.Username, Password: p.Secret}, nil
}
