package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"neuron-kmod/internal/platform/limit"
)

// layoutTarget is an OCI image layout in a directory, of which each tag is an entry of index.json.
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
//
// index.json and blobs appear by rename, so a reader needs no lock; writers hold the lock file. See layout_publish.go.
type layoutTarget struct{ layout *layoutDir }

// layoutDir is the directory of a layout: what is read and written in it, under its lock.
type layoutDir struct {
	path string
	log  *slog.Logger
}

const (
	refName   = "org.opencontainers.image.ref.name"
	indexFile = "index.json"
	maxIndex  = 16 << 20
)

func (t *layoutTarget) String() string              { return "oci:" + t.layout.path }
func (t *layoutTarget) Reference(tag string) string { return t.String() + ":" + tag }

// Tags implements Target.
func (t *layoutTarget) Tags(context.Context) (map[string]bool, error) {
	index, err := t.layout.readIndex()
	if err != nil {
		return nil, fmt.Errorf("list the tags of %s: %w", t, Classify(err))
	}
	tags := map[string]bool{}
	for _, d := range index.Manifests {
		if tag := d.Annotations[refName]; tagForm.MatchString(tag) {
			tags[tag] = true
		}
	}
	return tags, nil
}

// Stat implements Target.
func (t *layoutTarget) Stat(_ context.Context, tag string) (Descriptor, bool, error) {
	d, raw, err := t.layout.findTag(tag)
	if Is404(err) {
		return Descriptor{}, false, nil
	}
	if err != nil {
		return Descriptor{}, false, fmt.Errorf("look for %s: %w", t.Reference(tag), Classify(err))
	}
	size, err := contentSize(raw)
	if err != nil {
		return Descriptor{}, false, fmt.Errorf("look for %s: %w", t.Reference(tag), err)
	}
	return Descriptor{Digest: d.Digest.String(), Size: size}, true, nil
}

// Image implements Target.
func (t *layoutTarget) Image(_ context.Context, tag string) (v1.Image, error) {
	img, err := t.openImage(tag)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.Reference(tag), Classify(err))
	}
	return img, nil
}

func (t *layoutTarget) openImage(tag string) (v1.Image, error) {
	d, raw, err := t.layout.findTag(tag)
	if err != nil {
		return nil, err
	}
	if d.MediaType.IsIndex() {
		children, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return nil, fmt.Errorf("parse index %s: %w", d.Digest, err)
		}
		at := slices.IndexFunc(children.Manifests, func(c v1.Descriptor) bool {
			return c.Platform != nil && c.Platform.OS == "linux" && c.Platform.Architecture == "amd64"
		})
		if at < 0 {
			return nil, fmt.Errorf("index %s has no image for linux/amd64", d.Digest)
		}
		d = children.Manifests[at]
		if raw, err = t.layout.readManifest(d.Digest); err != nil {
			return nil, err
		}
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("parse manifest %s: %w", d.Digest, err)
	}
	if err := checkManifest(m); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	return layout.Path(t.layout.path).Image(d.Digest)
}

// findTag returns the entry of index.json and the manifest of tag. A writer may replace the tag and remove its manifest
// between the two reads, hence the further attempts.
func (l *layoutDir) findTag(tag string) (v1.Descriptor, []byte, error) {
	if err := checkTag(tag); err != nil {
		return v1.Descriptor{}, nil, err
	}
	var missing error
	for range 3 {
		index, err := l.readIndex()
		if err != nil {
			return v1.Descriptor{}, nil, err
		}
		at := tagIndex(index, tag)
		if at < 0 {
			return v1.Descriptor{}, nil, errNotFound
		}
		raw, err := l.readManifest(index.Manifests[at].Digest)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return index.Manifests[at], raw, err
		}
		missing = err
	}
	return v1.Descriptor{}, nil, missing
}

// tagIndex returns the position of tag's entry, negative if there is none.
func tagIndex(index *v1.IndexManifest, tag string) int {
	return slices.IndexFunc(index.Manifests, func(d v1.Descriptor) bool { return d.Annotations[refName] == tag })
}

// readIndex returns index.json, or an empty index if the directory does not exist or is empty. A directory with other
// content is refused: images must not be mixed into it.
func (l *layoutDir) readIndex() (*v1.IndexManifest, error) {
	data, err := limit.ReadFile(filepath.Join(l.path, indexFile), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		if err := l.checkEmpty(); err != nil {
			return nil, err
		}
		return &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}, nil
	}
	if err != nil {
		return nil, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("parse %s: %w", filepath.Join(l.path, indexFile), err)
	}
	return &index, nil
}

// checkEmpty returns an error unless the directory is absent, or holds nothing but the beginnings of a layout.
func (l *layoutDir) checkEmpty() error {
	entries, err := os.ReadDir(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case e.Name() == "blobs", e.Name() == "oci-layout", e.Name() == lockFile:
		case isTemporary(e.Name(), indexFile), isTemporary(e.Name(), "oci-layout"):
		default:
			return fmt.Errorf("%s is not an OCI layout: it has no %s, but %s", l.path, indexFile, e.Name())
		}
	}
	return nil
}

func (l *layoutDir) blobPath(h v1.Hash) string {
	return filepath.Join(l.path, "blobs", h.Algorithm, h.Hex)
}

// readManifest returns the bytes of a manifest whose digest is h.
func (l *layoutDir) readManifest(h v1.Hash) ([]byte, error) {
	data, err := limit.ReadFile(l.blobPath(h), answerLimit)
	if err != nil {
		return nil, err
	}
	got, err := digestOf(h.Algorithm, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if got != h {
		return nil, fmt.Errorf("%s is damaged: its digest is %s", l.blobPath(h), got)
	}
	return data, nil
}

// digestOf reads r to its end and returns the digest.
func digestOf(algorithm string, r io.Reader) (v1.Hash, error) {
	hasher, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}, err
	}
	if _, err := io.Copy(hasher, r); err != nil {
		return v1.Hash{}, err
	}
	return v1.Hash{Algorithm: algorithm, Hex: fmt.Sprintf("%x", hasher.Sum(nil))}, nil
}
