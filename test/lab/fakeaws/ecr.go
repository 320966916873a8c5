package fakeaws

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

func ecrService() service {
	return service{
		name: "ecr", faults: jsonFaults(), answer: answerJSON, refuse: refuseJSON,
		actions: map[string]action{
			"GetAuthorizationToken": {do: (*Cloud).getAuthorizationToken},
			"DescribeRepositories":  {do: (*Cloud).describeRepositories},
			"CreateRepository":      {do: (*Cloud).createRepository},
		},
	}
}

// Repository is one of the account's private ones.
type Repository struct {
	Region, Name string
	Immutable    bool // a tag that exists cannot be given to another image
	ScanOnPush   bool
	Created      time.Time
}

// AddRepository makes a repository, or replaces it.
func (c *Cloud) AddRepository(r Repository) {
	r.Created = c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.repositories[r.Region+"/"+r.Name] = &r
}

// Repository returns the repository of a name in a region; ok is false if there is none.
func (c *Cloud) Repository(region, name string) (r Repository, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.repositories[region+"/"+name]
	if !ok {
		return r, false
	}
	return *found, true
}

func (c *Cloud) repositoryARN(region, name string) string {
	return c.arn("ecr", region, c.Account, "repository/"+name)
}

// token is what ECR or ECR Public gave somebody to log in to registries with.
type token struct {
	owner   *principal
	region  string // of the registry; empty for ECR Public's
	expires time.Time
}

// defaultToken is how long a real token lives:
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
const defaultToken = 12 * time.Hour

// authorizationData is how ECR and ECR Public write a token.
type authorizationData struct {
	Token    string  `json:"authorizationToken"`
	Expires  float64 `json:"expiresAt"` // seconds since 1970
	Endpoint string  `json:"proxyEndpoint,omitempty"`
}

func (c *Cloud) issueToken(owner *principal, region string) authorizationData {
	life := c.lifetime(func(l Lifetimes) time.Duration { return l.ECRToken }, defaultToken)
	payload := rand.Text() + rand.Text() + rand.Text()
	password := base64.StdEncoding.EncodeToString([]byte(`{"payload":"` + payload + `","type":"DATA_KEY"}`))
	encoded := base64.StdEncoding.EncodeToString([]byte("AWS:" + password))
	expires := c.now().Add(life)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens[password] = &token{owner, region, expires}
	c.secrets = append(c.secrets, password, encoded)
	return authorizationData{Token: encoded, Expires: float64(expires.UnixMilli()) / 1000}
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
func (c *Cloud) getAuthorizationToken(q request) (any, *fault) {
	if refusal := c.permit(q.from, "ecr:GetAuthorizationToken", "*", q.from.account); refusal != nil {
		return nil, refusal
	}
	data := c.issueToken(q.from, q.region)
	data.Endpoint = c.registry(q.region)
	return map[string][]authorizationData{"authorizationData": {data}}, nil
}

// permit refuses what the policies do not allow.
func (c *Cloud) permit(p *principal, action, resource, account string) *fault {
	if text := c.deny(p, action, resource, account); text != "" {
		return invalid("AccessDeniedException", text)
	}
	return nil
}

// repositoryData is how ECR writes a repository.
type repositoryData struct {
	Arn        string  `json:"repositoryArn"`
	Registry   string  `json:"registryId"`
	Name       string  `json:"repositoryName"`
	URI        string  `json:"repositoryUri"`
	Created    float64 `json:"createdAt"`
	Mutability string  `json:"imageTagMutability"`
	Scanning   struct {
		OnPush bool `json:"scanOnPush"`
	} `json:"imageScanningConfiguration"`
}

func (c *Cloud) describe(r Repository) repositoryData {
	_, host, _ := strings.Cut(c.registry(r.Region), "://")
	data := repositoryData{
		Arn: c.repositoryARN(r.Region, r.Name), Registry: c.Account, Name: r.Name, URI: host + "/" + r.Name,
		Created: float64(r.Created.Unix()), Mutability: "MUTABLE",
	}
	if r.Immutable {
		data.Mutability = "IMMUTABLE"
	}
	data.Scanning.OnPush = r.ScanOnPush
	return data
}

// describeRepositories lists the named repositories, or all. There are never so many here that it takes pages.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeRepositories.html
func (c *Cloud) describeRepositories(q request) (any, *fault) {
	var in struct {
		Names    []string `json:"repositoryNames"`
		Registry string   `json:"registryId"`
	}
	if refusal := c.readBody(q, &in); refusal != nil {
		return nil, refusal
	}
	account := defaultTo(in.Registry, q.from.account)
	names := in.Names
	if len(names) == 0 {
		names = []string{"*"}
	}
	found := []repositoryData{}
	for _, name := range names {
		arn := c.arn("ecr", q.region, account, "repository/"+name)
		if refusal := c.permit(q.from, "ecr:DescribeRepositories", arn, account); refusal != nil {
			return nil, refusal
		}
		matching := c.matching(q.region, account, name)
		if len(matching) == 0 && name != "*" {
			return nil, invalid("RepositoryNotFoundException", notFound(name, account))
		}
		found = append(found, matching...)
	}
	return map[string]any{"repositories": found}, nil
}

// matching describes the repositories of an account with a name, or all if it is "*", sorted.
func (c *Cloud) matching(region, account, name string) []repositoryData {
	if account != c.Account {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []repositoryData
	for _, r := range c.repositories {
		if r.Region == region && (name == "*" || name == r.Name) {
			found = append(found, c.describe(*r))
		}
	}
	slices.SortFunc(found, func(a, b repositoryData) int { return strings.Compare(a.Name, b.Name) })
	return found
}

func notFound(name, account string) string {
	return fmt.Sprintf("The repository with name '%s' does not exist in the registry with id '%s'", name, account)
}

// repositoryName is what a repository may be called:
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
var repositoryName = regexp.MustCompile(`^(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

func (c *Cloud) createRepository(q request) (any, *fault) {
	var in struct {
		Name       string `json:"repositoryName"`
		Mutability string `json:"imageTagMutability"`
		Scanning   struct {
			OnPush bool `json:"scanOnPush"`
		} `json:"imageScanningConfiguration"`
	}
	if refusal := c.readBody(q, &in); refusal != nil {
		return nil, refusal
	}
	if len(in.Name) < 2 || len(in.Name) > 256 || !repositoryName.MatchString(in.Name) {
		return nil, invalid("InvalidParameterException",
			"Invalid parameter at 'repositoryName' failed to satisfy constraint: "+
				"'must satisfy regular expression '"+strings.Trim(repositoryName.String(), "^$")+"''")
	}
	if refusal := c.permit(q.from, "ecr:CreateRepository", c.repositoryARN(q.region, in.Name),
		q.from.account); refusal != nil {
		return nil, refusal
	}
	if _, exists := c.Repository(q.region, in.Name); exists {
		return nil, invalid("RepositoryAlreadyExistsException",
			fmt.Sprintf("The repository with name '%s' already exists in the registry with id '%s'", in.Name, c.Account))
	}
	c.AddRepository(Repository{
		Region: q.region, Name: in.Name, Immutable: in.Mutability == "IMMUTABLE", ScanOnPush: in.Scanning.OnPush,
	})
	made, _ := c.Repository(q.region, in.Name)
	return map[string]any{"repository": c.describe(made)}, nil
}

func (c *Cloud) readBody(q request, in any) *fault {
	if err := json.Unmarshal(q.body, in); err != nil {
		return invalid("SerializationException", err.Error())
	}
	return nil
}
