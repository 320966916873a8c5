package ecr

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/google/go-containerregistry/pkg/authn"

	"neuron-kmod/internal/oci/identity"
)

// renewBefore is how long before its expiry a token is renewed; one with a lifetime of less than four times that, after
// three quarters of it. A pull that has begun with a token may take that long.
const renewBefore = time.Hour

// retryRenewal is the pause before a renewal that has failed is tried again, where the token lives long enough.
const retryRenewal = time.Minute

// issued is a token as AWS returns it.
type issued struct {
	encoded string // base64 of "AWS:PASSWORD"
	expires time.Time
}

// token is a login that renews itself. It implements authn.Authenticator and authn.ContextAuthenticator, and may be
// used from several goroutines; while one renews it the others wait.
type token struct {
	request func(ctx context.Context) (issued, error)
	scope   string // region or host, for the log
	secret  func(secret string)
	log     *slog.Logger

	mu      sync.Mutex
	config  *authn.AuthConfig // nil until the first request
	expires time.Time
	renew   time.Time // from then on using it renews it
}

// Authorization implements authn.Authenticator. It fails: nothing could end a request that has no context.
// go-containerregistry prefers AuthorizationContext.
func (*token) Authorization() (*authn.AuthConfig, error) {
	return nil, errors.New("a token is not asked for without a context")
}

// Expires returns when the current login expires.
func (t *token) Expires() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.expires
}

// AuthorizationContext returns the login, renewed if it expires soon. A renewal that fails is an error only when the
// old token has expired.
func (t *token) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.config != nil && now.Before(t.renew) {
		return t.config, nil
	}
	fresh, err := t.request(ctx)
	if err == nil {
		err = t.replace(fresh, now)
	}
	if err == nil {
		return t.config, nil
	}
	err = fmt.Errorf("get a token: %w", identity.Classify(err))
	if t.config != nil && now.Before(t.expires) && ctx.Err() == nil {
		t.renew = now.Add(min(retryRenewal, t.expires.Sub(now)/4)) // not with each request
		t.log.Warn("a login cannot be renewed yet; the old one is still good",
			"registry", t.scope, "until", t.expires, "error", err)
		return t.config, nil
	}
	return nil, err
}

// replace replaces the login by a fresh token that was requested at now.
func (t *token) replace(fresh issued, now time.Time) error {
	plain, err := base64.StdEncoding.DecodeString(fresh.encoded)
	user, password, ok := strings.Cut(string(plain), ":")
	if err != nil || !ok || user == "" || password == "" {
		return errors.New("AWS answers with something else than a token")
	}
	t.secret(fresh.encoded)
	t.secret(password)
	t.log.Debug("logged in", "registry", t.scope, "until", fresh.expires)
	life := fresh.expires.Sub(now)
	t.config = &authn.AuthConfig{Username: user, Password: password}
	t.expires = fresh.expires
	t.renew = fresh.expires.Add(-min(renewBefore, life/4))
	return nil
}

// privateToken requests tokens for the private registries of a region. One is valid for each registry that the identity
// may use, also of other accounts.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
func privateToken(cfg aws.Config, region string) func(ctx context.Context) (issued, error) {
	client := ecr.NewFromConfig(cfg, func(o *ecr.Options) { o.Region = region })
	return func(ctx context.Context) (issued, error) {
		answer, err := client.GetAuthorizationToken(ctx, nil)
		if err != nil {
			return issued{}, err
		}
		if len(answer.AuthorizationData) == 0 {
			return issued{}, errors.New("AWS answers without a token")
		}
		data := answer.AuthorizationData[0]
		return issued{encoded: aws.ToString(data.AuthorizationToken), expires: aws.ToTime(data.ExpiresAt)}, nil
	}
}

// publicToken requests tokens for ECR Public.
// https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html
func publicToken(cfg aws.Config) func(ctx context.Context) (issued, error) {
	client := ecrpublic.NewFromConfig(cfg, func(o *ecrpublic.Options) { o.Region = PublicRegion })
	return func(ctx context.Context) (issued, error) {
		answer, err := client.GetAuthorizationToken(ctx, nil)
		if err != nil {
			return issued{}, err
		}
		data := answer.AuthorizationData
		if data == nil {
			return issued{}, errors.New("AWS answers without a token")
		}
		return issued{encoded: aws.ToString(data.AuthorizationToken), expires: aws.ToTime(data.ExpiresAt)}, nil
	}
}
