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
	// Identity returns the program's identity to AWS. It is called for the first of Amazon's registries, and has to keep
	// its answer.
	Identity func(ctx context.Context) (*identity.Identity, error)
	// AnonymousPublic allows reading ECR Public without a token, with a warning, where none can be got.
	AnonymousPublic bool
	// Secret is called with each token before it is used, so that a log can mask it.
	Secret func(secret string)
	Log    *slog.Logger

	mu     sync.Mutex
	tokens map[string]*token // by region, and PublicHost
	warn   sync.Once
}

// Name implements auth.Source.
func (*Login) Name() string { return "AWS" }

// Find implements auth.Source. It gets a token if there is none, so it may block on the network. Without any AWS
// credentials it has none, and another source may have some. AWS credentials that do not work are an error, except with
// AnonymousPublic. Errors that the user has to fix are a *identity.CredentialError.
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
			l.Log.Warn("public.ecr.aws is read without credentials, "+
				"which is limited to one pull a second and 500 GB a month", "reason", err)
		})
		return nil, nil
	}
	return nil, fmt.Errorf("log in to %s: %w", host, err)
}

// Check gets a token for host if there is none, and returns why none can be got: for pushing, where reading without one
// does not help.
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

// token returns the token for host, which may still have to be requested.
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
		t = &token{log: l.Log, secret: l.Secret, scope: key, request: privateToken(id.Config, key)}
		if host == PublicHost {
			t.request = publicToken(id.Config)
		}
		l.tokens[key] = t
	}
	return t, nil
}
