package toolkit

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/hint"
	"neuron-kmod/internal/registry"
	"neuron-kmod/internal/version"
)

// Mirror is a repository of a registry that holds copies of DTK images: the tag of a copy is the OpenShift release,
// "4.20.16", and its digest the one that the catalogue has. It asks the registry only what it has to know, and once;
// a failure is an answer as well. It may be used from several goroutines.
type Mirror struct {
	target    registry.Target
	log       *slog.Logger
	releases  map[string][]version.OCP // by DTK
	originals map[version.OCP][]string // the DTKs of a release; OpenShift 5 has two
	tags      answer[map[string]bool]
	copies    map[version.OCP]*answer[string] // digests
}

// NewMirror returns the mirror in repository, "HOST/REPOSITORY". releases tells which releases each DTK
// ("REPOSITORY@sha256:DIGEST") belongs to; log may be nil. Nothing is asked of the registry yet.
func NewMirror(client *registry.Client, repository string, releases map[string][]version.OCP, log *slog.Logger) (*Mirror, error) {
	kind, _, err := registry.ParseTarget(repository)
	if err == nil && kind != registry.KindRegistry {
		err = fmt.Errorf("%q is not a repository of a registry", repository)
	}
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("mirror of driver toolkits: %w", err), "name the mirror as HOST/REPOSITORY, without a tag")
	}
	target, err := registry.NewTarget(repository, client)
	if err != nil {
		return nil, fmt.Errorf("mirror of driver toolkits: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	m := &Mirror{
		target: target, log: log, releases: map[string][]version.OCP{},
		originals: map[version.OCP][]string{}, copies: map[version.OCP]*answer[string]{},
	}
	for dtk, belongs := range releases {
		if _, err := name.NewDigest(dtk, name.StrictValidation); err != nil {
			return nil, fmt.Errorf("mirror of driver toolkits: driver toolkit %q: %w", dtk, err)
		}
		m.releases[dtk] = slices.Clone(belongs)
		for _, release := range belongs {
			m.originals[release] = append(m.originals[release], dtk)
			m.copies[release] = &answer[string]{}
		}
	}
	for _, dtks := range m.originals {
		slices.Sort(dtks) // or what is said of them would differ from run to run
	}
	return m, nil
}

// Locate returns where the image dtk can be had: in the mirror, by the same digest, if a tag there for one of its
// releases leads to that digest, else dtk as it was given. A tag that leads to another digest than the release's is
// not used, and the log says so once.
//
// It blocks on the network for the first question of its kind. A mirror that cannot be asked is an error with advice,
// every time without asking again; what to do then is the caller's to decide. A repository that does not exist is an
// empty mirror.
func (m *Mirror) Locate(ctx context.Context, dtk string) (string, error) {
	for _, release := range m.releases[dtk] {
		digest, err := m.copyOf(ctx, release)
		if err != nil {
			return "", fmt.Errorf("mirror of driver toolkits: %w", err)
		}
		if digest == digestOf(dtk) {
			return m.target.String() + "@" + digest, nil
		}
	}
	return dtk, nil
}

// copyOf returns the digest of what the mirror has for a release, "" if it has nothing.
func (m *Mirror) copyOf(ctx context.Context, release version.OCP) (string, error) {
	tags, err := m.tags.get(ctx, m.target.Tags)
	if err != nil || !tags[release.String()] {
		return "", err
	}
	return m.copies[release].get(ctx, func(ctx context.Context) (string, error) {
		there, found, err := m.target.Published(ctx, release.String())
		if err != nil || !found {
			return "", err
		}
		m.check(release, there.Digest)
		return there.Digest, nil
	})
}

// check warns of a copy that is none of what the catalogue has for the release.
func (m *Mirror) check(release version.OCP, digest string) {
	var want []string
	for _, dtk := range m.originals[release] {
		want = append(want, digestOf(dtk))
	}
	if slices.Contains(want, digest) {
		return
	}
	place := m.target.Reference(release.String())
	m.log.Warn("the mirror has another Driver Toolkit for this release than the catalogue; it is not used",
		"release", release, "mirror", place, "has", digest, "want", strings.Join(want, " or "),
		"hint", fmt.Sprintf("copy it anew, with its digest: skopeo copy --all --preserve-digests docker://%s docker://%s; "+
			"or correct the catalogue", m.originals[release][0], place))
}

// digestOf returns the digest of "REPOSITORY@DIGEST".
func digestOf(dtk string) string {
	_, digest, _ := strings.Cut(dtk, "@")
	return digest
}

// answer is what a registry has answered to one question.
type answer[T any] struct {
	mu    sync.Mutex
	known bool
	value T
	err   error
}

// get asks if nobody has asked before, and while it does others wait. That ctx ended is no answer.
func (a *answer[T]) get(ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.known {
		value, err := ask(ctx)
		if err != nil && ctx.Err() != nil {
			return value, err
		}
		a.known, a.value, a.err = true, value, err
	}
	return a.value, a.err
}
