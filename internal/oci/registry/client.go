package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"neuron-kmod/internal/oci/auth"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/limit"
)

// Client sends requests to registries. It authenticates once for each repository and keeps the session, so that many
// small requests stay many small requests. It may be used from several goroutines.
type Client struct {
	keys     *auth.Keychain
	rt       http.RoundTripper
	log      *slog.Logger
	readBack []time.Duration // pauses before each reading of the tag after publishing
	restart  []time.Duration // pauses before a push that broke is started over
	resume   []time.Duration // pauses before a blob's transfer that broke is resumed

	mu       sync.Mutex
	sessions map[string]*session
}

// NewClient returns a client. kc finds credentials (nil means none); rt sends the requests and repeats those that
// can be repeated, as package transport does; log may be nil.
func NewClient(kc *auth.Keychain, rt http.RoundTripper, log *slog.Logger) *Client {
	if kc == nil {
		kc = auth.NewKeychain()
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Client{
		keys: kc,
		rt:   boundedAnswers{next: tokenRefresher{next: rt}},
		log:  log,
		// Some registries show a new tag with a delay of a second or two.
		readBack: []time.Duration{0, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second},
		restart:  []time.Duration{time.Second, 4 * time.Second, 10 * time.Second},
		resume:   []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 800 * time.Millisecond, 2 * time.Second},
		sessions: map[string]*session{},
	}
}

// noRetries returns the options that make go-containerregistry try everything once: the transport repeats requests.
func noRetries() []remote.Option {
	return []remote.Option{
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		remote.WithRetryPredicate(func(error) bool { return false }),
		remote.WithRetryStatusCodes(),
	}
}

// session is an authenticated connection to one repository.
type session struct {
	mu     sync.Mutex
	client *http.Client // nil until authentication has worked
	puller *remote.Puller
	rt     http.RoundTripper
}

// session returns the session for repo with the given scopes, authenticating if it is new. A failure is not remembered.
func (c *Client) session(ctx context.Context, repo name.Repository, scopes ...string) (*session, error) {
	slices.Sort(scopes)
	scopes = slices.Compact(scopes)
	key := repo.Name() + " " + strings.Join(scopes, " ")
	c.mu.Lock()
	s := c.sessions[key]
	if s == nil {
		s = &session{}
		c.sessions[key] = s
	}
	c.mu.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s, nil
	}
	rt, err := c.authenticate(ctx, repo, scopes...)
	if err != nil {
		return nil, err
	}
	puller, err := remote.NewPuller(append(noRetries(), remote.WithTransport(rt))...)
	if err != nil {
		return nil, err
	}
	s.client, s.puller, s.rt = &http.Client{Transport: rt, CheckRedirect: keepTLS}, puller, rt
	return s, nil
}

// authenticate returns a transport that authenticates to the registry of repo the way that one demands. It makes one or
// two requests.
func (c *Client) authenticate(ctx context.Context, repo name.Repository, scopes ...string) (http.RoundTripper, error) {
	auth, err := c.keys.ResolveContext(ctx, repo)
	if err != nil {
		return nil, fmt.Errorf("find credentials for %s: %w", repo.RegistryStr(), err)
	}
	return transport.NewWithContext(ctx, repo.Registry, auth, c.rt, scopes)
}

// pullSession returns the session for reading repo.
func (c *Client) pullSession(ctx context.Context, repo name.Repository) (*session, error) {
	return c.session(ctx, repo, repo.Scope(transport.PullScope))
}

// keepTLS refuses a redirect from https to http and more than a few redirects.
func keepTLS(req *http.Request, via []*http.Request) error {
	if len(via) >= 5 {
		return errors.New("stopped after 5 redirects")
	}
	if req.URL.Scheme != "https" && via[len(via)-1].URL.Scheme == "https" {
		return fmt.Errorf("%s redirects from https to %s", via[len(via)-1].URL.Host, req.URL.Scheme)
	}
	return nil
}

// classify is Classify for what the registry of repo has answered. Where that refuses credentials it names their
// source, which only the client knows.
func (c *Client) classify(ctx context.Context, repo name.Repository, err error) error {
	if (status(err) == http.StatusUnauthorized || isExpired(err)) && fault.Of(err) == "" {
		err = fault.Wrap(err, c.keys.Advice(ctx, repo))
	}
	return Classify(err)
}

// Image returns the image that ref names, the one for linux/amd64 if that is an index, and the digest of what ref
// names. The manifest is read and checked now; configuration and layers when they are asked for, for as long as ctx
// lives.
func (c *Client) Image(ctx context.Context, ref string) (v1.Image, string, error) {
	parsed, err := name.ParseReference(ref, name.StrictValidation)
	if err != nil {
		return nil, "", fault.AsUsage(fmt.Errorf("image %q: %w", ref, err))
	}
	img, digest, err := c.getImage(ctx, parsed)
	if err != nil {
		return nil, "", fmt.Errorf("read the manifest of %s: %w", ref, c.classify(ctx, parsed.Context(), err))
	}
	return img, digest, nil
}

func (c *Client) getImage(ctx context.Context, ref name.Reference) (v1.Image, string, error) {
	s, err := c.pullSession(ctx, ref.Context())
	if err != nil {
		return nil, "", err
	}
	desc, err := s.puller.Get(ctx, ref)
	if err != nil {
		return nil, "", err
	}
	img, err := desc.Image()
	if err != nil {
		return nil, "", err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, "", fmt.Errorf("manifest: %w", err)
	}
	if err := checkManifest(m); err != nil {
		return nil, "", fmt.Errorf("manifest: %w", err)
	}
	return img, desc.Digest.String(), nil
}

// boundedAnswers limits the answers that are held in memory, which are all but blobs: manifests, listings, tokens. No
// registry has to accept a manifest of more than 4 MiB:
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests
type boundedAnswers struct{ next http.RoundTripper }

const answerLimit = 4 << 20

func (b boundedAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil || wantsBlob(req) || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	if resp.ContentLength > answerLimit {
		resp.Body.Close()
		return nil, tooLarge(req)
	}
	left := int64(answerLimit)
	bounded := &limit.Reader{Ctx: req.Context(), R: resp.Body, Left: &left, Exceeded: tooLarge(req)}
	resp.Body = &answerBody{reader: bounded, closer: resp.Body}
	return resp, nil
}

// wantsBlob reports whether req asks for a blob. A redirect leads anywhere, so what counts is the request that was
// redirected first, which net/http keeps. "blobs" may also be a part of a repository's name, hence its position.
func wantsBlob(req *http.Request) bool {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return path.Base(path.Dir(req.URL.Path)) == "blobs"
}

func tooLarge(req *http.Request) error {
	return fmt.Errorf("%s https://%s%s: the answer is larger than %d bytes",
		req.Method, req.URL.Host, req.URL.Path, answerLimit)
}

// answerBody is the body of an answer that is read through reader.
type answerBody struct {
	reader io.Reader
	closer io.Closer
}

func (b *answerBody) Read(p []byte) (int, error) { return b.reader.Read(p) }
func (b *answerBody) Close() error               { return b.closer.Close() }
