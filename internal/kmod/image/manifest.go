package image

import (
	"bytes"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

var emptyIndex = empty.Index

// family is one of the two kinds of image, OCI and Docker schema 2. Registries and engines refuse manifests that mix
// their media types.
type family struct {
	manifest, config, layer types.MediaType
	// same gives for a layer type of the other family the one that means the same.
	same map[types.MediaType]types.MediaType
}

var oci = family{
	manifest: types.OCIManifestSchema1,
	config:   types.OCIConfigJSON,
	layer:    types.OCILayer,
	same: map[types.MediaType]types.MediaType{
		types.DockerLayer:             types.OCILayer,
		types.DockerUncompressedLayer: types.OCIUncompressedLayer,
		types.OCILayer:                types.OCILayer,
		types.OCIUncompressedLayer:    types.OCIUncompressedLayer,
		types.OCILayerZStd:            types.OCILayerZStd,
	},
}

var docker = family{
	manifest: types.DockerManifestSchema2,
	config:   types.DockerConfigJSON,
	layer:    types.DockerLayer,
	same: map[types.MediaType]types.MediaType{
		types.DockerLayer:             types.DockerLayer,
		types.DockerUncompressedLayer: types.DockerUncompressedLayer,
		types.OCILayer:                types.DockerLayer,
		types.OCIUncompressedLayer:    types.DockerUncompressedLayer,
	},
}

func familyOf(img v1.Image) (family, error) {
	mt, err := img.MediaType()
	if err != nil {
		return family{}, err
	}
	switch mt {
	case types.OCIManifestSchema1:
		return oci, nil
	case types.DockerManifestSchema2:
		return docker, nil
	}
	return family{}, fmt.Errorf("an image of type %q cannot be built on", mt)
}

// built is an image of ours: a base's layers, our layers, and every byte of manifest and configuration written here.
// Annotations of the base's manifest are left behind, for they describe the base.
type built struct {
	manifest, config []byte
	mediaType        types.MediaType
	configDesc       v1.Descriptor
	layers           map[v1.Hash]v1.Layer
}

// retyped is a layer under the media type that means the same in our family.
type retyped struct {
	v1.Layer
	mediaType types.MediaType
}

func (l retyped) MediaType() (types.MediaType, error) { return l.mediaType, nil }

// build puts layers on top of base, described by cfg, whose diff IDs it completes.
func build(base v1.Image, layers []*layer, cfg *v1.ConfigFile, fam family) (v1.Image, error) {
	m, err := base.Manifest()
	if err != nil {
		return nil, err
	}
	if len(m.Layers) != len(cfg.RootFS.DiffIDs) {
		return nil, fmt.Errorf("it lists %d layers, its configuration %d", len(m.Layers), len(cfg.RootFS.DiffIDs))
	}
	b := &built{mediaType: fam.manifest, layers: map[v1.Hash]v1.Layer{}}
	out := &v1.Manifest{SchemaVersion: 2, MediaType: fam.manifest}
	for _, d := range m.Layers {
		mt, ok := fam.same[d.MediaType]
		if !ok {
			return nil, fmt.Errorf("a layer of type %q does not go into an image of type %q", d.MediaType, fam.manifest)
		}
		l, err := base.LayerByDigest(d.Digest)
		if err != nil {
			return nil, err
		}
		out.Layers = append(out.Layers, v1.Descriptor{MediaType: mt, Size: d.Size, Digest: d.Digest})
		b.layers[d.Digest] = retyped{Layer: l, mediaType: mt}
	}
	for _, l := range layers {
		out.Layers = append(out.Layers,
			v1.Descriptor{MediaType: l.mediaType, Size: int64(len(l.compressed)), Digest: l.digest})
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, l.diffID)
		b.layers[l.digest] = l
	}
	if b.config, err = json.Marshal(cfg); err != nil {
		return nil, err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(b.config))
	if err != nil {
		return nil, err
	}
	out.Config = v1.Descriptor{MediaType: fam.config, Size: size, Digest: digest}
	b.configDesc = out.Config
	if b.manifest, err = json.Marshal(out); err != nil {
		return nil, err
	}
	return partial.CompressedToImage(b)
}

func (b *built) RawManifest() ([]byte, error)        { return b.manifest, nil }
func (b *built) RawConfigFile() ([]byte, error)      { return b.config, nil }
func (b *built) MediaType() (types.MediaType, error) { return b.mediaType, nil }

func (b *built) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	if h == b.configDesc.Digest {
		return partial.ConfigLayer(b)
	}
	if l, ok := b.layers[h]; ok {
		return l, nil
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}
