package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"neuron-kmod/internal/platform/fault"
)

// Publish implements Target: blobs, then the manifest by its digest, then the tag. A run that is killed in between
// leaves nothing that a tag leads to, and the next one finds the blobs that arrived.
func (t *remoteTarget) Publish(ctx context.Context, tag string, img v1.Image, overwrite bool) (Descriptor, error) {
	if err := checkTag(tag); err != nil {
		return Descriptor{}, err
	}
	want, err := describeImage(img)
	if err != nil {
		return Descriptor{}, err
	}
	if !overwrite {
		have, exists, err := t.Stat(ctx, tag)
		if err != nil {
			return Descriptor{}, err
		}
		if exists {
			return have, ErrExists
		}
	}
	if err := t.push(ctx, tag, img, want); err != nil {
		return Descriptor{}, fmt.Errorf("push %s: %w", t.Reference(tag), t.classify(ctx, err))
	}
	return t.commitTag(ctx, tag, img, want, overwrite)
}

// push uploads everything but the tag: the blobs that are missing and the manifest by its digest. An upload that broke
// in its middle cannot be repeated, because it is not known how much of it arrived; it is started over. What arrived
// whole is not sent again.
func (t *remoteTarget) push(ctx context.Context, tag string, img v1.Image, want Descriptor) error {
	scopes, err := pushScopes(t.repo, img)
	if err != nil {
		return err
	}
	pusher, err := t.pusher(ctx, scopes...)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		err := pusher.Push(ctx, t.repo.Digest(want.Digest), img)
		if err == nil || n == len(t.client.restart) || !canRestart(ctx, err) {
			return err
		}
		t.client.log.Warn("starting a push over", "image", t.Reference(tag), "reason", Classify(err))
		if err := sleep(ctx, t.client.restart[n]); err != nil {
			return err
		}
	}
}

// pushScopes returns the scopes of a token that can push img: to write here, and to read the repositories of the same
// registry whose layers can be mounted instead of being sent.
func pushScopes(repo name.Repository, img v1.Image) ([]string, error) {
	scopes := []string{repo.Scope(transport.PushScope)}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("layers of the image: %w", err)
	}
	for _, l := range layers {
		if m, ok := l.(*remote.MountableLayer); ok && m.Reference.Context().RegistryStr() == repo.RegistryStr() {
			scopes = append(scopes, m.Reference.Context().Scope(transport.PullScope))
		}
	}
	return scopes, nil
}

func (t *remoteTarget) pusher(ctx context.Context, scopes ...string) (*remote.Pusher, error) {
	s, err := t.client.session(ctx, t.repo, scopes...)
	if err != nil {
		return nil, err
	}
	return remote.NewPusher(append(noRetries(), remote.WithTransport(s.rt))...)
}

// commitTag lets the tag lead to the image and reads it back. Without overwrite it checks the tag once more, now that
// the blobs are there, because another run may have finished while they were uploaded. A registry whose tags are
// immutable refuses to replace one, whatever overwrite says.
func (t *remoteTarget) commitTag(
	ctx context.Context, tag string, img remote.Taggable, want Descriptor, overwrite bool,
) (Descriptor, error) {
	if !overwrite {
		have, exists, err := t.Stat(ctx, tag)
		if err != nil {
			return Descriptor{}, err
		}
		if exists {
			return have, ErrExists
		}
	}
	pusher, err := t.pusher(ctx, t.repo.Scope(transport.PushScope))
	if err == nil {
		err = pusher.Put(ctx, t.repo.Tag(tag), img)
	}
	if err != nil {
		have, exists, readErr := t.Stat(ctx, tag)
		if readErr != nil || !exists || have != want && overwrite {
			return Descriptor{}, fmt.Errorf("tag %s: %w", t.Reference(tag), t.classify(ctx, err))
		}
		if have != want {
			return have, ErrExists
		}
	}
	if err := t.verifyTag(ctx, tag, want); err != nil {
		return Descriptor{}, fmt.Errorf("read back %s: %w", t.Reference(tag), t.classify(ctx, err))
	}
	return want, nil
}

// verifyTag reads the tag a few times, until it leads to what was published.
func (t *remoteTarget) verifyTag(ctx context.Context, tag string, want Descriptor) error {
	got := ""
	for _, wait := range t.client.readBack {
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		digest, err := t.headDigest(ctx, t.repo.Tag(tag))
		if err != nil && !Is404(err) {
			return err
		}
		if digest == want.Digest {
			return nil
		}
		got = digest
	}
	return fault.Wrap(&MismatchError{Tag: tag, Want: want.Digest, Got: got},
		"if another run published this tag just now, run again to see what counts; otherwise do not trust this registry")
}

// headDigest returns the digest that ref leads to, by a HEAD request, or where the answer to that lacks the digest by
// reading the manifest.
func (t *remoteTarget) headDigest(ctx context.Context, ref name.Tag) (string, error) {
	s, err := t.client.pullSession(ctx, t.repo)
	if err != nil {
		return "", err
	}
	desc, err := s.puller.Head(ctx, ref)
	if err == nil {
		return desc.Digest.String(), nil
	}
	if status(err) != 0 || ctx.Err() != nil {
		return "", err
	}
	full, err := s.puller.Get(ctx, ref)
	if err != nil {
		return "", err
	}
	return full.Digest.String(), nil
}

// canRestart reports whether a push that ended with err may succeed if it is started over: after a failure of the
// network or inside the registry, but not after a refusal or when ctx has ended.
func canRestart(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	e, ok := errors.AsType[*transport.Error](err)
	if !ok {
		_, request := errors.AsType[*url.Error](err)
		_, answer := errors.AsType[net.Error](err)
		return request || answer || errors.Is(err, io.ErrUnexpectedEOF)
	}
	for _, d := range e.Errors {
		switch d.Code {
		case transport.BlobUploadInvalidErrorCode, transport.BlobUploadUnknownErrorCode,
			transport.DigestInvalidErrorCode, transport.SizeInvalidErrorCode:
			return true
		}
	}
	return e.StatusCode >= 500 && e.StatusCode != http.StatusNotImplemented
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
