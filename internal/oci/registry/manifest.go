package registry

import (
	"bytes"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Bounds of what a manifest may claim. Real images have a configuration of some kilobytes and fewer than 128 layers,
// which is what common storage drivers can stack.
const (
	maxConfig = 8 << 20
	maxLayers = 512
	maxLayer  = 64 << 30
)

// checkManifest refuses claims that would make a reader allocate or download without bounds.
func checkManifest(m *v1.Manifest) error {
	if m.Config.Size < 0 || m.Config.Size > maxConfig {
		return fmt.Errorf("a configuration of %d bytes", m.Config.Size)
	}
	if len(m.Layers) > maxLayers {
		return fmt.Errorf("%d layers", len(m.Layers))
	}
	for i, l := range m.Layers {
		if l.Size < 0 || l.Size > maxLayer {
			return fmt.Errorf("layer %d of %d bytes", i+1, l.Size)
		}
		if _, err := v1.NewHash(l.Digest.String()); err != nil {
			return fmt.Errorf("digest of layer %d: %w", i+1, err)
		}
	}
	return nil
}

// contentSize returns the size of a manifest and of everything that it names, in bytes: configuration and layers, or
// the manifests of an index.
func contentSize(raw []byte) (int64, error) {
	var m struct {
		Config    v1.Descriptor   `json:"config"`
		Layers    []v1.Descriptor `json:"layers"`
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&m); err != nil {
		return 0, fmt.Errorf("parse the manifest: %w", err)
	}
	size := int64(len(raw)) + m.Config.Size
	for _, d := range append(m.Layers, m.Manifests...) {
		size += d.Size
	}
	return size, nil
}
