package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxChildren bounds an index; real ones have one manifest for each platform, and perhaps as many attestations.
const maxChildren = 128

// manifest is the raw bytes of a manifest, which alone keep its digest. go-containerregistry can put it under a tag.
type manifest struct {
	raw       []byte
	mediaType types.MediaType
	digest    v1.Hash
}

func (m manifest) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m manifest) MediaType() (types.MediaType, error) { return m.mediaType, nil }
func (m manifest) Digest() (v1.Hash, error)            { return m.digest, nil }
func (m manifest) Size() (int64, error)                { return int64(len(m.raw)), nil }

// newManifest returns raw with the media type that it names itself, or else the one that it was served as.
func newManifest(raw []byte, servedAs types.MediaType, digest v1.Hash) (manifest, error) {
	m := manifest{raw: raw, mediaType: servedAs, digest: digest}
	var named struct {
		MediaType types.MediaType `json:"mediaType"`
	}
	if err := json.Unmarshal(raw, &named); err != nil {
		return manifest{}, fmt.Errorf("parse manifest %s: %w", digest, err)
	}
	if named.MediaType != "" {
		m.mediaType = named.MediaType
	}
	if !m.mediaType.IsImage() && !m.mediaType.IsIndex() {
		return manifest{}, fmt.Errorf("manifest %s: media type %.100q is neither an image's nor an index's",
			digest, m.mediaType)
	}
	return m, nil
}

// content is everything that an image or an index consists of.
type content struct {
	top      manifest
	children []manifest      // of an index
	blobs    []v1.Descriptor // configurations and layers, each once
}

// size returns the sum of all parts, in bytes.
func (c *content) size() int64 {
	total := int64(len(c.top.raw))
	for _, m := range c.children {
		total += int64(len(m.raw))
	}
	for _, b := range c.blobs {
		total += b.Size
	}
	return total
}

// readContent reads the manifest that ref names and, if that is an index, those of its images.
func readContent(ctx context.Context, from contentStore, ref string) (*content, error) {
	top, err := from.fetchManifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	c := &content{top: top}
	if !top.mediaType.IsIndex() {
		return c, c.addBlobs(top)
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(top.raw))
	if err != nil {
		return nil, fmt.Errorf("parse index %s: %w", top.digest, err)
	}
	if len(index.Manifests) > maxChildren {
		return nil, fmt.Errorf("index %s has %d manifests", top.digest, len(index.Manifests))
	}
	for _, d := range index.Manifests {
		child, err := from.fetchManifest(ctx, d.Digest.String())
		if err != nil {
			return nil, fmt.Errorf("index %s: %w", top.digest, err)
		}
		if child.mediaType.IsIndex() {
			return nil, fmt.Errorf("index %s has another index in it, %s", top.digest, child.digest)
		}
		c.children = append(c.children, child)
		if err := c.addBlobs(child); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *content) addBlobs(m manifest) error {
	parsed, err := v1.ParseManifest(bytes.NewReader(m.raw))
	if err != nil {
		return fmt.Errorf("parse manifest %s: %w", m.digest, err)
	}
	if err := checkManifest(parsed); err != nil {
		return fmt.Errorf("manifest %s: %w", m.digest, err)
	}
	if _, err := v1.NewHash(parsed.Config.Digest.String()); err != nil {
		return fmt.Errorf("manifest %s: digest of the configuration: %w", m.digest, err)
	}
	for _, d := range append(parsed.Layers, parsed.Config) {
		if !c.has(d.Digest) {
			c.blobs = append(c.blobs, d)
		}
	}
	return nil
}

func (c *content) has(h v1.Hash) bool {
	for _, b := range c.blobs {
		if b.Digest == h {
			return true
		}
	}
	return false
}

// digests returns the digests of all parts.
func (c *content) digests() []v1.Hash {
	out := []v1.Hash{c.top.digest}
	for _, m := range c.children {
		out = append(out, m.digest)
	}
	for _, b := range c.blobs {
		out = append(out, b.Digest)
	}
	return out
}
