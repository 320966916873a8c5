package identity

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"neuron-kmod/internal/platform/transport"
)

// webIdentity assumes a role with a new identity token each time, because a token lives for minutes and a run for hours.
type webIdentity struct {
	Role
	client *sts.Client
	secret func(secret string)
}

// Retrieve implements aws.CredentialsProvider.
func (w *webIdentity) Retrieve(ctx context.Context) (aws.Credentials, error) {
	token, err := w.Token(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	w.secret(token)
	provider := stscreds.NewWebIdentityRoleProvider(w.client, w.ARN, identityToken(token), func(o *stscreds.WebIdentityRoleOptions) {
		o.RoleSessionName = w.Session
	})
	keys, err := provider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("assume role %s: %w", w.ARN, brief(err))
	}
	w.secret(keys.SecretAccessKey)
	w.secret(keys.SessionToken)
	return keys, nil
}

// identityToken is a token that is at hand, as the SDK wants it.
type identityToken string

func (t identityToken) GetIdentityToken() ([]byte, error) { return []byte(t), nil }

// maxAnswer bounds an answer of AWS. The largest, a page of repositories, is some 100 kB.
const maxAnswer = 4 << 20

// guarded bounds answers, and sends nothing in the clear over a network: tokens come back. The SDK's own chain needs a
// client without that, since a machine's credentials come over http from 169.254.169.254.
type guarded struct{ next aws.HTTPClient }

func (g guarded) Do(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" && !transport.IsLoopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("%s: %w", req.URL.Host, transport.ErrPlainHTTP)
	}
	resp, err := g.next.Do(req)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}
