package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"neuron-kmod/internal/platform/fault"
)

// remoteTarget is a repository of a registry.
type remoteTarget struct {
	name   string // as the user wrote it
	repo   name.Repository
	client *Client
}

func (t *remoteTarget) String() string              { return t.name }
func (t *remoteTarget) Reference(tag string) string { return t.name + ":" + tag }

// Bounds of a listing. Registries send at most 1000 tags at once; ECR refuses to be asked for more.
const (
	tagsPerPage = 1000
	maxPages    = 500
)

// Tags implements Target with the tag listing of the distribution specification. It does not use
// go-containerregistry's, which follows pages without a bound and, for a registry with TLS on a loopback or private
// address, refuses the second page.
func (t *remoteTarget) Tags(ctx context.Context) (map[string]bool, error) {
	tags, err := t.listTags(ctx)
	if err != nil {
		err = t.withAccountAdvice(ctx, err, "may list the tags of this repository")
		return nil, fmt.Errorf("list the tags of %s: %w", t, t.classify(ctx, err))
	}
	return tags, nil
}

func (t *remoteTarget) listTags(ctx context.Context) (map[string]bool, error) {
	s, err := t.client.pullSession(ctx, t.repo)
	if err != nil {
		return nil, err
	}
	tags := map[string]bool{}
	next := t.url("tags/list")
	next.RawQuery = fmt.Sprintf("n=%d", tagsPerPage)
	for range maxPages {
		page, following, err := listPage(ctx, s.client, next)
		if Is404(err) && len(tags) == 0 {
			return tags, nil
		}
		if err != nil {
			return nil, err
		}
		for _, tag := range page {
			if tagForm.MatchString(tag) { // others are no valid tags, but might harm a terminal
				tags[tag] = true
			}
		}
		if following == nil {
			return tags, nil
		}
		next = following
	}
	return nil, fmt.Errorf("more than %d pages", maxPages)
}

func (t *remoteTarget) classify(ctx context.Context, err error) error {
	return t.client.classify(ctx, t.repo, err)
}

// withAccountAdvice adds to the refusal of a registry what the account has to be able to do here, which the advice for
// a refusal in general does not say.
func (t *remoteTarget) withAccountAdvice(ctx context.Context, err error, ability string) error {
	switch status(err) {
	case http.StatusUnauthorized:
		if advice := t.client.keys.Advice(ctx, t.repo); advice != "" {
			return fault.Wrap(err, advice+"; the account has to be one that "+ability)
		}
	case http.StatusForbidden:
		if e, ok := errors.AsType[*transport.Error](err); ok && deniedAction(e) == "" && !expired(e) {
			return fault.Wrap(err, fmt.Sprintf("use an account of %s that %s", t.repo.RegistryStr(), ability))
		}
	}
	return err
}

// url returns an address below the repository.
func (t *remoteTarget) url(path string) *url.URL {
	return repoURL(t.repo, path)
}

// repoURL returns an address below a repository. The scheme may be wrong; the session corrects it, because it knows
// which one the registry answered to.
func repoURL(repo name.Repository, path string) *url.URL {
	return &url.URL{Scheme: repo.Scheme(), Host: repo.RegistryStr(), Path: "/v2/" + repo.RepositoryStr() + "/" + path}
}

// listPage reads one page of a listing and returns where the next one is, nil for the last.
func listPage(ctx context.Context, client *http.Client, from *url.URL) ([]string, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return nil, nil, err
	}
	var page struct {
		Tags []string `json:"tags"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		return nil, nil, fmt.Errorf("parse the answer: %w", err)
	}
	next, err := nextPage(resp.Header.Get("Link"), from)
	return page.Tags, next, err
}

// nextPage parses a Link header such as </v2/me/kmod/tags/list?n=1000&last=x>; rel="next". The next page has to be on
// the same host: the credentials are for that one.
func nextPage(link string, from *url.URL) (*url.URL, error) {
	if link == "" {
		return nil, nil
	}
	target, params, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.HasPrefix(link, "<") {
		return nil, fmt.Errorf("the link to the next page is malformed: %.200q", link)
	}
	if strings.Contains(params, "rel=") && !strings.Contains(params, "next") {
		return nil, nil
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("the link to the next page is malformed: %.200q", link)
	}
	next := from.ResolveReference(u)
	if next.Host != from.Host {
		return nil, fmt.Errorf("the next page is said to be on another host, %s", next.Host)
	}
	if next.String() == from.String() {
		return nil, errors.New("a page names itself as the next one")
	}
	next.Scheme = from.Scheme
	return next, nil
}

// Stat implements Target. It reads the manifest, which is one request and has the size as well.
func (t *remoteTarget) Stat(ctx context.Context, tag string) (Descriptor, bool, error) {
	have, err := t.getDescriptor(ctx, tag)
	if Is404(err) {
		return Descriptor{}, false, nil
	}
	if err != nil {
		return Descriptor{}, false, fmt.Errorf("look for %s: %w", t.Reference(tag), t.classify(ctx, err))
	}
	return have, true, nil
}

func (t *remoteTarget) getDescriptor(ctx context.Context, tag string) (Descriptor, error) {
	if err := checkTag(tag); err != nil {
		return Descriptor{}, err
	}
	s, err := t.client.pullSession(ctx, t.repo)
	if err != nil {
		return Descriptor{}, err
	}
	desc, err := s.puller.Get(ctx, t.repo.Tag(tag))
	if err != nil {
		return Descriptor{}, err
	}
	size, err := contentSize(desc.Manifest)
	if err != nil {
		return Descriptor{}, err
	}
	return Descriptor{Digest: desc.Digest.String(), Size: size}, nil
}

// Image implements Target.
func (t *remoteTarget) Image(ctx context.Context, tag string) (v1.Image, error) {
	if err := checkTag(tag); err != nil {
		return nil, err
	}
	img, _, err := t.client.getImage(ctx, t.repo.Tag(tag))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.Reference(tag), t.classify(ctx, err))
	}
	return img, nil
}
