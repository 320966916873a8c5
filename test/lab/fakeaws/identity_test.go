package fakeaws

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const audience = "sts.amazonaws.com"

// ask asks the Actions endpoint at url and returns the token, "" if the status is not 200.
func ask(t *testing.T, url, authorization string) (token string, status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Value string }
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatal(err)
		}
	}
	return answer.Value, resp.StatusCode
}

// The endpoint of a workflow's identity: R1.3.
func TestOIDC(t *testing.T) {
	c := newCloud(t, Options{})
	url := serve(t, c.OIDC()) + "/idtoken/1" + IDTokenQuery
	tests := []struct {
		name, url, authorization string
		status                   int
	}{
		{"right", url + "&audience=" + audience, "bearer " + c.RequestToken(), 200},
		{"scheme in capitals", url + "&audience=" + audience, "Bearer " + c.RequestToken(), 200},
		{"no token", url + "&audience=" + audience, "", 401},
		{"wrong token", url + "&audience=" + audience, "bearer x" + c.RequestToken(), 401},
		{"a second question mark", url + "?audience=" + audience, "bearer " + c.RequestToken(), 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token, status := ask(t, tt.url, tt.authorization)
			if status != tt.status {
				t.Fatalf("status %d, want %d", status, tt.status)
			}
			if status != http.StatusOK {
				return
			}
			claims, refusal := c.readIDToken(token)
			if refusal != nil || claims.Audience != audience ||
				claims.Subject != "repo:example/neuron-kmod:ref:refs/heads/main" {
				t.Errorf("claims %+v, refusal %+v", claims, refusal)
			}
		})
	}
	if got := c.Count("actions:GetIDToken"); got != 2 {
		t.Errorf("%d tokens were counted, want 2", got)
	}
}

// staticToken is an identity token for the SDK's provider.
type staticToken string

func (s staticToken) GetIdentityToken() ([]byte, error) { return []byte(s), nil }

// assume assumes a role with the SDK's own provider, once.
func assume(
	t *testing.T, url, arn, token string, options ...func(*stscreds.WebIdentityRoleOptions),
) (aws.Credentials, error) {
	t.Helper()
	client := sts.New(sts.Options{Region: "us-west-2", BaseEndpoint: aws.String(url), RetryMaxAttempts: 1})
	return stscreds.NewWebIdentityRoleProvider(client, arn, staticToken(token), options...).Retrieve(t.Context())
}

// A role is given to a workflow's identity token that it trusts, for as long as it allows, and to no other: R1.3.
func TestAssumeRole(t *testing.T) {
	c := newCloud(t, Options{})
	url := serve(t, c.API())
	arn := c.AddRole(Role{Name: "publisher", Audience: audience, Subject: "repo:example/neuron-kmod:*"})
	token := func(audience, subject string, life time.Duration) string {
		t.Helper()
		token, err := c.IDToken(audience, subject, life)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := token(audience, c.Subject(), time.Minute)
	stranger := newCloud(t, Options{})
	forged, err := stranger.IDToken(audience, c.Subject(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	session := func(name string, life time.Duration) func(*stscreds.WebIdentityRoleOptions) {
		return func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName, o.Duration = name, life }
	}
	tests := []struct {
		name, arn, token string
		option           func(*stscreds.WebIdentityRoleOptions)
		code, text       string
	}{
		{"good", arn, good, session("run-1", time.Hour), "", ""},
		{
			"other audience", arn, token("sigstore", c.Subject(), time.Minute), session("run-1", 0), "InvalidIdentityToken",
			"Incorrect token audience",
		},
		{"other workflow", arn, token(audience, "repo:example/other:ref:refs/heads/main", time.Minute), session("run-1", 0),
			"AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		{
			"expired", arn, token(audience, c.Subject(), -time.Second), session("run-1", 0), "ExpiredTokenException",
			"Token expired",
		},
		{"signed by another", arn, forged, session("run-1", 0), "InvalidIdentityToken", "verification key"},
		{"no token", arn, "x", session("run-1", 0), "InvalidIdentityToken", "not a valid JWT"},
		{"no such role", arn + "x", good, session("run-1", 0), "AccessDenied", "Not authorized"},
		{"too short", arn, good, session("run-1", time.Minute), "ValidationError", "greater than or equal to 900"},
		{"too long", arn, good, session("run-1", 2*time.Hour), "ValidationError", "exceeds the MaxSessionDuration"},
		{"bad session name", arn, good, session("example/neuron-kmod", 0), "ValidationError", "roleSessionName"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := assume(t, url, tt.arn, tt.token, tt.option)
			expectFault(t, err, tt.code, tt.text)
		})
	}
}

// The role's credentials are the role's: named so, allowed what it is allowed, and no longer than they live.
func TestRoleCredentials(t *testing.T) {
	var when clock
	c := newCloud(t, Options{Now: when.now})
	url := serve(t, c.API())
	arn := c.AddRole(Role{Name: "publisher", Audience: audience, Subject: "*"})
	c.SetLifetimes(Lifetimes{Role: time.Minute})
	token, err := c.IDToken(audience, c.Subject(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	got, err := assume(t, url, arn, token, func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = "run-1" })
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(got.Expires); left > time.Minute || left < 50*time.Second {
		t.Errorf("the credentials are good for %v, want a minute", left)
	}
	cfg := sdk(
		url, "us-west-2", AccessKey{ID: got.AccessKeyID, Secret: got.SecretAccessKey, SessionToken: got.SessionToken},
	)
	who, err := identity(t.Context(), cfg)
	if err != nil || aws.ToString(who.Arn) != "arn:aws:sts::111122223333:assumed-role/publisher/run-1" ||
		!strings.HasSuffix(aws.ToString(who.UserId), ":run-1") {
		t.Errorf("identity %+v, error %v", who, err)
	}
	when.advance(time.Minute)
	_, err = identity(t.Context(), cfg)
	expectFault(t, err, "ExpiredToken", "")
}
