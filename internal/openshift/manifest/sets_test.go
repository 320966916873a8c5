package manifest

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestSets(t *testing.T) {
	for name, tt := range map[string]struct {
		sets Sets
		want string
	}{
		"digests": {Sets{Name: "dtk", Sources: []string{"quay.io/b", "quay.io/a", "quay.io/b"}, Mirror: "registry.example.com:5000/m"}, `apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: dtk
spec:
  imageDigestMirrors:
    - source: quay.io/a
      mirrors:
        - registry.example.com:5000/m
    - source: quay.io/b
      mirrors:
        - registry.example.com:5000/m
`},
		"tags": {Sets{Name: "kmod", Sources: []string{"quay.io/a"}, Mirror: "h.test/m", Tags: true}, `apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: kmod
spec:
  imageDigestMirrors:
    - source: quay.io/a
      mirrors:
        - h.test/m
---
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata:
  name: kmod
spec:
  imageTagMirrors:
    - source: quay.io/a
      mirrors:
        - h.test/m
`},
	} {
		var got bytes.Buffer
		if err := tt.sets.WriteYAML(&got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// What looks like something else in YAML is still the same text.
	odd := Sets{Name: "null", Sources: []string{"1:2/on", "a: b #"}, Mirror: "!x"}
	var got bytes.Buffer
	var back mirrorSet
	if err := odd.WriteYAML(&got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(got.Bytes(), &back); err != nil || back.Metadata.Name != "null" || back.Spec.Digests[1].Source != "a: b #" || back.Spec.Digests[0].Mirrors[0] != "!x" {
		t.Errorf("error %v, read back as %+v from\n%s", err, back, got.String())
	}
}
