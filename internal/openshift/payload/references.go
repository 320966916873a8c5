package payload

import (
	"errors"
	"fmt"
	"strings"

	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/platform/jsonfile"
	"neuron-kmod/internal/version"
)

const (
	referencesPath = "release-manifests/image-references"

	// maxReferences bounds the file; real ones have about 200 tags and 120 kB.
	maxReferences = 8 << 20
	// maxToolkits bounds how many Driver Toolkits a release may have. OpenShift 5 has two.
	maxToolkits = 16
)

// Payload is the part of a release that catalogues are about. Images are REGISTRY/REPOSITORY@sha256:DIGEST.
type Payload struct {
	// Toolkits has the Driver Toolkits by the catalogue's component: "" is the one that every release has. It has at least
	// one.
	Toolkits map[string]string

	images map[string]string // by payload tag: those of nodes
}

// nodeTags are the payload tags of the image that nodes boot, the current ones first. OKD's is stream-coreos; before
// OpenShift 4.12 it was machine-os-content.
var nodeTags = []string{"rhel-coreos", "stream-coreos", "machine-os-content"}

// NodeImage returns the image of the nodes that the Driver Toolkit of a component is for, "" if the release has none.
// driver-toolkit-10 belongs to rhel-coreos-10.
func (p *Payload) NodeImage(component string) string {
	suffix := strings.TrimPrefix(component, catalog.DefaultComponent)
	for _, tag := range nodeTags {
		if image := p.images[tag+suffix]; image != "" {
			return image
		}
	}
	return ""
}

// references is an image-references file: an ImageStream of OpenShift.
// https://github.com/openshift/oc/blob/main/pkg/cli/admin/release/new.go
type references struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Tags []struct {
			Name string `json:"name"`
			From struct {
				Kind string `json:"kind"`
				Name string `json:"name"`
			} `json:"from"`
		} `json:"tags"`
	} `json:"spec"`
}

// parse reads an image-references file of the release v.
func parse(data []byte, v version.OCP) (*Payload, error) {
	var refs references
	if err := jsonfile.Decode(data, &refs, "an ImageStream"); err != nil {
		return nil, err
	}
	if got := refs.Metadata.Name; got != v.String() {
		return nil, fmt.Errorf("it is of the release %.80q", got)
	}
	p := &Payload{Toolkits: map[string]string{}, images: map[string]string{}}
	for _, tag := range refs.Spec.Tags {
		component, toolkit := componentOf(tag.Name)
		if !toolkit && !isNode(tag.Name) {
			continue
		}
		if tag.From.Kind != "DockerImage" {
			return nil, fmt.Errorf("%.80q is a %.80q, not an image", tag.Name, tag.From.Kind)
		}
		if err := catalog.CheckImage(tag.From.Name); err != nil {
			return nil, fmt.Errorf("image of %.80q: %w", tag.Name, err)
		}
		if !toolkit {
			p.images[tag.Name] = tag.From.Name
			continue
		}
		if p.Toolkits[component] != "" {
			return nil, fmt.Errorf("%s is in it twice", tag.Name)
		}
		if p.Toolkits[component] = tag.From.Name; len(p.Toolkits) > maxToolkits {
			return nil, fmt.Errorf("it has more than %d Driver Toolkits", maxToolkits)
		}
	}
	if len(p.Toolkits) == 0 {
		return nil, errors.New("the release has no " + catalog.DefaultComponent)
	}
	return p, nil
}

// componentOf returns the catalogue's component for a payload tag; false if the tag is not a Driver Toolkit's.
func componentOf(tag string) (string, bool) {
	if tag == catalog.DefaultComponent {
		return "", true
	}
	return tag, strings.HasPrefix(tag, catalog.DefaultComponent+"-") && catalog.CheckComponent(tag) == nil
}

// isNode reports whether a payload tag is that of a node image, of any stream, such as rhel-coreos-10.
func isNode(tag string) bool {
	for _, node := range nodeTags {
		rest, ok := strings.CutPrefix(tag, node)
		if ok && (rest == "" || rest[0] == '-' && len(rest) > 1 && strings.Trim(rest[1:], "0123456789") == "") {
			return true
		}
	}
	return false
}
