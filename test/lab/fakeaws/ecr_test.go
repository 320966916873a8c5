package fakeaws

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
)

// R1.3, R6.1: tokens for the registries need their permissions, and are as the real ones are.
func TestTokens(t *testing.T) {
	const denied = "AccessDeniedException"
	text := func(action string) string {
		return "User: arn:aws:iam::111122223333:user/u is not authorized to perform: " + action +
			" on resource: * because no identity-based policy allows the " + action + " action"
	}
	tests := []struct {
		name, region string
		actions      []string
		public       bool
		code, text   string
	}{
		{"private", "us-west-2", []string{"ecr:GetAuthorizationToken"}, false, "", ""},
		{
			"private, denied", "us-west-2", []string{"ecr:Get", "ecr-public:*"}, false, denied,
			text("ecr:GetAuthorizationToken"),
		},
		{"public", "us-east-1", []string{"ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"}, true, "", ""},
		{"public, denied", "us-east-1", []string{"ecr:*", "sts:*"}, true, denied, text("ecr-public:GetAuthorizationToken")},
		{"public, half", "us-east-1", []string{"ecr-public:*"}, true, denied, text("sts:GetServiceBearerToken")},
		{"public, elsewhere", "us-west-2", []string{"*"}, true, "UnsupportedCommandException", "only supported in us-east-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t, Options{})
			cfg := sdk(serve(t, c.API()), tt.region, c.AddUser(User{Name: "u", Actions: tt.actions}))
			token, expires, err := registryToken(t, cfg, tt.public)
			expectFault(t, err, tt.code, tt.text)
			if err != nil {
				return
			}
			login, err := base64.StdEncoding.DecodeString(token)
			if left := time.Until(expires); err != nil || !strings.HasPrefix(string(login), "AWS:") || left < 11*time.Hour ||
				left > 12*time.Hour {
				t.Errorf("token %q, good for %v, error %v", login, left, err)
			}
		})
	}
}

func registryToken(t *testing.T, cfg aws.Config, public bool) (token string, expires time.Time, err error) {
	t.Helper()
	if public {
		out, err := ecrpublic.NewFromConfig(cfg).GetAuthorizationToken(t.Context(), nil)
		if err != nil {
			return "", time.Time{}, err
		}
		return aws.ToString(out.AuthorizationData.AuthorizationToken), aws.ToTime(out.AuthorizationData.ExpiresAt), nil
	}
	out, err := ecr.NewFromConfig(cfg).GetAuthorizationToken(t.Context(), nil)
	if err != nil {
		return "", time.Time{}, err
	}
	return aws.ToString(out.AuthorizationData[0].AuthorizationToken), aws.ToTime(out.AuthorizationData[0].ExpiresAt), nil
}

// R6.1: repositories are there once they are made, in their region, with the settings asked for.
func TestRepositories(t *testing.T) {
	c := newCloud(t, Options{})
	url := serve(t, c.API())
	k := c.AddUser(User{Name: "u", Actions: []string{"ecr:CreateRepository", "ecr:DescribeRepositories"}})
	west, east := ecr.NewFromConfig(sdk(url, "us-west-2", k)), ecr.NewFromConfig(sdk(url, "us-east-1", k))
	named := func(names ...string) *ecr.DescribeRepositoriesInput {
		return &ecr.DescribeRepositoriesInput{RepositoryNames: names}
	}
	const name = "neuron-operator/kmod"
	_, err := west.DescribeRepositories(t.Context(), named(name))
	expectFault(
		t, err, "RepositoryNotFoundException",
		"The repository with name 'neuron-operator/kmod' does not exist in the registry with id '111122223333'",
	)

	in := &ecr.CreateRepositoryInput{
		RepositoryName: aws.String(name), ImageTagMutability: types.ImageTagMutabilityImmutable,
		ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
	}
	made, err := west.CreateRepository(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want := "111122223333.dkr.ecr.us-west-2.amazonaws.com/" + name
	if got := aws.ToString(made.Repository.RepositoryUri); got != want {
		t.Errorf("URI %q, want %q", got, want)
	}
	if r, ok := c.Repository("us-west-2", name); !ok || !r.Immutable || !r.ScanOnPush {
		t.Errorf("made %+v (%v), want immutable tags and scans", r, ok)
	}
	_, err = west.CreateRepository(t.Context(), in)
	expectFault(t, err, "RepositoryAlreadyExistsException", "already exists in the registry")
	_, err = east.DescribeRepositories(t.Context(), named(name))
	expectFault(t, err, "RepositoryNotFoundException", "")
	_, err = west.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: aws.String("Bad Name")})
	expectFault(t, err, "InvalidParameterException", "repositoryName")

	out, err := west.DescribeRepositories(t.Context(), named(name))
	if err != nil || len(out.Repositories) != 1 ||
		out.Repositories[0].ImageTagMutability != types.ImageTagMutabilityImmutable {
		t.Errorf("%+v, error %v", out, err)
	}
	c.AddRepository(Repository{Region: "us-west-2", Name: "another"})
	all, err := west.DescribeRepositories(t.Context(), nil)
	if err != nil || len(all.Repositories) != 2 || aws.ToString(all.Repositories[0].RepositoryName) != "another" {
		t.Errorf("%+v, error %v", all, err)
	}
}

// The refusals name the repository, and other accounts are refused for another reason.
func TestRepositoriesDenied(t *testing.T) {
	c := newCloud(t, Options{})
	url := serve(t, c.API())
	const arn = "arn:aws:ecr:us-west-2:111122223333:repository/a/b"
	client := ecr.NewFromConfig(sdk(url, "us-west-2", c.AddUser(User{Name: "u"})))
	_, err := client.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: aws.String("a/b")})
	expectFault(
		t, err, "AccessDeniedException", "ecr:CreateRepository on resource: "+arn+" because no identity-based policy",
	)
	in := &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"a/b"}, RegistryId: aws.String("111122223333")}
	_, err = client.DescribeRepositories(t.Context(), in)
	expectFault(
		t, err, "AccessDeniedException", "ecr:DescribeRepositories on resource: "+arn+" because no identity-based policy",
	)
	foreigner := c.AddUser(User{Name: "f", Account: "999900001111", Actions: []string{"*"}})
	_, err = ecr.NewFromConfig(sdk(url, "us-west-2", foreigner)).DescribeRepositories(t.Context(), in)
	expectFault(t, err, "AccessDeniedException", "on resource: "+arn+" because no resource-based policy")
}
