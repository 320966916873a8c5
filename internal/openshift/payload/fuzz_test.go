package payload

import (
	"strings"
	"testing"

	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/version"
)

// What is read out of a release has a toolkit, few of them, and only images and components that a catalogue may have.
func FuzzReferences(f *testing.F) {
	image := "quay.io/x/y@sha256:" + strings.Repeat("a", 64)
	for _, seed := range []string{
		`{"metadata":{"name":"4.20.1"},"spec":{"tags":[{"name":"driver-toolkit","from":{"kind":"DockerImage","name":"` + image + `"}},` +
			`{"name":"driver-toolkit-10","from":{"kind":"DockerImage","name":"` + image + `"}},{"name":"rhel-coreos-10","from":{"kind":"DockerImage","name":"` + image + `"}}]}}`,
		`{"metadata":{"name":"4.20.1"},"spec":{"tags":[{"name":"driver-toolkit-\u001b","from":null}]}}`, `{`, `[]`, `null`, `{"spec":{"tags":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	v, err := version.ParseOCP("4.20.1")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse(data, v)
		if err != nil {
			if p != nil || len(err.Error()) > 2048 {
				t.Errorf("%v with error %v", p, err)
			}
			return
		}
		if len(p.Toolkits) == 0 || len(p.Toolkits) > maxToolkits {
			t.Errorf("%d toolkits", len(p.Toolkits))
		}
		for component, image := range p.Toolkits {
			if component != "" && catalog.CheckComponent(component) != nil || catalog.CheckImage(image) != nil {
				t.Errorf("component %q, image %q", component, image)
			}
		}
		for tag, image := range p.images {
			if catalog.CheckImage(image) != nil || strings.Trim(tag, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Errorf("tag %q, image %q", tag, image)
			}
		}
	})
}
