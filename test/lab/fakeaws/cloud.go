// Package fakeaws is a stand-in for what the product uses of AWS and of GitHub Actions' identities: STS, ECR and ECR
// Public as the unmodified AWS SDK speaks to them, the doors of their registries, and the endpoint that gives a
// workflow its identity token.
//
// It keeps state and enforces the real rules: signatures are verified, credentials and tokens expire, what is done
// needs the permission for it, repositories have to exist. It is for tests of any package and for the lab; the
// product never imports it.
//
// Start a server with Cloud.API and name it in AWS_ENDPOINT_URL; put Cloud.ECR or Cloud.ECRPublic before any registry.
package fakeaws

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"neuron-kmod/test/lab/fakeauth"
)

// Partitions of AWS.
const (
	AWS   = "aws"
	GovUS = "aws-us-gov"
	China = "aws-cn"
)

// regions are those that a partition has here.
var regions = map[string][]string{
	AWS:   {"us-west-2", "us-east-1", "us-east-2", "eu-central-1", "eu-west-1", "ap-southeast-2"},
	GovUS: {"us-gov-west-1", "us-gov-east-1"},
	China: {"cn-north-1", "cn-northwest-1"},
}

// Options say what a cloud is. The zero value is good.
type Options struct {
	Partition string // AWS if empty
	Account   string // twelve digits; whose registry and, where nothing else is said, whose users; 111122223333 if empty
	// Workflow is the repository, OWNER/NAME, of the workflow that asks for identity tokens, and Ref what it runs on;
	// "example/neuron-kmod" and "refs/heads/main" if empty.
	Workflow, Ref string
	// Registry, if set, is the URL that ECR names as the registry of a region instead of the real one's.
	Registry func(region string) string
	Now      func() time.Time // the cloud's clock; the real one if nil
}

// Lifetimes are for how long what the cloud issues is good. Zero is the real service's.
type Lifetimes struct {
	ECRToken    time.Duration // of ECR and ECR Public; 12 hours
	Role        time.Duration // credentials of a role; what is asked for, an hour if nothing is
	BearerToken time.Duration // of ECR Public's token server; 5 minutes
	IDToken     time.Duration // of a workflow; 5 minutes
}

// Cloud is the state of one AWS partition and of the GitHub that one of its roles trusts. It may be used by many
// goroutines.
type Cloud struct {
	Partition, Account string

	workflow, ref string
	registry      func(region string) string
	now           func() time.Time
	requestToken  string
	identityKey   *ecdsa.PrivateKey
	publicTokens  *fakeauth.Tokens[*principal]

	mu           sync.Mutex
	lifetimes    Lifetimes
	policies     map[string][]string // actions, by the ARN of a user or role
	keys         map[string]*key     // by access key id
	roles        map[string]Role     // by ARN
	repositories map[string]*Repository
	public       map[string]PublicRepository // by path
	tokens       map[string]*token           // for registries, by password
	calls        []Call
	secrets      []string
}

// New returns a cloud without users, roles and repositories.
func New(o Options) (*Cloud, error) {
	c := &Cloud{
		Partition: defaultTo(o.Partition, AWS),
		Account:   defaultTo(o.Account, "111122223333"),
		workflow:  defaultTo(o.Workflow, "example/neuron-kmod"),
		ref:       defaultTo(o.Ref, "refs/heads/main"),
		registry:  o.Registry,
		now:       o.Now,

		requestToken: rand.Text() + rand.Text(),
		policies:     map[string][]string{},
		keys:         map[string]*key{},
		roles:        map[string]Role{},
		repositories: map[string]*Repository{},
		public:       map[string]PublicRepository{},
		tokens:       map[string]*token{},
	}
	if regions[c.Partition] == nil {
		return nil, fmt.Errorf("there is no AWS partition %q", c.Partition)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.registry == nil {
		c.registry = func(region string) string { return "https://" + c.RegistryHost(region) }
	}
	var err error
	if c.identityKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make the key of the identity tokens: %w", err)
	}
	c.publicTokens = fakeauth.NewTokens[*principal](c.now)
	c.secrets = []string{c.requestToken}
	return c, nil
}

func defaultTo(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// Region is the partition's first: us-west-2, us-gov-west-1 or cn-north-1.
func (c *Cloud) Region() string { return regions[c.Partition][0] }

// RegistryHost is the name of the account's real registry in a region.
func (c *Cloud) RegistryHost(region string) string {
	domain := "amazonaws.com"
	if c.Partition == China {
		domain = "amazonaws.com.cn"
	}
	return fmt.Sprintf("%s.dkr.ecr.%s.%s", c.Account, region, domain)
}

// SetLifetimes changes for how long is good what is issued from now on.
func (c *Cloud) SetLifetimes(l Lifetimes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lifetimes = l
}

// lifetime returns one of the lifetimes, usual if it is not set.
func (c *Cloud) lifetime(pick func(Lifetimes) time.Duration, usual time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := pick(c.lifetimes); d > 0 {
		return d
	}
	return usual
}

// arn makes the name of something of this partition.
func (c *Cloud) arn(service, region, account, resource string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:%s", c.Partition, service, region, account, resource)
}

func (c *Cloud) hasRegion(region string) bool { return slices.Contains(regions[c.Partition], region) }
