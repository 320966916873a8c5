package payloadtest

import (
	"encoding/json"
	"fmt"
	"testing"
)

// reference is a tag of a payload, and its image.
type reference struct{ tag, image string }

// others returns the tags that a release has beside those that count here: about as many as OpenShift's.
func others() []reference {
	refs := make([]reference, 190)
	for i := range refs {
		refs[i] = reference{fmt.Sprintf("operator-%03d", i), fmt.Sprintf("quay.io/x/art-dev@sha256:%x", noise(byte(i), 32))}
	}
	return refs
}

// references writes image-references as OpenShift does.
func references(t testing.TB, version string, refs []reference) string {
	t.Helper()
	tags := make([]any, len(refs))
	for i, r := range refs {
		tags[i] = map[string]any{
			"name": r.tag,
			"annotations": map[string]string{
				"io.openshift.build.commit.id":       fmt.Sprintf("%x", noise(byte(i), 20)),
				"io.openshift.build.commit.ref":      "",
				"io.openshift.build.source-location": "https://github.com/openshift/" + r.tag,
			},
			"from":            map[string]string{"kind": "DockerImage", "name": r.image},
			"generation":      2,
			"importPolicy":    map[string]any{},
			"referencePolicy": map[string]string{"type": "Source"},
		}
	}
	text, err := json.MarshalIndent(map[string]any{
		"kind": "ImageStream", "apiVersion": "image.openshift.io/v1",
		"metadata": map[string]any{"name": version,
			"annotations": map[string]string{"release.openshift.io/from-image-stream": "ocp/x"}},
		"spec": map[string]any{"lookupPolicy": map[string]bool{"local": false}, "tags": tags},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Broken is the release of Sixty that cannot be read, TwoStream the one with two kernels.
const (
	Broken    = "4.21.7-x86_64"
	TwoStream = "4.22.4-x86_64"
)

// Sixty returns 60 releases of the minors 4.20, 4.21 and 4.22: pre-releases, another architecture, a broken one, one
// with two kernels. Neighbours share a kernel, as real z-streams do.
func Sixty() []Release {
	var all []Release
	add := func(version, arch string, kernel int) {
		all = append(all, Release{
			Tag: version + "-" + arch, Streams: []Stream{{Kernel: fmt.Sprintf("5.14.0-570.%d.1.el9_6.%s", kernel, arch)}},
			Late: len(all)%20 == 19,
		})
	}
	for i, minor := range []struct{ n, patches int }{{20, 28}, {21, 20}, {22, 6}} {
		for patch := range minor.patches {
			add(fmt.Sprintf("4.%d.%d", minor.n, patch), "x86_64", 100*i+patch/3)
		}
		add(fmt.Sprintf("4.%d.%d", minor.n, minor.patches-1), "aarch64", 100*i+(minor.patches-1)/3)
	}
	for i, pre := range []string{"4.22.0-ec.1", "4.22.0-rc.0", "4.22.0-rc.1"} {
		add(pre, "x86_64", 190+i)
	}
	for i := range all {
		switch all[i].Tag {
		case Broken:
			all[i].Text = `{"kind": "ImageStream", "spec": {"ta`
		case TwoStream:
			all[i].Streams = append(all[i].Streams, Stream{Suffix: "-10", Kernel: "6.12.0-124.8.1.el10_1.x86_64"})
		}
	}
	return all
}
