package fakeaws

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// R1.3: who asks is found out as AWS does it, and refused in the words of each protocol.
func TestSignatures(t *testing.T) {
	var when clock
	c := newCloud(t, Options{Now: when.now})
	good := c.AddUser(User{Name: "good", Actions: []string{"ecr:*"}})
	session := c.AddSession(User{Name: "session", Actions: []string{"ecr:*"}}, time.Hour)
	gone := c.AddUser(User{Name: "gone", Actions: []string{"ecr:*"}})
	c.DeleteKey(gone.ID)
	when.advance(-2 * time.Hour)
	expired := c.AddSession(User{Name: "expired", Actions: []string{"ecr:*"}}, time.Hour)
	when.advance(2 * time.Hour)
	wrongSecret, wrongToken, noToken := good, session, session
	wrongSecret.Secret += "x"
	wrongToken.SessionToken += "x"
	noToken.SessionToken = ""
	tests := []struct {
		name, region      string
		key               AccessKey
		query, json, text string
	}{
		{"good", "us-west-2", good, "", "", ""},
		{"session", "us-west-2", session, "", "", ""},
		{
			"unknown key", "us-west-2", gone, "InvalidClientTokenId", "UnrecognizedClientException",
			"token included in the request is invalid",
		},
		{
			"wrong secret", "us-west-2", wrongSecret, "SignatureDoesNotMatch", "InvalidSignatureException",
			"we calculated does not match",
		},
		{"wrong session token", "us-west-2", wrongToken, "InvalidClientTokenId", "UnrecognizedClientException", "is invalid"},
		{"no session token", "us-west-2", noToken, "InvalidClientTokenId", "UnrecognizedClientException", "is invalid"},
		{
			"expired", "us-west-2", expired, "ExpiredToken", "ExpiredTokenException",
			"token included in the request is expired",
		},
		{
			"foreign region", "cn-north-1", good, "SignatureDoesNotMatch", "InvalidSignatureException",
			"scoped to a valid region",
		},
	}
	url := serve(t, c.API())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := sdk(url, tt.region, tt.key)
			_, err := identity(t.Context(), cfg)
			expectFault(t, err, tt.query, tt.text)
			_, err = ecr.NewFromConfig(cfg).GetAuthorizationToken(t.Context(), nil)
			expectFault(t, err, tt.json, tt.text)
		})
	}
}

// A clock that is wrong is refused, and the SDK, which may try again, corrects its own by the cloud's.
func TestClockSkew(t *testing.T) {
	for name, by := range map[string]time.Duration{
		"Signature expired: ": time.Hour, "Signature not yet current: ": -time.Hour,
	} {
		var when clock
		c := newCloud(t, Options{Now: when.now})
		cfg := sdk(serve(t, c.API()), "us-west-2", c.AddUser(User{Name: "u", Actions: []string{"ecr:*"}}))
		when.advance(by)
		_, err := identity(t.Context(), cfg)
		expectFault(t, err, "SignatureDoesNotMatch", name)
		_, err = ecr.NewFromConfig(cfg).GetAuthorizationToken(t.Context(), nil)
		expectFault(t, err, "InvalidSignatureException", name)
		cfg.Retryer = nil
		_, err = identity(t.Context(), cfg)
		expectFault(t, err, "", "")
		when.advance(-by)
		_, err = identity(t.Context(), cfg)
		expectFault(t, err, "", "")
	}
}

// A request that was changed on its way, or signed for something else, is refused; so is one without a signature.
func TestTamperedRequests(t *testing.T) {
	c := newCloud(t, Options{})
	url := serve(t, c.API())
	k := c.AddUser(User{Name: "u"})
	tests := []struct {
		name       string
		change     func(*http.Request)
		code, text string
	}{
		{"nothing", func(*http.Request) {}, "", ""},
		{"a header that is not signed", func(r *http.Request) { r.Header.Set("X-Other", "1") }, "", ""},
		{"no signature", func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationToken", ""},
		{
			"half a signature", func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x") },
			"IncompleteSignature", "",
		},
		{
			"another header", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, "SignatureDoesNotMatch",
			"we calculated does not match",
		},
		{
			"another query", func(r *http.Request) { r.URL.RawQuery = "a=b" }, "SignatureDoesNotMatch",
			"we calculated does not match",
		},
		{
			"another host", func(r *http.Request) { r.Host = "sts.example.com" }, "SignatureDoesNotMatch",
			"we calculated does not match",
		},
		{
			"another service", func(r *http.Request) { replaceAuthorization(r, "/sts/", "/ecr/") }, "SignatureDoesNotMatch",
			"correct service: 'sts'",
		},
		{
			"another region", func(r *http.Request) { replaceAuthorization(r, "us-west-2", "us-east-1") },
			"SignatureDoesNotMatch", "we calculated does not match",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := sdk(url, "us-west-2", k)
			cfg.HTTPClient = changing(tt.change)
			_, err := identity(t.Context(), cfg)
			expectFault(t, err, tt.code, tt.text)
		})
	}
}

func replaceAuthorization(r *http.Request, from, to string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
}

// changing is an HTTP client that changes each request after it was signed.
type changing func(*http.Request)

func (change changing) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	change(r)
	return http.DefaultClient.Do(r)
}

// What is no action of these services is refused, and so is a request larger than any that is.
func TestUnknownRequests(t *testing.T) {
	c := newCloud(t, Options{})
	url := serve(t, c.API())
	cfg := sdk(url, "us-west-2", c.AddUser(User{Name: "u", Actions: []string{"*"}}))
	_, err := sts.NewFromConfig(cfg).GetSessionToken(t.Context(), nil)
	expectFault(t, err, "InvalidAction", "GetSessionToken")
	_, err = ecr.NewFromConfig(cfg).DescribeRegistry(t.Context(), nil)
	expectFault(t, err, "UnknownOperationException", "DescribeRegistry")
	resp, err := http.Post(url, "text/plain", strings.NewReader(strings.Repeat("x", maxBody+1)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}
