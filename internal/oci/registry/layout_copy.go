package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"neuron-kmod/internal/platform/filelock"
)

// store implements Target.
func (t *layoutTarget) store() contentStore { return t }

// fetchManifest implements contentStore.
func (t *layoutTarget) fetchManifest(_ context.Context, ref string) (manifest, error) {
	m, err := t.getManifest(ref)
	if err != nil {
		return manifest{}, fmt.Errorf("read the manifest of %s: %w", Original{From: t, Ref: ref}, Classify(err))
	}
	return m, nil
}

func (t *layoutTarget) getManifest(ref string) (manifest, error) {
	if !isDigest(ref) {
		d, raw, err := t.layout.findTag(ref)
		if err != nil {
			return manifest{}, err
		}
		return newManifest(raw, d.MediaType, d.Digest)
	}
	h, err := v1.NewHash(ref)
	if err != nil {
		return manifest{}, err
	}
	raw, err := t.layout.readManifest(h)
	if errors.Is(err, os.ErrNotExist) {
		return manifest{}, errNotFound
	}
	if err != nil {
		return manifest{}, err
	}
	return newManifest(raw, guessMediaType(raw), h)
}

// guessMediaType returns the media type of a manifest that does not name it itself; OCI's need not.
func guessMediaType(raw []byte) types.MediaType {
	var shape struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	if json.Unmarshal(raw, &shape) == nil && shape.Manifests != nil {
		return types.OCIImageIndex
	}
	return types.OCIManifestSchema1
}

// openBlob implements contentStore.
func (t *layoutTarget) openBlob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	hasher, err := v1.Hasher(d.Digest.Algorithm)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(t.layout.blobPath(d.Digest))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != d.Size {
		err = fmt.Errorf("%s is damaged: it has %d bytes, not %d", f.Name(), info.Size(), d.Size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &checkedFile{file: f, hash: hasher, want: d.Digest}, nil
}

// checkedFile is a file whose digest is checked when it has been read to its end.
type checkedFile struct {
	file *os.File
	hash hash.Hash
	want v1.Hash
}

// Read implements io.Reader.
func (c *checkedFile) Read(p []byte) (int, error) {
	n, err := c.file.Read(p)
	c.hash.Write(p[:n])
	if err != io.EOF {
		return n, err
	}
	if got := fmt.Sprintf("%x", c.hash.Sum(nil)); got != c.want.Hex {
		return n, fmt.Errorf("%s is damaged: its digest is %s:%s", c.file.Name(), c.want.Algorithm, got)
	}
	return n, io.EOF
}

// Close implements io.Closer.
func (c *checkedFile) Close() error { return c.file.Close() }

// isComplete implements contentStore. It compares names and sizes; the content of a file is checked when it is read.
func (t *layoutTarget) isComplete(ctx context.Context, tag string) bool {
	c, err := readContent(ctx, t, tag)
	if err != nil {
		return false
	}
	for _, b := range c.blobs {
		if info, err := os.Stat(t.layout.blobPath(b.Digest)); err != nil || info.Size() != b.Size {
			return false
		}
	}
	return true
}

// openWriter implements contentStore. It holds the layout's lock until the writer is closed, and journals the blobs
// that are going to be written. Of those that a stopped run has journaled, the ones that are wanted now stay.
func (t *layoutTarget) openWriter(ctx context.Context, items []*copyItem) (_ copyWriter, err error) {
	lock, err := t.layout.lock(ctx)
	if err != nil {
		return nil, Classify(err)
	}
	defer func() {
		if err != nil {
			err = Classify(errors.Join(err, t.layout.unlock(lock)))
		}
	}()
	index, err := t.layout.readIndex()
	if err != nil {
		return nil, err
	}
	journaled, err := t.layout.readJournal()
	if err != nil {
		return nil, err
	}
	var wanted []v1.Hash
	for _, item := range items {
		wanted = append(wanted, item.content.digests()...)
		if at := tagIndex(index, item.original.Tag); at >= 0 { // what is replaced may have to go
			wanted = append(wanted, t.layout.reachable(index.Manifests[at])...)
		}
	}
	if err := t.layout.writeJournal(append(journaled, wanted...)); err != nil {
		return nil, err
	}
	if err := t.layout.gc(wanted); err != nil {
		return nil, err
	}
	return &layoutWriter{target: t, lock: lock}, nil
}

// layoutWriter writes copies into a layout whose lock it holds.
type layoutWriter struct {
	target *layoutTarget
	lock   *filelock.Lock
	mu     sync.Mutex // of index.json
}

// putBlob implements copyWriter. A blob that is there and whole is not read from its original.
func (w *layoutWriter) putBlob(ctx context.Context, b *blobCopy) error {
	err := w.target.layout.writeBlob(ctx, b.desc.Digest, func() (io.ReadCloser, error) { return b.open(ctx) })
	if readErr := b.readError(); readErr != nil {
		return fmt.Errorf("read %s: %w", b.from, readErr)
	}
	return Classify(err)
}

// putManifest implements copyWriter.
func (w *layoutWriter) putManifest(ctx context.Context, m manifest) error {
	return Classify(w.target.layout.writeBlob(ctx, m.digest, opener(m.RawManifest)))
}

// putTag implements copyWriter.
func (w *layoutWriter) putTag(ctx context.Context, tag string, m manifest, overwrite bool) error {
	if err := w.putManifest(ctx, m); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	index, err := w.target.layout.readIndex()
	if err != nil {
		return Classify(err)
	}
	if at := tagIndex(index, tag); at >= 0 && !overwrite && index.Manifests[at].Digest != m.digest {
		return fmt.Errorf("%w: %s", ErrTagTaken, index.Manifests[at].Digest)
	}
	d := v1.Descriptor{MediaType: m.mediaType, Digest: m.digest, Size: int64(len(m.raw))}
	if err := w.target.layout.writeIndex(index, tag, d); err != nil {
		return Classify(err)
	}
	have, _, err := w.target.Stat(ctx, tag)
	if err == nil && have.Digest != m.digest.String() {
		err = &MismatchError{Tag: tag, Want: m.digest.String(), Got: have.Digest}
	}
	return err
}

// close implements copyWriter. What has arrived of copies that are not complete stays, with its names in the lock file:
// the next run that copies them continues with it, and any other that writes to the layout removes it.
func (w *layoutWriter) close(complete bool) error {
	var err error
	if complete {
		err = w.target.layout.gc(nil)
	}
	return errors.Join(err, w.target.layout.unlock(w.lock))
}
