package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/identity"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
)

// access is what a command wants of the target.
type access struct {
	push   bool // to publish images, so credentials have to be there
	create bool // to create a repository of ECR that does not exist
	// mutable: a repository that is created lets tags be overwritten.
	mutable bool
	// engine, if set, reports whether the container engine answers. It and the permission to push are found out before
	// anything is read of a Driver Toolkit.
	engine func(ctx context.Context) error
	// resolve finds out the kernels of Driver Toolkits; nil is the session's resolver.
	resolve plan.Resolver
}

// target is where the images go. For ecr and ecr-public it asks AWS.
func (s *session) target(ctx context.Context, want access) (registry.Target, error) {
	return s.place(ctx, "--target", s.Target, s.AWS.Repository, want)
}

// place is the target that text names, as an argument or flag does. In ECR it is the
// given repository.
func (s *session) place(ctx context.Context, argument, text, repository string, want access) (registry.Target, error) {
	kind, _, err := registry.ParseTarget(text)
	if err != nil {
		return nil, usage{fmt.Errorf("%s: %w", argument, err)}
	}
	where := text
	switch kind {
	case registry.KindECR:
		where, err = s.privateRepository(ctx, repository, want)
	case registry.KindECRPublic:
		where, err = s.publicRepository(ctx, want)
	}
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", kind, err)
	}
	t, err := registry.NewTarget(where, s.client)
	if err != nil {
		return nil, usage{fmt.Errorf("%s: %w", argument, err)}
	}
	return t, nil
}

func (s *session) privateRepository(ctx context.Context, name string, want access) (string, error) {
	repositories, err := s.repositories(ctx)
	if err != nil {
		return "", err
	}
	uri, err := repositories.URI(ctx, name)
	if !errors.Is(err, ecr.ErrNoRepository) || !want.create {
		return uri, err
	}
	uri, err = repositories.Create(ctx, name, want.mutable)
	if err == nil {
		s.log.Info("created the repository", "repository", uri, "mutable_tags", want.mutable)
	}
	return uri, err
}

// publicRepository names the repository of ECR Public. Who only reads needs no
// credentials for it.
func (s *session) publicRepository(ctx context.Context, want access) (string, error) {
	where := ecr.PublicHost + "/" + s.AWS.PublicRepository
	if !want.push {
		return where, nil
	}
	if _, err := s.caller.identity(ctx); err != nil {
		return "", err
	}
	refused := s.login.Check(ctx, ecr.PublicHost)
	if refused == nil {
		return where, nil
	}
	if s.canLogIn(ctx, where) == nil { // with the login of another place
		return where, nil
	}
	return "", refused
}

// canLogIn reports whether there are credentials for a repository at all.
func (s *session) canLogIn(ctx context.Context, repository string) error {
	repo, err := name.NewRepository(repository, name.StrictValidation)
	if err != nil {
		return usage{err}
	}
	_, source, err := s.keychain.Find(ctx, repo)
	if err == nil && source == "" {
		err = &identity.CredentialError{Err: fmt.Errorf("there are no credentials for %s", repo.RegistryStr())}
	}
	return err
}

// checkPush reports whether images can be pushed, with the command that creates a
// repository where that is what is missing.
func checkPush(ctx context.Context, t registry.Target) error {
	err := t.CheckPush(ctx)
	path, public := strings.CutPrefix(t.String(), ecr.PublicHost+"/")
	if _, repository, ok := strings.Cut(path, "/"); ok && public && registry.Is404(err) {
		return prerequisite{fault.Wrap(err, fmt.Sprintf("create it with `aws ecr-public create-repository --region %s --repository-name %s` "+
			"in the account that has this alias, or name another one in KMOD_ECR_PUBLIC_REPOSITORY", ecr.PublicRegion, repository))}
	}
	return err
}
