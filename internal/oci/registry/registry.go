// Package registry holds what the program does with container registries and OCI layouts: find credentials, read
// manifests and blobs, list tags, publish an image and see that it arrived.
//
// It knows images as go-containerregistry's v1.Image, and nothing of kernels, drivers or what an image is for. It
// reads no environment variable: credentials come from the files it is told, the network from the transport it is
// given. What a registry says is foreign: sizes are bounded, digests checked, tags validated.
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
// publish to one place at the same time.
type Target interface {
	// String returns the target as a person writes it: "quay.io/me/kmod" or "oci:DIR".
	String() string
	// Reference returns how a person names the image of a tag: "quay.io/me/kmod:TAG" or "oci:DIR:TAG".
	Reference(tag string) string
	// Tags returns all tags there are. A repository or directory that does not exist has none.
	Tags(ctx context.Context) (map[string]bool, error)
	// Published returns what is there under tag; false if nothing is.
	Published(ctx context.Context, tag string) (Published, bool, error)
	// Image returns the image of tag, its linux/amd64 variant if there are several. Its layers are read when they are
	// asked for, for as long as ctx lives. The error of a tag that is not there satisfies Is404.
	Image(ctx context.Context, tag string) (v1.Image, error)
	// CheckPush reports whether images can be published here, before work is put into one. nil does not promise success:
	// a quota or a rule for single tags shows only with Publish.
	//
	// In a registry it begins an upload in the repository and cancels it: two requests, and one or two before them for a
	// way in of its own. In a directory it makes and removes a file, in the nearest parent that exists if the directory
	// does not. Nothing of it stays. The error has advice; where credentials are missing or not good for pushing it
	// satisfies IsUnauthorized.
	CheckPush(ctx context.Context) error
	// Publish puts img under tag, complete or not at all, reads the tag back, and returns what is there.
	//
	// Without overwrite a tag that exists is left alone, no byte is written, and the error is ErrExists, returned with
	// what exists. Registries know no "create if absent", so of two runs that publish different images under one tag
	// at the same moment the later may win; the earlier then gets a *MismatchError: the tag does not lead to img although
	// the registry accepted it.
	//
	// The digest is img's, except in a layout if img has Docker's format: there it is that of img in OCI's.
	Publish(ctx context.Context, tag string, img v1.Image, overwrite bool) (Published, error)

	// store returns what Copier reads from and writes to. A type that embeds a Target has it as well.
	store() contentStore
}

// Published is an image that is there.
type Published struct {
	Digest string // of what the tag names: "sha256:" and 64 hexadecimal digits
	Size   int64  // of the manifest, the configuration and the layers as they are stored, in bytes
}

// ErrExists says that the tag is taken and was left alone.
var ErrExists = errors.New("the tag exists already")

// MismatchError says that a tag, read back after publishing, did not lead to the image that was published.
type MismatchError struct {
	Tag  string
	Want string // the digest that was published
	Got  string // the digest that was found; "" if the tag was not there
}

func (e *MismatchError) Error() string {
	if e.Got == "" {
		return fmt.Sprintf("tag %s was pushed as %s, but is not there", e.Tag, e.Want)
	}
	return fmt.Sprintf("tag %s was pushed as %s, but leads to %s", e.Tag, e.Want, e.Got)
}

// Kinds of targets, as ParseTarget tells them.
const (
	KindRegistry  = "registry"
	KindLayout    = "oci"
	KindECR       = "ecr"
	KindECRPublic = "ecr-public"
)

// ParseTarget tells the kind of a target and the rest of its text: the repository with its registry, or the directory;
// "" for the two kinds of ECR. It looks at the text alone.
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

const targetForms = "a target is REGISTRY/REPOSITORY, such as quay.io/me/kmod, or oci:DIR, such as oci:./images; the tag is added by the program"

func checkLayoutDir(dir string) error {
	switch {
	case dir == "":
		return fault.Wrap(errors.New("the folder is missing"), targetForms)
	case strings.Contains(dir, ":"):
		// containers/image cuts oci:DIR:TAG at the first colon:
		// https://github.com/containers/image/blob/main/docs/containers-transports.5.md
		return fault.Wrap(errors.New("the folder's name must not contain a colon"), targetForms)
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

// pathForm is what the distribution specification lets a repository's name be, as far as go-containerregistry does not
// see to it: no empty parts, none that starts or ends with a separator.
var pathForm = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)

// NewTarget returns the target that s names, which is none of the kinds of ECR: where those are, AWS has to be asked.
// It looks at the text alone; whether the place exists shows with use.
func NewTarget(s string, c *Client) (Target, error) {
	kind, rest, err := ParseTarget(s)
	if err != nil {
		return nil, err
	}
	switch kind {
	case KindECR, KindECRPublic:
		return nil, fault.Wrap(fmt.Errorf("%s does not name a repository by itself", kind), targetForms)
	case KindLayout:
		return &layoutTarget{dir: rest, log: c.log}, nil
	}
	repo, err := parseRepository(rest)
	if err != nil {
		return nil, err
	}
	return &remoteTarget{name: rest, repo: repo, client: c}, nil
}

// tagForm is what the distribution specification lets a tag be:
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
var tagForm = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

func checkTag(tag string) error {
	if !tagForm.MatchString(tag) {
		return fmt.Errorf("%q is not a tag: at most 128 letters, digits, '_', '.', '-', not starting with '.' or '-'", tag)
	}
	return nil
}

// describe returns what img will be once it is published.
func describe(img v1.Image) (Published, error) {
	digest, err := img.Digest()
	if err != nil {
		return Published{}, fmt.Errorf("digest of the image: %w", err)
	}
	raw, err := img.RawManifest()
	if err != nil {
		return Published{}, fmt.Errorf("manifest of the image: %w", err)
	}
	size, err := contentSize(raw)
	if err != nil {
		return Published{}, err
	}
	return Published{Digest: digest.String(), Size: size}, nil
}
