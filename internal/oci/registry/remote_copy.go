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

// store implements Target.
func (t *remoteTarget) store() contentStore { return t }

// fetchManifest implements contentStore.
func (t *remoteTarget) fetchManifest(ctx context.Context, ref string) (manifest, error) {
	m, err := t.getManifest(ctx, ref)
	if err != nil {
		return manifest{}, fmt.Errorf("read the manifest of %s: %w", Original{From: t, Ref: ref}, t.classify(ctx, err))
	}
	return m, nil
}

func (t *remoteTarget) getManifest(ctx context.Context, ref string) (manifest, error) {
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
	s, err := t.client.pullSession(ctx, t.repo)
	if err != nil {
		return manifest{}, err
	}
	desc, err := s.puller.Get(ctx, at)
	if err != nil {
		return manifest{}, err
	}
	return newManifest(desc.Manifest, desc.MediaType, desc.Digest)
}

// openBlob implements contentStore.
func (t *remoteTarget) openBlob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return t.client.wholeBlob(ctx, t.repo, d)
}

// isComplete implements contentStore.
func (t *remoteTarget) isComplete(context.Context, string) bool { return true }

// openWriter implements contentStore. It asks for one token for all the repositories that blobs can be mounted from.
func (t *remoteTarget) openWriter(ctx context.Context, items []*copyItem) (copyWriter, error) {
	scopes := []string{t.repo.Scope(transport.PushScope)}
	for _, item := range items {
		if from, ok := mountSource(t, item.original.From); ok {
			scopes = append(scopes, from.Scope(transport.PullScope))
		}
	}
	pusher, err := t.pusher(ctx, scopes...)
	if err != nil {
		return nil, t.classify(ctx, t.withPushAdvice(ctx, err))
	}
	return &remoteWriter{target: t, pusher: pusher}, nil
}

// mountSource returns the repository of from, if blobs can be mounted from there into to instead of being sent: it is
// another one of the same registry.
func mountSource(to *remoteTarget, from Target) (name.Repository, bool) {
	source, ok := from.store().(*remoteTarget)
	if !ok || source.repo.RegistryStr() != to.repo.RegistryStr() ||
		source.repo.RepositoryStr() == to.repo.RepositoryStr() {
		return name.Repository{}, false
	}
	return source.repo, true
}

// remoteWriter writes copies into a repository of a registry.
type remoteWriter struct {
	target *remoteTarget
	pusher *remote.Pusher
}

// putBlob implements copyWriter: a blob that is there is not sent, one that is elsewhere in the registry is mounted. An
// upload that broke in its middle is started over. Where reading the original breaks, Blob resumes it.
func (w *remoteWriter) putBlob(ctx context.Context, b *blobCopy) error {
	var layer v1.Layer = &streamedLayer{blob: b, ctx: ctx}
	if from, ok := mountSource(w.target, b.from); ok {
		layer = &remote.MountableLayer{Layer: layer, Reference: from.Digest(b.desc.Digest.String())}
	}
	client := w.target.client
	for n := 0; ; n++ {
		err := w.pusher.Upload(ctx, w.target.repo, layer)
		if err == nil {
			return nil
		}
		if readErr := b.readError(); readErr != nil {
			return fmt.Errorf("read %s: %w", b.from, readErr)
		}
		if n == len(client.restart) || !canRestart(ctx, err) {
			return fmt.Errorf("blob %s: %w", b.desc.Digest, w.target.classify(ctx, w.target.withPushAdvice(ctx, err)))
		}
		client.log.Warn("sending a blob anew", "to", w.target.String(), "blob", b.desc.Digest, "reason", Classify(err))
		if err := sleep(ctx, client.restart[n]); err != nil {
			return err
		}
	}
}

// putManifest implements copyWriter.
func (w *remoteWriter) putManifest(ctx context.Context, m manifest) error {
	if err := w.pusher.Put(ctx, w.target.repo.Digest(m.digest.String()), m); err != nil {
		return fmt.Errorf("manifest %s: %w", m.digest, w.target.classify(ctx, w.target.withPushAdvice(ctx, err)))
	}
	return nil
}

// putTag implements copyWriter.
func (w *remoteWriter) putTag(ctx context.Context, tag string, m manifest, overwrite bool) error {
	size, err := contentSize(m.raw)
	if err != nil {
		return err
	}
	want := Descriptor{Digest: m.digest.String(), Size: size}
	have, err := w.target.commitTag(ctx, tag, m, want, overwrite)
	if errors.Is(err, ErrExists) && have == want { // another run was faster
		return nil
	}
	if errors.Is(err, ErrExists) {
		return fmt.Errorf("%w: %s", ErrTagTaken, have.Digest)
	}
	return err
}

// close implements copyWriter.
func (w *remoteWriter) close(bool) error { return nil }
