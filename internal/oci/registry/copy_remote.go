package registry

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// fetch implements place.
func (t *remoteTarget) fetch(ctx context.Context, ref string) (manifest, error) {
	m, err := t.fetchManifest(ctx, ref)
	if err != nil {
		return manifest{}, fmt.Errorf("read the manifest of %s: %w", Original{From: t, Ref: ref}, t.classify(ctx, err))
	}
	return m, nil
}

func (t *remoteTarget) fetchManifest(ctx context.Context, ref string) (manifest, error) {
	var at name.Reference
	if isDigest(ref) {
		if _, err := v1.NewHash(ref); err != nil {
			return manifest{}, err
		}
		at = t.repo.Digest(ref)
	} else {
		if err := checkTag(ref); err != nil {
			return manifest{}, err
		}
		at = t.repo.Tag(ref)
	}
	s, err := t.client.pull(ctx, t.repo)
	if err != nil {
		return manifest{}, err
	}
	desc, err := s.puller.Get(ctx, at)
	if err != nil {
		return manifest{}, err
	}
	return newManifest(desc.Manifest, desc.MediaType, desc.Digest)
}

// blob implements place.
func (t *remoteTarget) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return t.client.wholeBlob(ctx, t.repo, d)
}

// whole implements place.
func (t *remoteTarget) whole(context.Context, string) bool { return true }

// receive implements place.
func (t *remoteTarget) receive(ctx context.Context, items []*copyItem) (receiver, error) {
	scopes := []string{t.repo.Scope(transport.PushScope)}
	for _, item := range items {
		if from, ok := item.from.(*remoteTarget); ok && from.mountsInto(t) {
			scopes = append(scopes, from.repo.Scope(transport.PullScope))
		}
	}
	pusher, err := t.pusher(ctx, scopes...)
	if err != nil {
		return nil, t.classify(ctx, t.withPushAdvice(ctx, err))
	}
	return &remoteReceiver{t, pusher}, nil
}

// mountsInto reports whether the blobs of t can be had in to without being sent.
func (t *remoteTarget) mountsInto(to *remoteTarget) bool {
	return t.repo.RegistryStr() == to.repo.RegistryStr() && t.repo.RepositoryStr() != to.repo.RepositoryStr()
}

// remoteReceiver receives copies in a repository of a registry.
type remoteReceiver struct {
	target *remoteTarget
	pusher *remote.Pusher
}

// putBlob implements receiver: a blob that is there is not sent, one that is elsewhere in the registry is mounted. An upload
// that broke in its middle is started over. The original's own breaks are mended where they happen, by Blob.
func (r *remoteReceiver) putBlob(ctx context.Context, b *blobCopy) error {
	layer := b.layer(ctx)
	if from, ok := b.from.(*remoteTarget); ok && from.mountsInto(r.target) {
		layer = &remote.MountableLayer{Layer: layer, Reference: from.repo.Digest(b.desc.Digest.String())}
	}
	client := r.target.client
	for n := 0; ; n++ {
		err := r.pusher.Upload(ctx, r.target.repo, layer)
		if err == nil {
			return nil
		}
		if broken := b.failure(); broken != nil {
			return fmt.Errorf("read %s: %w", b.from, broken)
		}
		if n == len(client.restart) || !startOver(ctx, err) {
			return fmt.Errorf("blob %s: %w", b.desc.Digest, r.target.classify(ctx, r.target.withPushAdvice(ctx, err)))
		}
		client.log.Warn("sending a blob anew", "to", r.target.String(), "blob", b.desc.Digest, "reason", Classify(err))
		if err := pause(ctx, client.restart[n]); err != nil {
			return err
		}
	}
}

// putManifest implements receiver.
func (r *remoteReceiver) putManifest(ctx context.Context, m manifest) error {
	if err := r.pusher.Put(ctx, r.target.repo.Digest(m.digest.String()), m); err != nil {
		return fmt.Errorf("manifest %s: %w", m.digest, r.target.classify(ctx, r.target.withPushAdvice(ctx, err)))
	}
	return nil
}

// putTag implements receiver.
func (r *remoteReceiver) putTag(ctx context.Context, tag string, m manifest, overwrite bool) error {
	size, err := contentSize(m.raw)
	if err != nil {
		return err
	}
	want := Published{Digest: m.digest.String(), Size: size}
	have, err := r.target.putTag(ctx, tag, m, want, overwrite)
	if errors.Is(err, ErrExists) && have == want { // another run was faster
		return nil
	}
	if errors.Is(err, ErrExists) {
		return fmt.Errorf("%w: %s", ErrTagTaken, have.Digest)
	}
	if err != nil {
		return err
	}
	if err := r.target.verify(ctx, tag, want); err != nil {
		return fmt.Errorf("read back %s: %w", r.target.Reference(tag), r.target.classify(ctx, err))
	}
	return nil
}

// close implements receiver.
func (r *remoteReceiver) close(bool) error { return nil }
