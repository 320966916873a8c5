package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"
)

// parallelPushes bounds how many images go into the registry at once.
const parallelPushes = 4

// PushToolkit puts a DTK stand-in into the registry, if it is not there, and returns its reference:
// HOST/REPOSITORY@DIGEST.
func (e *Env) PushToolkit(ctx context.Context, t Toolkit) (string, error) {
	img, err := e.lab.Toolkit(ctx, t)
	if err != nil {
		return "", err
	}
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	if err := e.push(ctx, ToolkitRepository+"@"+digest.String(), img); err != nil {
		return "", err
	}
	return e.ToolkitHost + "/" + ToolkitRepository + "@" + digest.String(), nil
}

// OwnSize is how many bytes a release's DTK has in the registry, layers and configuration, without the toolchain's
// layer, which all toolkits share.
func (e *Env) OwnSize(ctx context.Context, r Release) (int64, error) {
	r.Toolkit.Release = r.Version
	img, err := e.lab.Toolkit(ctx, r.Toolkit)
	if err != nil {
		return 0, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return 0, err
	}
	size := manifest.Config.Size
	for _, l := range manifest.Layers {
		if l.Digest != e.lab.toolchain.meta.Digest {
			size += l.Size
		}
	}
	return size, nil
}

// push puts an image into the DTK registry.
func (e *Env) push(ctx context.Context, repositoryAndRef string, img v1.Image) error {
	return e.pushTo(ctx, e.toolkits, toolkitAccount, repositoryAndRef, img)
}

// pushTo puts an image into a registry: past what stands before it, so that it is not counted.
func (e *Env) pushTo(
	ctx context.Context, to *registryServer, account Account, repositoryAndRef string, img v1.Image,
) error {
	ref, err := name.ParseReference(to.Host + "/" + repositoryAndRef)
	if err != nil {
		return err
	}
	options := e.remoteOptions(ctx, account)
	want, err := img.Digest()
	if err != nil {
		return err
	}
	if got, err := remote.Head(ref, options...); err == nil && got.Digest == want {
		return nil
	} else if err != nil && !absent(err) {
		return fmt.Errorf("look for %s: %w", ref, err)
	}
	if err := remote.Write(ref, img, options...); err != nil {
		return fmt.Errorf("push %s: %w", ref, err)
	}
	return nil
}

func (e *Env) remoteOptions(ctx context.Context, a Account) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(e.transport),
		remote.WithAuth(&authn.Basic{Username: a.User, Password: a.Password}),
	}
}

// TargetTags lists the tags of the target repository, sorted; none if there is no such repository yet.
func (e *Env) TargetTags(ctx context.Context) ([]string, error) { return e.Tags(ctx, TargetRepository) }

// TargetImage reads an image that is in the target.
func (e *Env) TargetImage(ctx context.Context, tag string) (v1.Image, error) {
	return e.Image(ctx, TargetRepository, tag)
}

// Tags does what TargetTags does for any repository of the target's registry.
func (e *Env) Tags(ctx context.Context, repository string) ([]string, error) {
	repo, err := name.NewRepository(e.target.Host + "/" + repository)
	if err != nil {
		return nil, err
	}
	tags, err := remote.List(repo, e.remoteOptions(ctx, targetAccount)...)
	if err != nil && !absent(err) {
		return nil, err
	}
	slices.Sort(tags)
	return tags, nil
}

// Image reads an image of any repository of the target's registry.
func (e *Env) Image(ctx context.Context, repository, tag string) (v1.Image, error) {
	ref, err := name.NewTag(e.target.Host + "/" + repository + ":" + tag)
	if err != nil {
		return nil, err
	}
	return remote.Image(ref, e.remoteOptions(ctx, targetAccount)...)
}

func absent(err error) bool {
	var failed *transport.Error
	return errors.As(err, &failed) && failed.StatusCode == http.StatusNotFound
}

func (e *Env) pushBaseImages(ctx context.Context) error {
	images, err := e.lab.busybox.baseImages()
	if err != nil {
		return err
	}
	for tag, img := range images {
		if err := e.push(ctx, BaseRepository+":"+tag, img); err != nil {
			return err
		}
		if e.Cloud == nil {
			continue
		}
		if err := e.pushTo(ctx, e.target, targetAccount, BaseRepository+":"+tag, img); err != nil {
			return err
		}
	}
	return nil
}

// catalogEntries puts the releases' DTKs into the registry and returns their entries. The first one goes alone: it
// brings the layer that all share.
func (e *Env) catalogEntries(ctx context.Context, releases []Release) ([]catalogEntry, error) {
	entries := make([]catalogEntry, len(releases))
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(parallelPushes)
	for i, release := range releases {
		add := func(ctx context.Context) (err error) {
			entries[i], err = e.catalogEntry(ctx, release)
			return err
		}
		if i == 0 {
			if err := add(ctx); err != nil {
				return nil, err
			}
			continue
		}
		g.Go(func() error { return add(groupCtx) })
	}
	return entries, g.Wait()
}

func (e *Env) catalogEntry(ctx context.Context, r Release) (catalogEntry, error) {
	entry := catalogEntry{Arch: r.Arch, Version: r.Version}
	if entry.Arch == "" {
		entry.Arch = "x86_64"
	}
	if r.Known {
		entry.Kernel = r.Toolkit.Kernel
	}
	if r.Gone || entry.Arch != "x86_64" {
		sum := sha256.Sum256([]byte("no image for " + r.Version + entry.Arch))
		entry.DTK = e.ToolkitHost + "/" + ToolkitRepository + "@sha256:" + hex.EncodeToString(sum[:])
		return entry, nil
	}
	r.Toolkit.Release = r.Version
	dtk, err := e.PushToolkit(ctx, r.Toolkit)
	entry.DTK = dtk
	return entry, err
}
