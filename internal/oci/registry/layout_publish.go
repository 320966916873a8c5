package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/renameio/v2"

	"neuron-kmod/internal/platform/filelock"
)

// lockFile is locked by the process that writes to the layout, and exists only as long. While blobs are written or
// removed it is their journal: it names their digests, so that the next writer can remove what one that was killed
// left. Nothing else distinguishes such blobs from other tools'.
const lockFile = ".neuron-kmod.lock"

// Publish implements Target. Everything happens under the layout's lock: the tag is read, blobs are written, then the
// index that names them; then blobs that only the replaced image had are removed.
func (t *layoutTarget) Publish(ctx context.Context, tag string, img v1.Image, overwrite bool) (Descriptor, error) {
	if err := checkTag(tag); err != nil {
		return Descriptor{}, err
	}
	img, err := ociForm(img)
	if err != nil {
		return Descriptor{}, fmt.Errorf("write %s: %w", t.Reference(tag), err)
	}
	want, err := describeImage(img)
	if err != nil {
		return Descriptor{}, err
	}
	have, exists, err := t.Stat(ctx, tag)
	if err != nil && !overwrite {
		return Descriptor{}, err
	}
	if exists && !overwrite { // found without the lock, so that not even a lock file is written
		return have, ErrExists
	}
	have, err = t.publishLocked(ctx, tag, img, want, overwrite)
	if err != nil && !errors.Is(err, ErrExists) {
		return Descriptor{}, fmt.Errorf("write %s: %w", t.Reference(tag), Classify(err))
	}
	return have, err
}

func (t *layoutTarget) publishLocked(
	ctx context.Context, tag string, img v1.Image, want Descriptor, overwrite bool,
) (_ Descriptor, err error) {
	lock, err := t.layout.lock(ctx)
	if err != nil {
		return Descriptor{}, err
	}
	defer func() { err = errors.Join(err, t.layout.unlock(lock)) }()
	if err := t.layout.gc(nil); err != nil { // what a killed run left
		return Descriptor{}, err
	}
	index, err := t.layout.readIndex()
	if err != nil {
		return Descriptor{}, err
	}
	at := tagIndex(index, tag)
	if at >= 0 && !overwrite {
		have, _, err := t.Stat(ctx, tag)
		return have, errors.Join(err, ErrExists)
	}
	touched, err := partsOf(img)
	if err != nil {
		return Descriptor{}, err
	}
	if at >= 0 {
		touched = append(touched, t.layout.reachable(index.Manifests[at])...)
	}
	if err := t.layout.writeJournal(touched); err != nil {
		return Descriptor{}, err
	}
	defer func() { err = errors.Join(err, t.layout.gc(nil)) }()
	entry, err := t.layout.writeImage(ctx, img)
	if err != nil {
		return Descriptor{}, err
	}
	if err := t.layout.writeIndex(index, tag, entry); err != nil {
		return Descriptor{}, err
	}
	got, _, err := t.Stat(ctx, tag)
	if err == nil && got != want {
		err = &MismatchError{Tag: tag, Want: want.Digest, Got: got.Digest}
	}
	return want, err
}

// lock waits for the layout's lock, making the directory if it is not there.
func (l *layoutDir) lock(ctx context.Context) (*filelock.Lock, error) {
	if err := l.checkEmpty(); err != nil {
		if _, statErr := os.Stat(filepath.Join(l.path, indexFile)); statErr != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(l.path, 0o755); err != nil {
		return nil, err
	}
	return filelock.Exclusive(ctx, filepath.Join(l.path, lockFile))
}

// unlock releases the lock, and removes its file unless that still names blobs that have to go.
func (l *layoutDir) unlock(lock *filelock.Lock) error {
	if left, err := l.readJournal(); err != nil || len(left) > 0 {
		return errors.Join(err, lock.Close())
	}
	return lock.Remove()
}

// partsOf returns the digests of an image's configuration, layers and manifest.
func partsOf(img v1.Image) ([]v1.Hash, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("manifest of the image: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("digest of the image: %w", err)
	}
	return append(blobDigests(m), digest), nil
}

// blobDigests returns the digests of the configuration and the layers.
func blobDigests(m *v1.Manifest) []v1.Hash {
	out := []v1.Hash{m.Config.Digest}
	for _, l := range m.Layers {
		out = append(out, l.Digest)
	}
	return out
}

// writeImage writes layers, configuration and manifest, each complete under its name before the next, and returns the
// entry of index.json.
//
// It is not layout.Path.WriteImage: that one writes configuration and manifest in place, so that a killed run leaves a
// part under the name of the whole; takes any file of that name for the blob, damaged or not (TestLayoutMendsBlobs);
// gives layers the mode 0600 (TestLayoutModes); and checks no digest, syncs no file and cannot be cancelled.
func (l *layoutDir) writeImage(ctx context.Context, img v1.Image) (v1.Descriptor, error) {
	layers, err := img.Layers()
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("layers of the image: %w", err)
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return v1.Descriptor{}, fmt.Errorf("digest of a layer: %w", err)
		}
		if err := l.writeBlob(ctx, digest, layer.Compressed); err != nil {
			return v1.Descriptor{}, err
		}
	}
	config, err := img.ConfigName()
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("digest of the configuration: %w", err)
	}
	if err := l.writeBlob(ctx, config, opener(img.RawConfigFile)); err != nil {
		return v1.Descriptor{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("digest of the image: %w", err)
	}
	size, err := img.Size()
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("size of the manifest: %w", err)
	}
	if err := l.writeBlob(ctx, digest, opener(img.RawManifest)); err != nil {
		return v1.Descriptor{}, err
	}
	platform := &v1.Platform{OS: "linux", Architecture: "amd64"}
	return v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digest, Size: size, Platform: platform}, nil
}

// opener returns a function that opens the bytes that get returns.
func opener(get func() ([]byte, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		data, err := get()
		return io.NopCloser(bytes.NewReader(data)), err
	}
}

// writeBlob writes what open returns under its digest, unless it is there and whole.
func (l *layoutDir) writeBlob(ctx context.Context, h v1.Hash, open func() (io.ReadCloser, error)) error {
	path := l.blobPath(h)
	if f, err := os.Open(path); err == nil {
		got, err := digestOf(h.Algorithm, f)
		f.Close()
		if err == nil && got == h {
			return nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	content, err := open()
	if err != nil {
		return fmt.Errorf("blob %s: %w", h, err)
	}
	defer content.Close()
	file, err := newFile(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }() // after an error; else there is nothing left to remove
	got, err := digestOf(h.Algorithm, io.TeeReader(&cancellable{ctx: ctx, r: content}, file))
	if err != nil {
		return fmt.Errorf("blob %s: %w", h, err)
	}
	if got != h {
		return fmt.Errorf("blob %s has other content: its digest is %s", h, got)
	}
	return file.CloseAtomicallyReplace()
}

// cancellable is a reader that ends with its context.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// newFile opens a file that will appear under path when it is complete.
func newFile(path string) (*renameio.PendingFile, error) {
	return renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(0o644))
}

// isTemporary reports whether name is a temporary file of newFile's for path, left by a run that did not get to the
// rename.
func isTemporary(name, path string) bool {
	rest, ok := strings.CutPrefix(name, "."+filepath.Base(path))
	return ok && rest != "" && strings.Trim(rest, "0123456789") == ""
}

// writeIndex lets tag lead to what entry describes in index.json, and to nothing else.
func (l *layoutDir) writeIndex(index *v1.IndexManifest, tag string, entry v1.Descriptor) error {
	entry.Annotations = map[string]string{refName: tag}
	index.Manifests = slices.DeleteFunc(index.Manifests, func(d v1.Descriptor) bool {
		return d.Annotations[refName] == tag
	})
	index.Manifests = append(index.Manifests, entry)
	if index.MediaType == "" {
		index.MediaType = types.OCIImageIndex
	}
	if err := l.writeJSON("oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"}); err != nil {
		return err
	}
	return l.writeJSON(indexFile, index)
}

func (l *layoutDir) writeJSON(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	file, err := newFile(filepath.Join(l.path, name))
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }() // after an error; else there is nothing left to remove
	if _, err := file.Write(append(data, '\n')); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// removeIfThere removes a file. A file that is gone already is not an error.
func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
