package identity

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"neuron-kmod/internal/platform/limit"
	"neuron-kmod/internal/platform/transport"
)

// webIdentity assumes a role with a new identity token each time, because a token lives for minutes and a run for
// hours.
type webIdentity struct {
	role   Role
	client *sts.Client
	secret func(secret string)
}

// Retrieve implements aws.CredentialsProvider.
func (w *webIdentity) Retrieve(ctx context.Context) (aws.Credentials, error) {
	token, err := w.role.Token(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	w.secret(token)
	name := func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = w.role.Session }
	provider := stscreds.NewWebIdentityRoleProvider(w.client, w.role.ARN, identityToken(token), name)
	keys, err := provider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("assume role %s: %w", w.role.ARN, shorten(err))
	}
	w.secret(keys.SecretAccessKey)
	w.secret(keys.SessionToken)
	return keys, nil
}

// identityToken implements stscreds.IdentityTokenRetriever with a token that is there already.
type identityToken string

func (t identityToken) GetIdentityToken() ([]byte, error) { return []byte(t), nil }

// maxAnswer bounds an answer of AWS. The largest, a page of repositories, has about 100 kB.
const maxAnswer = 4 << 20

// strictClient bounds answers, and sends no plain HTTP over a network: answers have tokens. The SDK's own chain needs a
// client without that, because a machine gets its credentials over HTTP from 169.254.169.254.
type strictClient struct{ next aws.HTTPClient }

// Do implements aws.HTTPClient.
func (c strictClient) Do(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" && !transport.IsLoopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("%s: %w", req.URL.Host, transport.ErrPlainHTTP)
	}
	resp, err := c.next.Do(req)
	if err != nil {
		return nil, err
	}
	left := int64(maxAnswer)
	exceeded := fmt.Errorf("%s: the answer is larger than %d bytes", req.URL.Host, maxAnswer)
	bounded := &limit.Reader{Ctx: req.Context(), R: resp.Body, Left: &left, Exceeded: exceeded}
	resp.Body = &boundedBody{reader: bounded, closer: resp.Body}
	return resp, nil
}

// boundedBody is the body of an answer that is read through reader.
type boundedBody struct {
	reader io.Reader
	closer io.Closer
}

func (b *boundedBody) Read(p []byte) (int, error) { return b.reader.Read(p) }
func (b *boundedBody) Close() error               { return b.closer.Close() }
