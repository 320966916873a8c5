package toolkit

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// MirrorTag returns the tag of a DTK's copy in a mirror: the OpenShift release, "4.20.16". The other DTKs that a
// release may have are told apart by the payload tag that the catalogue calls their component:
// "5.0.1-driver-toolkit-10".
func MirrorTag(release version.OCP, component string) string {
	if component == "" {
		return release.String()
	}
	return release.String() + "-" + component
}

// Mirror is a repository of a registry that holds copies of DTK images: the tag of a copy is MirrorTag's, and its
// digest the one that the catalogue has. It asks the registry only what it has to know, and once; a failure is an
// answer as well. It may be used from several goroutines.
type Mirror struct {
	target    registry.Target
	log       *slog.Logger
	tagsOf    map[string][]string // the tags that a DTK's copies may have
	originals map[string][]string // the DTKs of a tag
	tags      memo[map[string]bool]
	copies    map[string]*memo[string] // digests, by tag
}

// NewMirror returns the mirror in repository, "HOST/REPOSITORY". tags has for each DTK ("REPOSITORY@sha256:DIGEST") the
// tags that its copies may have; log may be nil. Nothing is asked of the registry yet.
func NewMirror(
	client *registry.Client, repository string, tags map[string][]string, log *slog.Logger,
) (*Mirror, error) {
	kind, _, err := registry.ParseTarget(repository)
	if err == nil && kind != registry.KindRegistry {
		err = fmt.Errorf("%q is not a repository of a registry", repository)
	}
	if err != nil {
		return nil, fault.Wrap(fmt.Errorf("mirror of driver toolkits: %w", err),
			"name the mirror as HOST/REPOSITORY, without a tag")
	}
	target, err := registry.NewTarget(repository, client)
	if err != nil {
		return nil, fmt.Errorf("mirror of driver toolkits: %w", err)
	}
	m := &Mirror{
		target: target, log: cmp.Or(log, slog.New(slog.DiscardHandler)), tagsOf: map[string][]string{},
		originals: map[string][]string{}, copies: map[string]*memo[string]{},
	}
	for dtk, names := range tags {
		if _, err := name.NewDigest(dtk, name.StrictValidation); err != nil {
			return nil, fmt.Errorf("mirror of driver toolkits: driver toolkit %q: %w", dtk, err)
		}
		m.tagsOf[dtk] = slices.Clone(names)
		for _, tag := range names {
			m.originals[tag] = append(m.originals[tag], dtk)
			m.copies[tag] = &memo[string]{}
		}
	}
	for _, dtks := range m.originals {
		slices.Sort(dtks) // or what is said of them would differ from run to run
	}
	return m, nil
}

// Locate returns where the image dtk can be had: in the mirror, by the same digest, if one of its tags there leads to
// that digest, else dtk as it was given. A tag that leads to another digest than the catalogue's is not used, and the
// log says so once.
//
// It blocks on the network for the first question of its kind. A mirror that cannot be asked is an error with advice,
// every time without asking again; what to do then is the caller's to decide. A repository that does not exist is an
// empty mirror.
func (m *Mirror) Locate(ctx context.Context, dtk string) (string, error) {
	for _, tag := range m.tagsOf[dtk] {
		digest, err := m.copyDigest(ctx, tag)
		if err != nil {
			return "", fmt.Errorf("mirror of driver toolkits: %w", err)
		}
		if digest == digestOf(dtk) {
			return m.target.String() + "@" + digest, nil
		}
	}
	return dtk, nil
}

// Prefer returns dtks with those first of which the mirror has a copy, otherwise in the order they came in. Any DTK of
// a kernel will do to build for it, and the mirror may hold one DTK for each kernel only. It asks as Locate does.
func (m *Mirror) Prefer(ctx context.Context, dtks []string) ([]string, error) {
	var here, elsewhere []string
	for _, dtk := range dtks {
		at, err := m.Locate(ctx, dtk)
		if err != nil {
			return nil, err
		}
		if at != dtk {
			here = append(here, dtk)
		} else {
			elsewhere = append(elsewhere, dtk)
		}
	}
	return append(here, elsewhere...), nil
}

// copyDigest returns the digest of what the mirror has under a tag, "" if it has nothing.
func (m *Mirror) copyDigest(ctx context.Context, tag string) (string, error) {
	tags, err := m.tags.get(ctx, m.target.Tags)
	if err != nil || !tags[tag] {
		return "", err
	}
	return m.copies[tag].get(ctx, func(ctx context.Context) (string, error) {
		descriptor, found, err := m.target.Stat(ctx, tag)
		if err != nil || !found {
			return "", err
		}
		m.warnOfOther(tag, descriptor.Digest)
		return descriptor.Digest, nil
	})
}

// warnOfOther warns of a copy that is none of what the catalogue has for the tag.
func (m *Mirror) warnOfOther(tag, digest string) {
	var want []string
	for _, dtk := range m.originals[tag] {
		want = append(want, digestOf(dtk))
	}
	if slices.Contains(want, digest) {
		return
	}
	m.log.Warn("the mirror has another Driver Toolkit for this release than the catalogue; it is not used",
		"mirror", m.target.Reference(tag), "has", digest, "want", strings.Join(want, " or "),
		"hint", "copy it anew with `neuron-kmod catalog mirror --force`, or correct the catalogue")
}

// digestOf returns the digest of "REPOSITORY@DIGEST".
func digestOf(dtk string) string {
	_, digest, _ := strings.Cut(dtk, "@")
	return digest
}

// memo is what a registry has answered to one question.
type memo[T any] struct {
	mu    sync.Mutex
	known bool
	value T
	err   error
}

// get calls ask if nobody has before, and while it does others wait. An error after ctx has ended is not kept.
func (m *memo[T]) get(ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.known {
		value, err := ask(ctx)
		if err != nil && ctx.Err() != nil {
			return value, err
		}
		m.known, m.value, m.err = true, value, err
	}
	return m.value, m.err
}
