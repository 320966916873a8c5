package ecr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"

	"neuron-kmod/internal/oci/identity"
)

// Login is a source of credentials for Amazon's registries: tokens that it gets with an AWS identity, keeps, and renews
// before they end. It implements auth.Source.
type Login struct {
	// Identity returns who the program is to AWS. It is called when the first of Amazon's registries is met, and
	// keeps its answer.
	Identity func(ctx context.Context) (*identity.Identity, error)
	// AnonymousPublic: where no token for ECR Public is to be had, it is read without one, with a warning.
	AnonymousPublic bool
	// Secret is told each token before it is used, so that whoever keeps a log can hide it.
	Secret func(secret string)
	Log    *slog.Logger

	mu     sync.Mutex
	tokens map[string]*token // by region, and PublicHost
	warn   sync.Once
}

// Name implements auth.Source.
func (*Login) Name() string { return "AWS" }

// Find implements auth.Source. It gets a token if there is none, so it may block on the network. Where there are no
// AWS credentials at all it has none, and another source may; where there are some that do not serve, that is an error,
// but for AnonymousPublic. Errors that a person has to mend are a *identity.CredentialError.
func (l *Login) Find(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	host := r.RegistryStr()
	if !IsHost(host) {
		return nil, nil
	}
	t, err := l.token(ctx, host)
	if err == nil {
		_, err = t.AuthorizationContext(ctx)
	}
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, identity.ErrNone):
		return nil, nil
	case host == PublicHost && l.AnonymousPublic && ctx.Err() == nil:
		l.warn.Do(func() {
			l.Log.Warn("public.ecr.aws is read without credentials, which is limited to one pull a second and 500 GB a month", "reason", err)
		})
		return nil, nil
	}
	return nil, fmt.Errorf("log in to %s: %w", host, err)
}

// Check gets a login for host if there is none, and returns why there can be none: for those who push, whom reading without
// one does not help.
func (l *Login) Check(ctx context.Context, host string) error {
	t, err := l.token(ctx, host)
	if err == nil {
		_, err = t.AuthorizationContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("log in to %s: %w", host, err)
	}
	return nil
}

// token returns the token for host, which may not have been got yet.
func (l *Login) token(ctx context.Context, host string) (*token, error) {
	id, err := l.Identity(ctx)
	if err != nil {
		return nil, err
	}
	key := host
	if host != PublicHost {
		key = privateRegion(host)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tokens == nil {
		l.tokens = map[string]*token{}
	}
	t := l.tokens[key]
	if t == nil {
		t = &token{log: l.Log, secret: l.Secret, what: key, get: private(id.Config, key)}
		if host == PublicHost {
			t.get = public(id.Config)
		}
		l.tokens[key] = t
	}
	return t, nil
}
