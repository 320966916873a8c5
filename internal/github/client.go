package github

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	api "github.com/google/go-github/v89/github"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/limit"
)

// DefaultAPI is the address of GitHub's own API.
const DefaultAPI = "https://api.github.com"

// Options say which repository, and who asks.
type Options struct {
	// API is the address of the API (GITHUB_API_URL); DefaultAPI if empty. Of GitHub Enterprise Server it is
	// https://HOST/api/v3.
	API        string
	Repository string // OWNER/NAME (GITHUB_REPOSITORY)
	// Token is a secret (GITHUB_TOKEN, GH_TOKEN). Without one public repositories can be read.
	Token string
	HTTP  *http.Client // sends the requests; its transport repeats those that are safe to repeat
	Log   *slog.Logger
}

// Client speaks to GitHub about one repository. It may be used by many goroutines.
type Client struct {
	api         *api.Client
	plain       *http.Client // for contents, which are elsewhere: it shows no token
	owner, repo string
	host        string // of the API, for advice
	token       string
	log         *slog.Logger
	waited      atomic.Int64 // for rate limits, in nanoseconds

	// pause waits for so long, or until ctx ends, whose error it then returns.
	pause func(ctx context.Context, d time.Duration) error
}

// New returns a client. It sends nothing. An address or a repository's name that cannot be one is an error with
// advice.
func New(o Options) (*Client, error) {
	owner, repo, ok := strings.Cut(o.Repository, "/")
	if !ok || owner == "" || repo == "" || strings.ContainsAny(repo, "/ ") || strings.HasPrefix(repo, ".") {
		return nil, fault.Wrap(fmt.Errorf("%q is not a repository on GitHub", o.Repository),
			"name it as OWNER/NAME in GITHUB_REPOSITORY")
	}
	base, err := parseAPI(o.API)
	if err != nil {
		return nil, err
	}
	c := &Client{
		plain: o.HTTP, owner: owner, repo: repo, host: base.Host, token: strings.TrimSpace(o.Token),
		log: o.Log, pause: pause,
	}
	sender := *o.HTTP
	sender.Transport = &boundedTransport{next: sender.Transport}
	sender.CheckRedirect = refuseOtherHosts
	address := base.String()
	options := []api.ClientOptionsFunc{
		api.WithHTTPClient(&sender), api.WithURLs(&address, &address),
		// The library would refuse by itself to send anything until a limit is over; here that is waited for.
		api.WithDisableRateLimitCheck(),
	}
	if c.token != "" {
		options = append(options, api.WithAuthToken(c.token))
	}
	if c.api, err = api.NewClient(options...); err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", base.Host, err)
	}
	return c, nil
}

// parseAPI returns the address of an API with a slash at its end.
func parseAPI(address string) (*url.URL, error) {
	if address == "" {
		address = DefaultAPI
	}
	u, err := url.Parse(strings.TrimSuffix(address, "/") + "/")
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" {
		return nil, fault.Wrap(errors.New("GITHUB_API_URL is not the address of an API"),
			"set it to "+DefaultAPI+", or to https://HOST/api/v3 for GitHub Enterprise Server")
	}
	return u, nil
}

// refuseOtherHosts refuses redirects to other hosts, which would be sent the token. GitHub redirects within its API
// when a repository was renamed.
func refuseOtherHosts(next *http.Request, earlier []*http.Request) error {
	if from := earlier[0].URL.Host; next.URL.Host != from {
		return fault.Wrap(fmt.Errorf("%s leads to another host, %s", from, next.URL.Host),
			"set GITHUB_API_URL to the address where the API is")
	}
	if len(earlier) >= 10 {
		return errors.New("redirected too often")
	}
	return nil
}

// maxAnswer bounds what is read of an answer of the API. A page of 100 releases with the longest notes has some 50
// MB.
const maxAnswer = 64 << 20

// boundedTransport cuts off answers that are too long. Contents of assets, which have a length of their own, may be
// longer.
type boundedTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b *boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	next := b.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(req)
	if err == nil && req.Header.Get("Accept") != contentType {
		resp.Body = limit.Body(resp.Body, maxAnswer)
	}
	return resp, err
}

// contentType is what the content of an asset is asked for with.
const contentType = "application/octet-stream"

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
