// Package toolkit finds out which kernel a Driver Toolkit (DTK) image is for, without pulling the image: it reads one
// small file out of the image's layers and remembers the answer by the image's digest.
//
// It knows where the file is, what it looks like and how a mirror names its copies, and nothing of plans or engines.
package toolkit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/layerfile"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/fault"
)

// ErrAbsent says that an image has no /etc/driver-toolkit-release.json: no layer has it, or an upper layer removes it.
var ErrAbsent = errors.New("the image has no /" + metadataPath)

// Reader reads kernels of DTK images. It may be used from several goroutines.
type Reader struct {
	Client *registry.Client
	Cache  *Cache       // nil means that nothing is remembered
	Log    *slog.Logger // nil means silence

	// Locate returns where the image dtk is to be read, by the same digest; nil means where dtk says. Kernel asks it only
	// for what the cache does not have, and what it returns and says is dtk's in any case.
	Locate func(ctx context.Context, dtk string) (string, error)
}

// Result is what became of one image: a kernel, or the reason why there is none.
type Result struct {
	Kernel kernel.Version
	Err    error
}

// Kernels returns the kernel of each image, as Kernel does, asking for at most parallel of them at once. The result has
// an entry for each of dtks; one that failed takes no other with it.
func (r *Reader) Kernels(ctx context.Context, dtks []string, parallel int) map[string]Result {
	var mu sync.Mutex
	results := make(map[string]Result, len(dtks))
	seen := make(map[string]bool, len(dtks))
	var group errgroup.Group
	group.SetLimit(max(1, parallel))
	for _, dtk := range dtks {
		if seen[dtk] {
			continue
		}
		seen[dtk] = true
		group.Go(func() error {
			k, err := r.Kernel(ctx, dtk)
			mu.Lock()
			defer mu.Unlock()
			results[dtk] = Result{Kernel: k, Err: err}
			return nil
		})
	}
	_ = group.Wait() // the functions report through results
	return results
}

// Kernel returns the kernel that dtk ("REPOSITORY@sha256:DIGEST") is for: from the cache, else from the registry. It
// blocks on the network until ctx ends. Among its errors are ErrAbsent and those of package registry.
func (r *Reader) Kernel(ctx context.Context, dtk string) (kernel.Version, error) {
	ref, err := name.NewDigest(dtk, name.StrictValidation)
	if err != nil {
		return kernel.Version{}, fmt.Errorf("driver toolkit %q: %w", dtk, err)
	}
	if k, ok := r.Cache.get(ref.DigestStr()); ok {
		return k, nil
	}
	k, err := r.find(ctx, ref)
	if err != nil {
		return kernel.Version{}, fmt.Errorf("kernel of driver toolkit %s: %w", dtk, err)
	}
	if err := r.Cache.put(ref.DigestStr(), k); err != nil && r.Log != nil {
		r.Log.Warn("the kernel of a driver toolkit could not be remembered", "toolkit", dtk, "error", err)
	}
	return k, nil
}

// Known returns the kernel that dtk is for if the cache has it.
func (r *Reader) Known(dtk string) (kernel.Version, bool) { return r.Cache.get(digestOf(dtk)) }

// Exists returns nil if the registry shows the image dtk ("REPOSITORY@sha256:DIGEST") where it is to be read, at the
// cost of one request. The error of an image that is not there satisfies registry.Is404.
func (r *Reader) Exists(ctx context.Context, dtk string) error {
	ref, err := name.NewDigest(dtk, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("driver toolkit %q: %w", dtk, err)
	}
	place, err := r.locate(ctx, ref)
	if err != nil {
		return err
	}
	_, _, err = r.Client.Image(ctx, place.String())
	return err
}

// find returns the kernel of the image ref, read where it is to be read.
func (r *Reader) find(ctx context.Context, ref name.Digest) (kernel.Version, error) {
	place, err := r.locate(ctx, ref)
	if err != nil {
		return kernel.Version{}, err
	}
	k, err := r.read(ctx, place)
	if err == nil {
		return k, nil
	}
	advice := "the image is gone or these credentials may not see it: check the pull secret, or update the catalogue"
	if place.Name() != ref.Name() {
		err = fmt.Errorf("its copy %s: %w", place, err)
		advice = "the copy is not complete or these credentials may not see it: copy the image again, with its digest"
	}
	if registry.Is404(err) {
		err = fault.Wrap(err, advice)
	}
	return kernel.Version{}, err
}

// locate asks Locate, and believes it no other digest.
func (r *Reader) locate(ctx context.Context, ref name.Digest) (name.Digest, error) {
	if r.Locate == nil {
		return ref, nil
	}
	place, err := r.Locate(ctx, ref.String())
	if err != nil {
		return name.Digest{}, fmt.Errorf("find out where it is: %w", err)
	}
	located, err := name.NewDigest(place, name.StrictValidation)
	if err != nil {
		return name.Digest{}, fmt.Errorf("it is said to be at %q: %w", place, err)
	}
	if located.DigestStr() != ref.DigestStr() {
		return name.Digest{}, fmt.Errorf("it is said to be at %s, which is another image", place)
	}
	return located, nil
}

// read finds the file in the image's layers and returns the kernel in it. Of a large layer the beginning is taken from
// the registry on trust, which reaches no further than a kernel's name: the module is checked against it when it is
// built.
func (r *Reader) read(ctx context.Context, ref name.Digest) (kernel.Version, error) {
	img, _, err := r.Client.Image(ctx, ref.String())
	if err != nil {
		return kernel.Version{}, registry.Classify(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		return kernel.Version{}, fmt.Errorf("manifest: %w", err)
	}
	data, err := layerfile.File{Path: metadataPath, Limit: maxMetadata}.Read(ctx, r.Client, ref.Context(), manifest.Layers)
	if errors.Is(err, layerfile.ErrAbsent) {
		return kernel.Version{}, ErrAbsent
	}
	if err != nil {
		return kernel.Version{}, err
	}
	return parseKernel(img, data)
}

// parseKernel reads the kernel out of the file's text. Old files name it without its architecture, which then comes
// from the image's configuration.
func parseKernel(img v1.Image, data []byte) (kernel.Version, error) {
	release, err := parseMetadata(data)
	if err != nil {
		return kernel.Version{}, fmt.Errorf("/%s: %w", metadataPath, err)
	}
	k, err := kernel.Parse(release)
	if err != nil {
		return kernel.Version{}, fmt.Errorf("/%s: %w", metadataPath, err)
	}
	if _, rhel := k.RHEL(); !rhel || k.Arch() != "" {
		return k, nil
	}
	config, err := img.ConfigFile()
	if err != nil {
		return kernel.Version{}, fmt.Errorf("configuration: %w", registry.Classify(err))
	}
	arch := kernelArchs[config.Architecture]
	if arch == "" {
		return kernel.Version{}, fmt.Errorf("kernel %s has no architecture, and the image's is %q", k, config.Architecture)
	}
	return kernel.Parse(release + "." + arch)
}

// kernelArchs are the kernel's names of the architectures of OCI images that OpenShift runs on.
var kernelArchs = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "ppc64le": "ppc64le", "s390x": "s390x"}
