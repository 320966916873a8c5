package image

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/kmod/engine"
)

// buildahLabel is what podman and buildah add of their own accord.
const buildahLabel = "io.buildah.version"

// Builder is the part of an engine that [EngineBuild] needs.
type Builder interface {
	Build(ctx context.Context, spec engine.BuildSpec) error
}

// EngineBuild has an engine make the image, for what is [ErrNeedsEngine] to [Assemble]. Labels and files come out as
// Assemble makes them; the layers' bytes are the engine's own. It works in a new directory below
// tempDir, which the returned image reads from: tempDir has to stay as long as the image is used, and its owner removes
// it.
func EngineBuild(ctx context.Context, b Builder, spec Spec, tempDir string) (_ v1.Image, err error) {
	stages, err := parseStages(spec.Containerfile, spec.Args)
	if err != nil {
		return nil, err
	}
	if last := stages[len(stages)-1].image; last != spec.Base.Name {
		return nil, wrongBase(fmt.Errorf("the Containerfile's base image is %s, but %s was resolved", last, spec.Base.Name))
	}
	if err := checkLabels(spec.Labels); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(tempDir, "image-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	if err := runEngine(ctx, b, spec, stages, dir); err != nil {
		return nil, fmt.Errorf("building Containerfile with the engine: %w", err)
	}
	img, err := loadArchive(ctx, filepath.Join(dir, "image.tar"), filepath.Join(dir, "layout"))
	if err != nil {
		return nil, fmt.Errorf("reading the image that the engine built from Containerfile: %w", err)
	}
	return normalise(img, spec)
}

// runEngine lays out what the engine reads in dir, and has it write dir/image.tar.
func runEngine(ctx context.Context, b Builder, spec Spec, stages []stage, dir string) error {
	files := filepath.Join(dir, "context")
	if err := copyContext(ctx, spec.Context, files); err != nil {
		return err
	}
	defer os.RemoveAll(files)
	containerfile := filepath.Join(dir, "Containerfile")
	if err := os.WriteFile(containerfile, literalFrom(spec.Containerfile, stages), 0o600); err != nil {
		return err
	}
	created := spec.Created.UTC().Truncate(time.Second)
	images := map[string]v1.Image{}
	for _, st := range stages {
		if st.image != scratch {
			images[st.image] = nil
		}
	}
	images[spec.Base.Name] = spec.Base.Image
	return b.Build(ctx, engine.BuildSpec{
		Context:       files,
		Containerfile: containerfile,
		Args:          spec.Args,
		Labels:        spec.Labels,
		Platform:      imageOS + "/" + imageArch,
		Timestamp:     &created,
		Out:           filepath.Join(dir, "image.tar"),
		Bases:         images,
	})
}

// copyContext copies the directory src to the new directory dst, checked and with the modes that [Spec.Context]
// promises, whatever the umask.
func copyContext(ctx context.Context, src, dst string) (err error) {
	c, err := openContext(ctx, src)
	if err != nil {
		return err
	}
	defer c.root.Close()
	if err := os.Mkdir(dst, 0o755); err != nil {
		return err
	}
	c.tree.walk("", c.tree.root, func(p string, n *node) {
		if err == nil {
			err = c.copyNode(p, n, filepath.Join(dst, filepath.FromSlash(p)))
		}
	})
	if err != nil {
		return fmt.Errorf("copying context %s: %w", src, err)
	}
	return os.Chmod(dst, 0o755)
}

func (c *contextDir) copyNode(p string, n *node, to string) error {
	switch {
	case n.isLink():
		return os.Symlink(n.link, to)
	case n.isDir():
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		return os.Chmod(to, 0o755)
	}
	in, err := c.open(p)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, io.LimitReader(in, n.size)); err != nil {
		out.Close()
		return err
	}
	if err := out.Chmod(os.FileMode(n.mode)); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// normalise makes of the engine's image what Assemble would have made of its configuration, after checking that it is
// built on the right base.
func normalise(img v1.Image, spec Spec) (v1.Image, error) {
	cfg, err := checkPlatform("the image that the engine built", img)
	if err != nil {
		return nil, err
	}
	base, err := spec.Base.Image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of base image %s: %w", spec.Base.Name, err)
	}
	below := base.RootFS.DiffIDs
	if n := len(below); len(cfg.RootFS.DiffIDs) < n || !slices.Equal(cfg.RootFS.DiffIDs[:n], below) {
		return nil, fmt.Errorf("the engine built on another image than the %s (%s) that was checked", spec.Base.Name,
			spec.Base.Digest)
	}
	cfg = ownConfig(cfg, spec.Created.UTC().Truncate(time.Second))
	if _, ok := base.Config.Labels[buildahLabel]; !ok {
		delete(cfg.Config.Labels, buildahLabel)
	}
	dropEmpty(cfg.Config.Labels)
	fam, err := familyOf(img)
	if err != nil {
		return nil, err
	}
	return build(img, nil, cfg, fam)
}
