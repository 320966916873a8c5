package action

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/github"
	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/identity"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/config"
	"neuron-kmod/internal/platform/fault"
)

// use is what a use case does with a target.
type use struct {
	push    bool // publish images, so credentials have to be there
	create  bool // create the repository in ECR if it does not exist
	mutable bool // let the tags of a repository that is created be overwritten
}

// target opens the target of the session, where images go. For ecr and ecr-public it asks AWS.
func (s *session) target(ctx context.Context, u use) (registry.Target, error) {
	return s.openTarget(ctx, "--target", s.access.target, s.env.Settings.AWS.Repository, u)
}

// openTarget opens the target that text names, which argument or flag has given. In ECR it is the given repository.
func (s *session) openTarget(ctx context.Context, argument, text, repository string, u use) (registry.Target, error) {
	kind, _, err := registry.ParseTarget(text)
	if err != nil {
		return nil, fault.AsUsage(fmt.Errorf("%s: %w", argument, err))
	}
	resolved := text
	switch kind {
	case registry.KindECR:
		var repositories *ecr.Repositories
		if repositories, err = s.repositories(ctx); err != nil {
			break
		}
		resolved, err = repositories.URI(ctx, repository)
		if !errors.Is(err, ecr.ErrNoRepository) || !u.create {
			break
		}
		if resolved, err = repositories.Create(ctx, repository, u.mutable); err == nil {
			s.env.Log.Info("created the repository", "repository", resolved, "mutable_tags", u.mutable)
		}
	case registry.KindECRPublic: // whoever only reads needs no credentials for it
		resolved = ecr.PublicHost + "/" + s.env.Settings.AWS.PublicRepository
		if !u.push {
			break
		}
		if _, err = s.caller.identity(ctx); err != nil {
			break
		}
		if err = s.login.Check(ctx, ecr.PublicHost); err != nil && s.canLogIn(ctx, resolved) == nil {
			err = nil // another source has a login
		}
	}
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", kind, err)
	}
	t, err := registry.NewTarget(resolved, s.client)
	if err != nil {
		return nil, fault.AsUsage(fmt.Errorf("%s: %w", argument, err))
	}
	return t, nil
}

// canLogIn returns nil if there are credentials for a repository at all.
func (s *session) canLogIn(ctx context.Context, repository string) error {
	repo, err := name.NewRepository(repository, name.StrictValidation)
	if err != nil {
		return fault.AsUsage(err)
	}
	_, source, err := s.keychain.Find(ctx, repo)
	if err == nil && source == "" {
		err = &identity.CredentialError{Err: fmt.Errorf("there are no credentials for %s", repo.RegistryStr())}
	}
	return err
}

// checkPush returns nil if images can be pushed, else the error with the command that creates the repository.
func checkPush(ctx context.Context, t registry.Target) error {
	err := t.CheckPush(ctx)
	path, public := strings.CutPrefix(t.String(), ecr.PublicHost+"/")
	if _, repository, ok := strings.Cut(path, "/"); ok && public && registry.Is404(err) {
		advice := "create it with `aws ecr-public create-repository --region %s --repository-name %s` " +
			"in the account that has this alias, or name another one in KMOD_ECR_PUBLIC_REPOSITORY"
		return fault.AsPrerequisite(fault.Wrap(err, fmt.Sprintf(advice, ecr.PublicRegion, repository)))
	}
	return registry.Classify(err)
}

// caller finds out once who the program is to AWS.
type caller struct {
	load func(ctx context.Context) (*identity.Identity, error)

	mu  sync.Mutex
	id  *identity.Identity
	err error
}

// identity returns who the program is to AWS. The first call blocks on the network; its answer, or error, is kept.
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

// optionalLookup bounds the search for AWS credentials that a run can do without, such as those for the base image:
// the last place that the SDK looks at is the metadata of an EC2 machine, whose address leads nowhere on others.
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
	o := identity.Options{
		Region: aws.Region, CAFile: s.env.CAFile, Profile: aws.Profile, Secret: s.env.Mask, Log: s.env.Log,
	}
	if s.access.target != registry.KindECR && s.access.origin != registry.KindECR && !aws.MirrorNamed {
		o.Fallback = ecr.PublicRegion // nothing of ours is in a region
	}
	if aws.Role != "" {
		o.Role = &identity.Role{ARN: aws.Role, Session: aws.Session, Token: func(ctx context.Context) (string, error) {
			source := github.OIDC{URL: aws.TokenURL, Request: aws.TokenRequest.Reveal(), HTTP: s.http}
			token, err := source.IDToken(ctx, audience)
			if errors.Is(err, github.ErrNoIdentity) {
				err = &identity.CredentialError{Err: err}
			}
			return token, err
		}}
	}
	if !s.access.needsAWS(s.env.Settings) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, optionalLookup, identity.ErrNone)
		defer cancel()
	}
	id, err := identity.Load(ctx, o)
	if err != nil {
		if errors.Is(context.Cause(ctx), identity.ErrNone) {
			err = &identity.CredentialError{Err: identity.ErrNone}
		}
		return nil, err
	}
	s.env.Log.Debug("AWS identity", "arn", id.ARN, "region", id.Region, "from", id.Source, "until", id.Expires)
	return id, nil
}

// audience is AWS's, as its documentation for GitHub has it:
// https://docs.github.com/en/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-aws
const audience = "sts.amazonaws.com"

// repositories returns those of the account and region that the settings name, or else the identity's own.
func (s *session) repositories(ctx context.Context) (*ecr.Repositories, error) {
	id, err := s.caller.identity(ctx)
	if err != nil {
		return nil, err
	}
	return ecr.NewRepositories(id, s.env.Settings.AWS.AccountID), nil
}
