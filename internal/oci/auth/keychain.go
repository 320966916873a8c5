// Package auth finds the credentials for a registry: in environment variables, in files of docker and podman, in their
// helpers, and in any other implementation of Source. It sends nothing to registries.
package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Source is a source of credentials. It may be used from several goroutines.
type Source interface {
	// Name identifies the source to the user: "REGISTRY_AUTH_FILE (/home/me/pull-secret.json)".
	Name() string
	// Find returns the credentials for r, nil if this source has none. It may block until ctx ends.
	Find(ctx context.Context, r authn.Resource) (authn.Authenticator, error)
}

// Keychain finds credentials in several sources. It implements authn.Keychain and authn.ContextKeychain, and may be
// used from several goroutines.
type Keychain struct{ sources []Source }

// NewKeychain returns a keychain over sources, the most explicit first: the first one that has credentials for a
// repository decides.
func NewKeychain(sources ...Source) *Keychain { return &Keychain{sources: sources} }

// Find returns the credentials for r and the name of their source; authn.Anonymous and "" if no source has any.
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

// Resolve implements authn.Keychain. It fails: nothing could end a search that has no context.
func (k *Keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return nil, errors.New("credentials are not looked for without a context")
}

// Advice returns what the user can do when the registry of r has refused the credentials that k has for it, or demands
// some.
func (k *Keychain) Advice(ctx context.Context, r authn.Resource) string {
	host := r.RegistryStr()
	_, source, err := k.Find(ctx, r)
	switch {
	case err != nil:
		return ""
	case source != "":
		return fmt.Sprintf("%s refuses the credentials from %s: mend them there, or give others", host, source)
	}
	var names []string
	for _, s := range k.sources {
		names = append(names, s.Name())
	}
	searched := "no place was given to look in"
	if len(names) > 0 {
		searched = "looked in " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("there are no credentials for %s (%s): log in with podman login %s, "+
		"or name a file that has them in REGISTRY_AUTH_FILE", host, searched, host)
}

// Password is a source with one account, for all repositories of one host.
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
