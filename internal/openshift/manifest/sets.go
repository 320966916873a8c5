package manifest

import (
	"fmt"
	"io"
	"slices"
)

// Sets are the mirrors of a cluster: where it looks for images before it asks the repositories that they are named by.
// https://docs.redhat.com/en/documentation/openshift_container_platform/latest/html/images/image-configuration
type Sets struct {
	Name    string   // of the objects
	Sources []string // repositories that images are named by
	Mirror  string   // the repository that has copies
	Tags    bool     // images are named by tags, and not by digests alone
}

// mirrorSet is an ImageDigestMirrorSet or an ImageTagMirrorSet.
type mirrorSet struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       spec     `yaml:"spec"`
}

type spec struct {
	Digests []mirrors `yaml:"imageDigestMirrors,omitempty"`
	Tags    []mirrors `yaml:"imageTagMirrors,omitempty"`
}

// mirrors has no mirrorSourcePolicy: the default lets the source be asked for what the mirror does not have. The
// repository of the Driver Toolkits holds the cluster's own images as well, so forbidding that would break the cluster.
type mirrors struct {
	Source  string   `yaml:"source"`
	Mirrors []string `yaml:"mirrors"`
}

// WriteYAML writes the objects to apply to a cluster: an ImageDigestMirrorSet, and an ImageTagMirrorSet where images
// are named by tags.
func (s Sets) WriteYAML(w io.Writer) error {
	var all []mirrors
	for _, source := range slices.Compact(slices.Sorted(slices.Values(s.Sources))) {
		all = append(all, mirrors{Source: source, Mirrors: []string{s.Mirror}})
	}
	sets := []any{s.object("ImageDigestMirrorSet", spec{Digests: all})}
	if s.Tags {
		sets = append(sets, s.object("ImageTagMirrorSet", spec{Tags: all}))
	}
	if err := writeYAML(w, sets...); err != nil {
		return fmt.Errorf("write the mirror sets: %w", err)
	}
	return nil
}

func (s Sets) object(kind string, what spec) mirrorSet {
	return mirrorSet{APIVersion: "config.openshift.io/v1", Kind: kind, Metadata: metadata{Name: s.Name}, Spec: what}
}
