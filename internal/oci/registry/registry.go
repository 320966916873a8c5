// Package registry works with container registries and OCI image layouts: it reads manifests and blobs, lists tags,
// publishes images, copies them, and verifies that they arrived.
//
// It knows images as go-containerregistry's v1.Image, and nothing of kernels, drivers or what an image is for. It
// reads no environment variable: credentials come from the keychain, the network from the transport that it is given.
// What a registry answers is not trusted: sizes are bounded, digests checked, tags validated.
package registry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/platform/fault"
)

// Target is where images are published: a repository of a registry, or an OCI layout in a directory. Both behave the
// same way; one test suite runs over both. A Target may be used from several goroutines, and several processes may
// publish to one repository or directory at the same time.
type Target interface {
	// String returns the target as the user writes it: "quay.io/me/kmod" or "oci:DIR".
	String() string
	// Reference returns how the user names the image of a tag: "quay.io/me/kmod:TAG" or "oci:DIR:TAG".
	Reference(tag string) string
	// Tags returns all tags. A repository or directory that does not exist has none.
	Tags(ctx context.Context) (map[string]bool, error)
	// Stat returns what tag leads to; false if there is no such tag.
	Stat(ctx context.Context, tag string) (Descriptor, bool, error)
	// Image returns the image of tag, the one for linux/amd64 if tag leads to an index. Its layers are read when they are
	// asked for, for as long as ctx lives. The error for a tag that does not exist satisfies Is404.
	Image(ctx context.Context, tag string) (v1.Image, error)
	// CheckPush reports whether images can be published here, before work is put into one. nil does not promise success:
	// a quota or a rule for single tags shows only with Publish.
	//
	// In a registry it begins an upload in the repository and cancels it: two requests, after one or two to authenticate.
	// In a directory it creates and removes a file, in the nearest parent that exists if the directory does not. Nothing
	// stays behind. The error has a hint; where credentials are missing or may not push it satisfies IsUnauthorized.
	CheckPush(ctx context.Context) error
	// Publish puts img under tag, complete or not at all, reads the tag back, and returns what it leads to.
	//
	// Without overwrite a tag that exists is left alone, no byte is written, and the error is ErrExists, returned with
	// what exists. Registries have no "create if absent", so of two runs that publish different images under one tag
	// at the same moment the later may win; the earlier then gets a *MismatchError: the tag does not lead to img although
	// the registry accepted it.
	//
	// The digest is img's, except in a layout if img has Docker's format: there it is that of img in OCI's format.
	Publish(ctx context.Context, tag string, img v1.Image, overwrite bool) (Descriptor, error)

	// store returns what Copier reads from and writes to. A type that embeds a Target has it as well.
	store() contentStore
}

// Descriptor describes an image that is at a target.
type Descriptor struct {
	Digest string // of what the tag leads to: "sha256:" and 64 hexadecimal digits
	Size   int64  // of the manifest, the configuration and the layers as they are stored, in bytes
}

// ErrExists reports that the tag exists and was left alone.
var ErrExists = errors.New("the tag exists already")

// MismatchError reports that a tag, read back after publishing, did not lead to the image that was published.
type MismatchError struct {
	Tag  string
	Want string // the digest that was published
	Got  string // the digest that was found; "" if the tag did not exist
}

func (e *MismatchError) Error() string {
	if e.Got == "" {
		return fmt.Sprintf("tag %s was pushed as %s, but is not there", e.Tag, e.Want)
	}
	return fmt.Sprintf("tag %s was pushed as %s, but leads to %s", e.Tag, e.Want, e.Got)
}

// Kinds of targets, as ParseTarget returns them.
const (
	KindRegistry  = "registry"
	KindLayout    = "oci"
	KindECR       = "ecr"
	KindECRPublic = "ecr-public"
)

// ParseTarget returns the kind of a target and the rest of its text: the repository with its registry, or the
// directory; "" for the two kinds of ECR. It parses the text and nothing else.
func ParseTarget(s string) (kind, rest string, err error) {
	if s == KindECR || s == KindECRPublic {
		return s, "", nil
	}
	if dir, ok := strings.CutPrefix(s, "oci:"); ok {
		if err := checkLayoutDir(dir); err != nil {
			return "", "", fmt.Errorf("target %q: %w", s, err)
		}
		return KindLayout, dir, nil
	}
	if _, err := parseRepository(s); err != nil {
		return "", "", fmt.Errorf("target %q: %w", s, err)
	}
	return KindRegistry, s, nil
}

const targetForms = "a target is REGISTRY/REPOSITORY, such as quay.io/me/kmod, or oci:DIR, such as oci:./images; " +
	"the tag is added by the program"

func checkLayoutDir(dir string) error {
	switch {
	case dir == "":
		return fault.Wrap(errors.New("the directory is missing"), targetForms)
	case strings.Contains(dir, ":"):
		// containers/image cuts oci:DIR:TAG at the first colon:
		// https://github.com/containers/image/blob/main/docs/containers-transports.5.md
		return fault.Wrap(errors.New("the directory's name must not contain a colon"), targetForms)
	}
	return nil
}

func parseRepository(s string) (name.Repository, error) {
	host, path, _ := strings.Cut(s, "/")
	if path == "" || !(strings.ContainsAny(host, ".:") || host == "localhost") {
		return name.Repository{}, fault.Wrap(errors.New("it does not name a registry and a repository"), targetForms)
	}
	if strings.Contains(s, "://") || strings.ContainsAny(path, ":@") {
		return name.Repository{}, fault.Wrap(errors.New("it has a scheme, a tag or a digest"), targetForms)
	}
	repo, err := name.NewRepository(s, name.StrictValidation)
	if err == nil && !pathForm.MatchString(path) {
		err = fmt.Errorf("%q is not the name of a repository", path)
	}
	if err != nil {
		return name.Repository{}, fault.Wrap(err, targetForms)
	}
	return repo, nil
}

// pathForm is the form of a repository's name in the distribution specification. go-containerregistry does not check
// all of it: no part is empty, or starts or ends with a separator.
var pathForm = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)

// NewTarget returns the target that s names, which must not be one of the kinds of ECR: only AWS knows their
// repository. It makes no request; whether the target exists shows with use.
func NewTarget(s string, c *Client) (Target, error) {
	kind, rest, err := ParseTarget(s)
	if err != nil {
		return nil, err
	}
	switch kind {
	case KindECR, KindECRPublic:
		return nil, fault.Wrap(fmt.Errorf("%s does not name a repository by itself", kind), targetForms)
	case KindLayout:
		return &layoutTarget{&layoutDir{path: rest, log: c.log}}, nil
	}
	repo, err := parseRepository(rest)
	if err != nil {
		return nil, err
	}
	return &remoteTarget{name: rest, repo: repo, client: c}, nil
}

// tagForm is the form of a tag in the distribution specification:
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
var tagForm = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

func checkTag(tag string) error {
	if !tagForm.MatchString(tag) {
		return fmt.Errorf("%q is not a tag: at most 128 letters, digits, '_', '.', '-', not starting with '.' or '-'", tag)
	}
	return nil
}

// describeImage returns what Stat returns once img is published.
func describeImage(img v1.Image) (Descriptor, error) {
	digest, err := img.Digest()
	if err != nil {
		return Descriptor{}, fmt.Errorf("digest of the image: %w", err)
	}
	raw, err := img.RawManifest()
	if err != nil {
		return Descriptor{}, fmt.Errorf("manifest of the image: %w", err)
	}
	size, err := contentSize(raw)
	if err != nil {
		return Descriptor{}, err
	}
	return Descriptor{Digest: digest.String(), Size: size}, nil
}
