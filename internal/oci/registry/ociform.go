package registry

import (
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// ociForm returns img with a manifest of OCI's media types; an image that has one comes back as it is. An image on a
// base in Docker's format has that format. Its parts are the same, and only the manifest gives them other media types,
// but skopeo and podman find only OCI manifests in a layout.
func ociForm(img v1.Image) (v1.Image, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("manifest of the image: %w", err)
	}
	if m.MediaType == types.OCIManifestSchema1 {
		return img, nil
	}
	m = m.DeepCopy()
	m.MediaType = types.OCIManifestSchema1
	if m.Config.MediaType, err = ociType(m.Config.MediaType); err != nil {
		return nil, err
	}
	for i := range m.Layers {
		if m.Layers[i].MediaType, err = ociType(m.Layers[i].MediaType); err != nil {
			return nil, err
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("manifest of the image: %w", err)
	}
	return &ociImage{Image: img, raw: raw}, nil
}

// ociType returns OCI's media type for t, one of Docker's or OCI's own.
func ociType(t types.MediaType) (types.MediaType, error) {
	switch t {
	case types.DockerConfigJSON, types.OCIConfigJSON:
		return types.OCIConfigJSON, nil
	case types.DockerLayer, types.OCILayer:
		return types.OCILayer, nil
	case types.DockerUncompressedLayer, types.OCIUncompressedLayer:
		return types.OCIUncompressedLayer, nil
	case types.OCILayerZStd:
		return t, nil
	}
	return "", fmt.Errorf("an OCI layout has no place for media type %q", t)
}

// ociImage is an image with another manifest over the same configuration and layers.
type ociImage struct {
	v1.Image
	raw []byte
}

func (i *ociImage) RawManifest() ([]byte, error)        { return i.raw, nil }
func (i *ociImage) Manifest() (*v1.Manifest, error)     { return partial.Manifest(i) }
func (i *ociImage) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (i *ociImage) Digest() (v1.Hash, error)            { return partial.Digest(i) }
func (i *ociImage) Size() (int64, error)                { return partial.Size(i) }
