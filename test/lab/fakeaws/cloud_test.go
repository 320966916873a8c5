package fakeaws

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// clock is a clock that a test sets.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time           { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(by time.Duration) { c.ahead.Add(int64(by)) }

func newCloud(t *testing.T, o Options) *Cloud {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve starts a server and returns its URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// sdk is how the SDK is set up to ask the cloud at url with a key, once.
func sdk(url, region string, k AccessKey) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(url),
		Credentials: credentials.NewStaticCredentialsProvider(k.ID, k.Secret, k.SessionToken),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// expectFault fails unless err is a refusal with a code and a text in its message; with an empty code, unless it is
// nil.
func expectFault(t *testing.T, err error, code, text string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Errorf("error %v, want none", err)
		}
		return
	}
	var refused smithy.APIError
	if !errors.As(err, &refused) || refused.ErrorCode() != code || !strings.Contains(refused.ErrorMessage(), text) {
		t.Errorf("error %v, want %s with %q", err, code, text)
	}
}

func identity(ctx context.Context, cfg aws.Config) (*sts.GetCallerIdentityOutput, error) {
	return sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
}

// The unmodified SDK finds the stand-in by AWS_ENDPOINT_URL alone, behind TLS as well, and all three services are
// there.
// R1.3
func TestEnvironmentLeadsTheSDK(t *testing.T) {
	c := newCloud(t, Options{})
	k := c.AddUser(User{Name: "engineer", Actions: []string{"ecr:*", "ecr-public:*", "sts:*"}})
	s := httptest.NewTLSServer(c.API())
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": s.URL, "AWS_REGION": "us-west-2", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": "",
		"AWS_CA_BUNDLE": ca, "AWS_ACCESS_KEY_ID": k.ID, "AWS_SECRET_ACCESS_KEY": k.Secret, "AWS_SESSION_TOKEN": "",
	} {
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	who, err := identity(t.Context(), cfg)
	if err != nil || aws.ToString(who.Account) != c.Account ||
		aws.ToString(who.Arn) != "arn:aws:iam::111122223333:user/engineer" {
		t.Errorf("identity %+v, error %v", who, err)
	}
	if _, err := ecr.NewFromConfig(cfg).GetAuthorizationToken(t.Context(), nil); err != nil {
		t.Error(err)
	}
	public := ecrpublic.NewFromConfig(cfg, func(o *ecrpublic.Options) { o.Region = "us-east-1" })
	if _, err := public.GetAuthorizationToken(t.Context(), nil); err != nil {
		t.Error(err)
	}
	want := []Call{
		{"sts:GetCallerIdentity", "us-west-2", aws.ToString(who.Arn), ""},
		{"ecr:GetAuthorizationToken", "us-west-2", aws.ToString(who.Arn), ""},
		{"ecr-public:GetAuthorizationToken", "us-east-1", aws.ToString(who.Arn), ""},
	}
	if got := c.Calls(); !slices.Equal(got, want) {
		t.Errorf("calls %+v, want %+v", got, want)
	}
}

// Every partition has its own names. ECR Public is in the first only: the others' keys are nobody's there.
func TestPartitions(t *testing.T) {
	tests := []struct{ partition, region, host, public string }{
		{AWS, "us-west-2", "111122223333.dkr.ecr.us-west-2.amazonaws.com", ""},
		{GovUS, "us-gov-west-1", "111122223333.dkr.ecr.us-gov-west-1.amazonaws.com", "UnrecognizedClientException"},
		{China, "cn-north-1", "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", "UnrecognizedClientException"},
	}
	for _, tt := range tests {
		t.Run(tt.partition, func(t *testing.T) {
			c := newCloud(t, Options{Partition: tt.partition})
			k := c.AddUser(User{Name: "u", Actions: []string{"*"}})
			cfg := sdk(serve(t, c.API()), c.Region(), k)
			who, err := identity(t.Context(), cfg)
			if err != nil || aws.ToString(who.Arn) != "arn:"+tt.partition+":iam::111122223333:user/u" ||
				c.Region() != tt.region {
				t.Errorf("%+v, error %v", who, err)
			}
			out, err := ecr.NewFromConfig(cfg).GetAuthorizationToken(t.Context(), nil)
			if err != nil || aws.ToString(out.AuthorizationData[0].ProxyEndpoint) != "https://"+tt.host {
				t.Errorf("%+v, error %v", out, err)
			}
			cfg.Region = "us-east-1"
			_, err = ecrpublic.NewFromConfig(cfg).GetAuthorizationToken(t.Context(), nil)
			expectFault(t, err, tt.public, "")
		})
	}
	if _, err := New(Options{Partition: "aws-moon"}); err == nil {
		t.Error("a partition that does not exist was accepted")
	}
}

// Secrets has what a test has to look for: R10.2.
func TestSecrets(t *testing.T) {
	c := newCloud(t, Options{})
	k := c.AddSession(User{Name: "u", Actions: []string{"*"}}, time.Hour)
	cfg := sdk(serve(t, c.API()), "us-west-2", k)
	out, err := ecr.NewFromConfig(cfg).GetAuthorizationToken(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	encoded := aws.ToString(out.AuthorizationData[0].AuthorizationToken)
	login, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	_, password, _ := strings.Cut(string(login), ":")
	idToken, err := c.IDToken("a", "s", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{
		"secret key": k.Secret, "session token": k.SessionToken, "registry token": password, "its encoded form": encoded,
		"request token": c.RequestToken(), "identity token": idToken,
	} {
		if secret == "" || !slices.Contains(c.Secrets(), secret) {
			t.Errorf("the %s %q is not among the secrets", name, secret)
		}
	}
	if slices.Contains(c.Secrets(), k.ID) || slices.Contains(c.Secrets(), "") {
		t.Error("an access key's id, or nothing, is among the secrets")
	}
}
