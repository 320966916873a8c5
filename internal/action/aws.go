package action

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"neuron-kmod/internal/github"
	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/identity"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/config"
)

// caller finds out once who the program is to AWS.
type caller struct {
	load func(ctx context.Context) (*identity.Identity, error)

	mu  sync.Mutex
	id  *identity.Identity
	err error
}

// identity returns who the program is to AWS. The first call blocks on the network; its answer is kept, also where that is
// an error.
func (c *caller) identity(ctx context.Context) (*identity.Identity, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id != nil || c.err != nil {
		return c.id, c.err
	}
	id, err := c.load(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c.id, c.err = id, err
	return id, err
}

// known returns what identity has found; nothing where it was not asked.
func (c *caller) known() (*identity.Identity, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id, c.err
}

// optionalLookup bounds the search for AWS credentials that a run can do without, such as those for the base image: the
// last place that the SDK looks at is the metadata of an EC2 machine, whose address leads nowhere on others.
const optionalLookup = 5 * time.Second

// needsAWS reports whether a run asks AWS for something that it cannot do without.
func (a access) needsAWS(settings config.Settings) bool {
	repositories := []string{a.target, a.mirror}
	if a.origin != registry.KindECRPublic { // which is only read, and can be without credentials
		repositories = append(repositories, a.origin)
	}
	for _, r := range repositories {
		host, _, _ := strings.Cut(r, "/")
		if r == registry.KindECR || r == registry.KindECRPublic || ecr.IsHost(host) {
			return true
		}
	}
	return settings.UseMirror && settings.AWS.MirrorNamed
}

func (s *session) loadIdentity(ctx context.Context) (*identity.Identity, error) {
	aws := s.env.Settings.AWS
	o := identity.Options{Region: aws.Region, CAFile: s.env.CAFile, Profile: aws.Profile, Secret: s.env.Mask, Log: s.env.Log}
	if s.access.target != registry.KindECR && s.access.origin != registry.KindECR && !aws.MirrorNamed {
		o.Fallback = ecr.PublicRegion // nothing of ours is in a region
	}
	if aws.Role != "" {
		o.Role = &identity.Role{ARN: aws.Role, Session: aws.Session, Token: s.idToken}
	}
	if !s.access.needsAWS(s.env.Settings) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, optionalLookup, identity.ErrNone)
		defer cancel()
	}
	id, err := identity.Load(ctx, o)
	if err != nil && errors.Is(context.Cause(ctx), identity.ErrNone) {
		return nil, &identity.CredentialError{Err: identity.ErrNone}
	}
	if err != nil {
		return nil, err
	}
	s.env.Log.Debug("AWS identity", "arn", id.ARN, "region", id.Region, "from", id.Source, "until", id.Expires)
	return id, nil
}

// audience is AWS's, as its documentation for GitHub has it:
// https://docs.github.com/en/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-aws
const audience = "sts.amazonaws.com"

func (s *session) idToken(ctx context.Context) (string, error) {
	aws := s.env.Settings.AWS
	token, err := github.OIDC{URL: aws.TokenURL, Request: aws.TokenRequest.Reveal(), HTTP: s.http}.IDToken(ctx, audience)
	if errors.Is(err, github.ErrNoIdentity) {
		err = &identity.CredentialError{Err: err}
	}
	return token, err
}

// repositories returns those of the account and region that the settings name, or else the identity's own.
func (s *session) repositories(ctx context.Context) (*ecr.Repositories, error) {
	id, err := s.caller.identity(ctx)
	if err != nil {
		return nil, err
	}
	return ecr.NewRepositories(id, s.env.Settings.AWS.AccountID), nil
}
