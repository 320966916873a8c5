// Package github holds what the program does with GitHub.
//
// It reads no environment variable: addresses and tokens are given to it.
package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/limit"
)

// maxTokenAnswer bounds the answer with an identity token, which is about 2 kB.
const maxTokenAnswer = 64 << 10

// ErrNoIdentity says that a job has no identity of its own to show.
var ErrNoIdentity = errors.New("this job may not have an identity token")

// OIDC asks GitHub Actions for tokens that state which job of which repository is running.
// https://docs.github.com/en/actions/reference/security/oidc
type OIDC struct {
	URL     string // ACTIONS_ID_TOKEN_REQUEST_URL
	Request string // ACTIONS_ID_TOKEN_REQUEST_TOKEN; a secret
	HTTP    *http.Client
}

// IDToken returns a new identity token for audience. The token is a secret and lives for a few minutes. It blocks on
// the network until ctx ends. Without URL or Request the error is ErrNoIdentity. Errors never hold a token.
func (o OIDC) IDToken(ctx context.Context, audience string) (string, error) {
	const advice = "give the job in the workflow `permissions: id-token: write`; " +
		"pull requests from forks cannot have it, so run this on pushes or by hand"
	if o.URL == "" || o.Request == "" {
		return "", fault.Wrap(ErrNoIdentity, advice)
	}
	token, err := o.ask(ctx, audience)
	if err != nil {
		return "", fault.Wrap(fmt.Errorf("ask GitHub Actions for an identity token: %w", err),
			"run the job again; if it stays, see https://www.githubstatus.com")
	}
	return token, nil
}

func (o OIDC) ask(ctx context.Context, audience string) (string, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return "", errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is not an address")
	}
	query := u.Query()
	query.Set("audience", audience)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "bearer "+o.Request)
	req.Header.Set("Accept", "application/json")
	resp, err := o.HTTP.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %d %s", u.Host, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	var answer struct{ Value string }
	data, err := limit.ReadAll(resp.Body, maxTokenAnswer)
	if err != nil || json.Unmarshal(data, &answer) != nil || answer.Value == "" {
		return "", fmt.Errorf("%s answers with something else than a token", u.Host) // what it is may be a secret
	}
	return answer.Value, nil
}
