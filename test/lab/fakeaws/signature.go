package fakeaws

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// authorization is the header of a signed request, taken apart.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
type authorization struct {
	keyID, date, region, service string
	headers                      []string // that were signed, in lower case
	signature                    string
}

const algorithm = "AWS4-HMAC-SHA256"

// parseAuthorization reports whether the header is well formed.
func parseAuthorization(header string) (a authorization, ok bool) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return a, false
	}
	fields := map[string]string{}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" || fields["SignedHeaders"] == "" || fields["Signature"] == "" {
		return a, false
	}
	a = authorization{
		keyID: scope[0], date: scope[1], region: scope[2], service: scope[3],
		headers: strings.Split(fields["SignedHeaders"], ";"), signature: fields["Signature"],
	}
	return a, slices.Contains(a.headers, "host") && slices.Contains(a.headers, "x-amz-date")
}

const (
	amzTime = "20060102T150405Z"
	// clockTolerance is how far a client's clock may be off.
	clockTolerance = 5 * time.Minute
)

// authenticate finds out who signed r, for which region, in the order in which AWS refuses.
func (c *Cloud) authenticate(r *http.Request, body []byte, s service) (p *principal, region string, refusal *fault) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, "", s.faults.noSignature
	}
	a, ok := parseAuthorization(header)
	if !ok {
		return nil, "", &fault{http.StatusBadRequest, s.faults.malformed,
			"Authorization header requires 'Credential', 'SignedHeaders', 'Signature' and 'X-Amz-Date'."}
	}
	k, refusal := c.findKey(a.keyID, r.Header.Get("X-Amz-Security-Token"), s)
	if refusal != nil {
		return nil, a.region, refusal
	}
	if text := c.checkScope(r, a, s); text != "" {
		return k.owner, a.region, s.faults.signature(text)
	}
	if !verify(r, body, a, k.AccessKey) {
		return k.owner, a.region,
			s.faults.signature("The request signature we calculated does not match the signature you provided. " +
				"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return k.owner, a.region, nil
}

func (c *Cloud) findKey(id, sessionToken string, s service) (*key, *fault) {
	c.mu.Lock()
	k := c.keys[id]
	c.mu.Unlock()
	switch {
	case s.name == "ecr-public" && c.Partition != AWS: // it is in that partition only, where nobody knows the key
		return nil, s.faults.unknownKey
	case k == nil || k.SessionToken != sessionToken:
		return nil, s.faults.unknownKey
	case k.SessionToken != "" && !c.now().Before(k.Expires):
		return nil, s.faults.expired
	}
	return k, nil
}

// checkScope returns what is wrong with when and for what r was signed, "" if nothing is.
func (c *Cloud) checkScope(r *http.Request, a authorization, s service) string {
	if a.service != s.name {
		return fmt.Sprintf("Credential should be scoped to correct service: '%s'.", s.name)
	}
	if !c.hasRegion(a.region) {
		return "Credential should be scoped to a valid region."
	}
	stamp := r.Header.Get("X-Amz-Date")
	signed, err := time.Parse(amzTime, stamp)
	if err != nil || !strings.HasPrefix(stamp, a.date) {
		return "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP"
	}
	now := c.now().UTC()
	at := func(d time.Duration) string { return now.Add(d).Format(amzTime) }
	if now.Sub(signed) > clockTolerance {
		return fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 5 min.)", stamp, at(-clockTolerance), at(0))
	}
	if signed.Sub(now) > clockTolerance {
		return fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 5 min.)", stamp, at(clockTolerance),
			at(0))
	}
	return ""
}

// verify signs what r says was signed, and compares.
func verify(r *http.Request, body []byte, a authorization, k AccessKey) bool {
	again := &http.Request{
		Method: r.Method,
		URL:    &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery},
		Host:   r.Host,
		Header: http.Header{},
	}
	if r.TLS != nil {
		again.URL.Scheme = "https"
	}
	for _, name := range a.headers {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = int64(len(body))
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	signed, err := time.Parse(amzTime, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return false
	}
	hash := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret, SessionToken: k.SessionToken}
	if v4.NewSigner().SignHTTP(r.Context(), credentials, again, hex.EncodeToString(hash[:]), a.service, a.region,
		signed) != nil {
		return false
	}
	want, ok := parseAuthorization(again.Header.Get("Authorization"))
	return ok && subtle.ConstantTimeCompare([]byte(want.signature), []byte(a.signature)) == 1
}
