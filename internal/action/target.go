package action

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/identity"
	"neuron-kmod/internal/oci/registry"
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
		resolved, err = s.privateRepository(ctx, repository, u)
	case registry.KindECRPublic:
		resolved, err = s.publicRepository(ctx, u)
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

func (s *session) privateRepository(ctx context.Context, name string, u use) (string, error) {
	repositories, err := s.repositories(ctx)
	if err != nil {
		return "", err
	}
	uri, err := repositories.URI(ctx, name)
	if !errors.Is(err, ecr.ErrNoRepository) || !u.create {
		return uri, err
	}
	uri, err = repositories.Create(ctx, name, u.mutable)
	if err == nil {
		s.env.Log.Info("created the repository", "repository", uri, "mutable_tags", u.mutable)
	}
	return uri, err
}

// publicRepository names the repository of ECR Public. Whoever only reads needs no credentials for it.
func (s *session) publicRepository(ctx context.Context, u use) (string, error) {
	repository := ecr.PublicHost + "/" + s.env.Settings.AWS.PublicRepository
	if !u.push {
		return repository, nil
	}
	if _, err := s.caller.identity(ctx); err != nil {
		return "", err
	}
	refused := s.login.Check(ctx, ecr.PublicHost)
	if refused == nil {
		return repository, nil
	}
	if s.canLogIn(ctx, repository) == nil { // with the login of another source
		return repository, nil
	}
	return "", refused
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

// checkPush reports whether images can be pushed, with the command that creates a repository where that is what is missing.
func checkPush(ctx context.Context, t registry.Target) error {
	err := t.CheckPush(ctx)
	path, public := strings.CutPrefix(t.String(), ecr.PublicHost+"/")
	if _, repository, ok := strings.Cut(path, "/"); ok && public && registry.Is404(err) {
		return fault.AsPrerequisite(fault.Wrap(err, fmt.Sprintf("create it with `aws ecr-public create-repository --region %s --repository-name %s` "+
			"in the account that has this alias, or name another one in KMOD_ECR_PUBLIC_REPOSITORY", ecr.PublicRegion, repository)))
	}
	return registry.Classify(err)
}
