package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"

	"neuron-kmod/internal/platform/limit"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// layoutFile are the files that an OCI layout is made of, and so all that is taken out of an archive of one:
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
var layoutFile = regexp.MustCompile(`^(oci-layout|index\.json|blobs/sha256/[0-9a-f]{64})$`)

// loadArchive unpacks an OCI archive into the new directory dir and returns the image in it that is for our platform,
// its digests checked. The archive is removed.
func loadArchive(ctx context.Context, archive, dir string) (v1.Image, error) {
	if err := unpackLayout(ctx, archive, dir); err != nil {
		return nil, err
	}
	if err := os.Remove(archive); err != nil {
		return nil, err
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	img, err := pick(index, 0)
	if err != nil {
		return nil, err
	}
	if err := validate.Image(img); err != nil {
		return nil, err
	}
	return img, nil
}

func unpackLayout(ctx context.Context, archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll("blobs/sha256", 0o700); err != nil {
		return err
	}
	budget := int64(maxUnpacked)
	tr := tar.NewReader(&limit.Reader{Ctx: ctx, R: f, Left: &budget, Exceeded: errUnpacked})
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		if h.Typeflag != tar.TypeReg || !layoutFile.MatchString(name) {
			continue // directories, and docker's manifest.json beside the layout
		}
		if err := writeFile(root, name, tr); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func writeFile(root *os.Root, name string, r io.Reader) error {
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, r); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// pick finds the one image for our platform. Builders put attestations beside an image, as images for a platform
// "unknown", and some wrap both in an index of their own.
func pick(index v1.ImageIndex, depth int) (v1.Image, error) {
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, d := range m.Manifests {
		switch {
		case d.MediaType.IsImage() && isOurs(d):
			return index.Image(d.Digest)
		case d.MediaType == types.OCIImageIndex && depth == 0:
			inner, err := index.ImageIndex(d.Digest)
			if err != nil {
				return nil, err
			}
			return pick(inner, depth+1)
		}
	}
	return nil, fmt.Errorf("no image for %s/%s in it", imageOS, imageArch)
}

func isOurs(d v1.Descriptor) bool {
	return d.Platform == nil || d.Platform.OS == imageOS && d.Platform.Architecture == imageArch
}
