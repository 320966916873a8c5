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
func (t *remoteTarget) Publish(ctx context.Context, tag string, img v1.Image, overwrite bool) (Published, error) {
	if err := checkTag(tag); err != nil {
		return Published{}, err
	}
	want, err := describe(img)
	if err != nil {
		return Published{}, err
	}
	if !overwrite {
		have, exists, err := t.Published(ctx, tag)
		if err != nil {
			return Published{}, err
		}
		if exists {
			return have, ErrExists
		}
	}
	if err := t.push(ctx, tag, img, want); err != nil {
		return Published{}, fmt.Errorf("push %s: %w", t.Reference(tag), t.classify(ctx, err))
	}
	if have, err := t.putTag(ctx, tag, img, want, overwrite); err != nil {
		return have, err
	}
	if err := t.verify(ctx, tag, want); err != nil {
		return Published{}, fmt.Errorf("read back %s: %w", t.Reference(tag), t.classify(ctx, err))
	}
	return want, nil
}

// push uploads everything but the tag: the blobs that are missing and the manifest by its digest. An upload that broke
// in its middle cannot be repeated, because nobody knows how much of it arrived; it is started over. What arrived whole
// is not sent again.
func (t *remoteTarget) push(ctx context.Context, tag string, img v1.Image, want Published) error {
	scopes, err := t.pushScopes(img)
	if err != nil {
		return err
	}
	pusher, err := t.pusher(ctx, scopes...)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		err := pusher.Push(ctx, t.repo.Digest(want.Digest), img)
		if err == nil || n == len(t.client.restart) || !startOver(ctx, err) {
			return err
		}
		t.client.log.Warn("starting a push over", "image", t.Reference(tag), "reason", Classify(err))
		if err := pause(ctx, t.client.restart[n]); err != nil {
			return err
		}
	}
}

// pushScopes returns what has to be asked of a token server to push img: to write here, and to read the repositories of
// the same registry whose layers it can mount instead of having them sent.
func (t *remoteTarget) pushScopes(img v1.Image) ([]string, error) {
	scopes := []string{t.repo.Scope(transport.PushScope)}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("layers of the image: %w", err)
	}
	for _, l := range layers {
		if m, ok := l.(*remote.MountableLayer); ok && m.Reference.Context().RegistryStr() == t.repo.RegistryStr() {
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
	return remote.NewPusher(append(once(), remote.WithTransport(s.rt))...)
}

// putTag lets the tag lead to the image. Without overwrite it looks once more, now that the blobs are there, because
// uploading them may have given another run time to finish. A registry whose tags are immutable refuses to replace
// one, whatever overwrite says.
func (t *remoteTarget) putTag(ctx context.Context, tag string, img remote.Taggable, want Published, overwrite bool) (Published, error) {
	if !overwrite {
		have, exists, err := t.Published(ctx, tag)
		if err != nil {
			return Published{}, err
		}
		if exists {
			return have, ErrExists
		}
	}
	pusher, err := t.pusher(ctx, t.repo.Scope(transport.PushScope))
	if err == nil {
		err = pusher.Put(ctx, t.repo.Tag(tag), img)
	}
	if err == nil {
		return Published{}, nil
	}
	if have, exists, lookErr := t.Published(ctx, tag); lookErr == nil && exists {
		if have == want {
			return Published{}, nil
		}
		if !overwrite {
			return have, ErrExists
		}
	}
	return Published{}, fmt.Errorf("tag %s: %w", t.Reference(tag), t.classify(ctx, err))
}

// verify reads the tag until it leads to what was published, a few times.
func (t *remoteTarget) verify(ctx context.Context, tag string, want Published) error {
	got := ""
	for _, wait := range t.client.readBack {
		if err := pause(ctx, wait); err != nil {
			return err
		}
		digest, err := t.head(ctx, t.repo.Tag(tag))
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

// head returns the digest that ref leads to, by a HEAD request, or where the answer to that lacks the digest by reading
// the manifest.
func (t *remoteTarget) head(ctx context.Context, ref name.Tag) (string, error) {
	s, err := t.client.pull(ctx, t.repo)
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

// startOver reports whether a push that ended with err may succeed if started over: after trouble with the network or
// in the registry, not if the registry has said a plain no, nor if we were told to stop.
func startOver(ctx context.Context, err error) bool {
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
		case transport.BlobUploadInvalidErrorCode, transport.BlobUploadUnknownErrorCode, transport.DigestInvalidErrorCode, transport.SizeInvalidErrorCode:
			return true
		}
	}
	return e.StatusCode >= 500 && e.StatusCode != http.StatusNotImplemented
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
