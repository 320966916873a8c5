package ecr

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"neuron-kmod/internal/oci/identity"
	"neuron-kmod/internal/platform/fault"
)

// ErrNoRepository reports that a repository does not exist.
var ErrNoRepository = errors.New("there is no such repository")

// Repositories are the repositories of one account in one region.
type Repositories struct {
	client  *ecr.Client
	account string // "" is the identity's own
	region  string
}

// NewRepositories returns the repositories of account, 12 digits, in the identity's region. "" is its own account.
func NewRepositories(id *identity.Identity, account string) *Repositories {
	if account == "" {
		account = id.Account
	}
	return &Repositories{client: ecr.NewFromConfig(id.Config), account: account, region: id.Region}
}

// URI returns the name of a repository for pulling, "123456789012.dkr.ecr.us-west-2.amazonaws.com/NAME", in any of
// AWS's partitions. It blocks on the network. The error for one that does not exist is ErrNoRepository, with the
// command that creates it as a hint; one that the user has to fix is a *identity.CredentialError.
func (r *Repositories) URI(ctx context.Context, name string) (string, error) {
	answer, err := r.client.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{
		RegistryId: aws.String(r.account), RepositoryNames: []string{name},
	})
	if err != nil {
		return "", fmt.Errorf("ECR repository %s of account %s in %s: %w", name, r.account, r.region, r.classify(err, name))
	}
	for _, found := range answer.Repositories {
		if uri := aws.ToString(found.RepositoryUri); aws.ToString(found.RepositoryName) == name && r.holds(uri, name) {
			return uri, nil
		}
	}
	return "", fmt.Errorf("ECR repository %s: AWS answers with another one", name)
}

// Create creates a repository and returns its URI. Its tags are immutable, unless mutable; images are scanned when they
// are pushed. One that exists already stays as it is. It blocks on the network.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
func (r *Repositories) Create(ctx context.Context, name string, mutable bool) (string, error) {
	mutability := types.ImageTagMutabilityImmutable
	if mutable {
		mutability = types.ImageTagMutabilityMutable
	}
	_, err := r.client.CreateRepository(ctx, &ecr.CreateRepositoryInput{
		RegistryId: aws.String(r.account), RepositoryName: aws.String(name), ImageTagMutability: mutability,
		ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
	})
	if _, exists := errors.AsType[*types.RepositoryAlreadyExistsException](err); err != nil && !exists {
		return "", fmt.Errorf("create ECR repository %s of account %s in %s: %w",
			name, r.account, r.region, r.classify(err, name))
	}
	return r.URI(ctx, name)
}

// holds reports whether a URI is of one of Amazon's registries and names the repository: logins will be sent there.
func (r *Repositories) holds(uri, name string) bool {
	host, path, _ := strings.Cut(uri, "/")
	return privateRegion(host) != "" && path == name
}

func (r *Repositories) classify(err error, name string) error {
	if _, ok := errors.AsType[*types.RepositoryNotFoundException](err); ok {
		return fault.Wrap(&identity.CredentialError{Err: ErrNoRepository}, fmt.Sprintf(
			"create it with `neuron-kmod build --create-repository`, or with "+
				"`aws ecr create-repository --region %s --repository-name %s --image-tag-mutability IMMUTABLE "+
				"--image-scanning-configuration scanOnPush=true`, or name another one in KMOD_ECR_REPOSITORY_NAME",
			r.region, name))
	}
	return identity.Classify(err)
}
