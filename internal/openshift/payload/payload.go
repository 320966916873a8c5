// Package payload reads what an OpenShift release is made of: which releases a repository of release images has, which
// image each of them has for the Driver Toolkit and for its nodes, and which kernel the nodes boot. Nothing is pulled:
// of a release image one file is read, of a node image its labels.
//
// What it reads is foreign: sizes are bounded, names and digests validated.
package payload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/layerfile"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// DefaultRepository is where OpenShift's releases are, for everyone to read.
const DefaultRepository = "quay.io/openshift-release-dev/ocp-release"

// Release names a release image: the tag VERSION-ARCH.
type Release struct {
	Version version.OCP
	Arch    string // as catalogues name it: "x86_64"
}

// Tag returns the tag of the release image.
func (r Release) Tag() string { return r.Version.String() + "-" + r.Arch }

// Compare orders releases by version, then architecture.
func (r Release) Compare(o Release) int {
	return cmp.Or(r.Version.Compare(o.Version), strings.Compare(r.Arch, o.Arch))
}

// releaseForm is the form of releases, and of the pre-releases that are published for use: engineering, feature and
// release candidates. What else a repository may have, such as hotfixes or the parts of a release for several
// architectures, is no release here.
var releaseForm = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-(ec|fc|rc)\.[0-9]+)?$`)

// ParseTag reads the tag of a release image; false for any other tag.
func ParseTag(tag string) (Release, bool) {
	at := strings.LastIndexByte(tag, '-')
	if at < 0 || catalog.CheckArch(tag[at+1:]) != nil || !releaseForm.MatchString(tag[:at]) {
		return Release{}, false
	}
	v, err := version.ParseOCP(tag[:at])
	return Release{Version: v, Arch: tag[at+1:]}, err == nil
}

// Repository is a repository of release images: OpenShift's own, or a mirror of it that keeps the tags. It may be used
// from several goroutines.
type Repository struct {
	// Images is a repository, "HOST/REPOSITORY", in which the images that releases are made of are read, by their digests;
	// "" means that each is read where the release says.
	Images string

	client *registry.Client
	target registry.Target
	repo   name.Repository
}

// NewRepository returns the repository "HOST/REPOSITORY". It looks at the name alone.
func NewRepository(client *registry.Client, where string) (*Repository, error) {
	kind, _, err := registry.ParseTarget(where)
	if err == nil && kind != registry.KindRegistry {
		err = errors.New("it is not a repository of a registry")
	}
	if err != nil {
		return nil, fault.Wrap(fmt.Errorf("repository of releases %q: %w", where, err),
			"name it as HOST/REPOSITORY, such as "+DefaultRepository)
	}
	target, err := registry.NewTarget(where, client)
	if err != nil {
		return nil, err
	}
	repo, err := name.NewRepository(where, name.StrictValidation)
	if err != nil {
		return nil, fmt.Errorf("repository of releases: %w", err)
	}
	return &Repository{client: client, target: target, repo: repo}, nil
}

// String returns the repository as it was named.
func (r *Repository) String() string { return r.target.String() }

// Releases lists the releases that the repository has, of all architectures, in the order of Compare. It costs one
// request for each page of the listing. A repository that does not exist has none.
func (r *Repository) Releases(ctx context.Context) ([]Release, error) {
	tags, err := r.target.Tags(ctx)
	if err != nil {
		return nil, err
	}
	var releases []Release
	for tag := range tags {
		if release, ok := ParseTag(tag); ok {
			releases = append(releases, release)
		}
	}
	slices.SortFunc(releases, Release.Compare)
	return releases, nil
}

// maxReach bounds how far a release image is read. OpenShift's have the file at the very beginning of the last layer,
// so one request of 128 KiB does; what is not found in this much is in no image that it makes.
const maxReach = 64 << 20

// Read returns what a release is made of. It costs two requests for images as OpenShift makes them. Among its errors
// are those of package registry; an image that is not the one of that release is an error as well.
func (r *Repository) Read(ctx context.Context, release Release) (*Payload, error) {
	where := r.target.Reference(release.Tag())
	img, _, err := r.client.Image(ctx, where)
	if err != nil {
		return nil, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", where, err)
	}
	file := layerfile.File{Path: referencesPath, Limit: maxReferences, Reach: maxReach}
	data, err := file.Read(ctx, r.client, r.repo, manifest.Layers)
	if errors.Is(err, layerfile.ErrAbsent) {
		err = errors.New("it is not a release image: it has no /" + referencesPath)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", where, err)
	}
	p, err := parse(data, release.Version)
	if err != nil {
		return nil, fmt.Errorf("read %s: /%s: %w", where, referencesPath, err)
	}
	return p, nil
}

// Place returns where an image of a release, REPOSITORY@sha256:DIGEST, is to be read.
func (r *Repository) Place(image string) string {
	if _, digest, ok := strings.Cut(image, "@"); ok && r.Images != "" {
		return r.Images + "@" + digest
	}
	return image
}

// ErrNoKernel says that an image of a node has no label with its kernel.
var ErrNoKernel = errors.New("the image of the nodes has no label with its kernel")

// kernelLabels name the kernel of a node image; older images have the second.
var kernelLabels = []string{"com.coreos.rpm.kernel", "ostree.linux"}

// NodeKernel returns the kernel that an image of nodes boots, by its labels. image is REPOSITORY@sha256:DIGEST, of any
// repository; it is read where Place says. It costs two requests. Among its errors are ErrNoKernel and those of package
// registry.
func (r *Repository) NodeKernel(ctx context.Context, image, arch string) (kernel.Version, error) {
	image = r.Place(image)
	img, _, err := r.client.Image(ctx, image)
	if err != nil {
		return kernel.Version{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return kernel.Version{}, fmt.Errorf("configuration of %s: %w", image, registry.Classify(err))
	}
	for _, label := range kernelLabels {
		text := config.Config.Labels[label]
		if text == "" {
			continue
		}
		k, err := kernel.Parse(text)
		if _, rhel := k.RHEL(); err == nil && rhel && k.Arch() == "" {
			k, err = kernel.Parse(text + "." + arch)
		}
		if err != nil {
			return kernel.Version{}, fmt.Errorf("label %s of %s: %w", label, image, err)
		}
		return k, nil
	}
	return kernel.Version{}, ErrNoKernel
}
