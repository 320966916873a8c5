package payload_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/openshift/payload"
	"neuron-kmod/internal/openshift/payload/payloadtest"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/transport"
)

const el9, el10 = "5.14.0-570.96.1.el9_6.x86_64", "6.12.0-124.8.1.el10_1.x86_64"

func repository(t testing.TB, s *payloadtest.Store) *payload.Repository {
	t.Helper()
	rt, err := transport.New(transport.Options{MinWait: time.Millisecond, MaxWait: 5 * time.Millisecond, Retries: 3})
	if err != nil {
		t.Fatal(err)
	}
	r, err := payload.NewRepository(registry.NewClient(nil, rt, nil), s.Repository())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func release(t testing.TB, tag string) payload.Release {
	t.Helper()
	r, ok := payload.ParseTag(tag)
	if !ok {
		t.Fatalf("%s is no release", tag)
	}
	return r
}

func TestParseTag(t *testing.T) {
	for _, tag := range []string{"4.20.16-x86_64", "4.20.16-aarch64", "4.23.0-rc.1-x86_64", "4.23.0-ec.12-s390x", "5.0.0-fc.0-ppc64le"} {
		if r, ok := payload.ParseTag(tag); !ok || r.Tag() != tag {
			t.Errorf("%s is read as %v, %t", tag, r, ok)
		}
	}
	for _, tag := range []string{
		"", "latest", "4.20.16", "4.20-x86_64", "4.20.16-multi", "4.20.16-multi-x86_64", "4.20.16-amd64", "4.20.16-x86_64-multi", "-x86_64",
		"4.20.0-0.hotfix-2025-01-01-120000-x86_64", "4.20.0-assembly.art1234-x86_64", "4.23.0-rc-x86_64", "v4.20.16-x86_64", "4.020.1-x86_64",
		"4.23.0-rc.01-x86_64", "sha256-" + strings.Repeat("a", 64) + ".sig", "4.20.99999999999-x86_64", "0.1.2-x86_64",
	} {
		if r, ok := payload.ParseTag(tag); ok {
			t.Errorf("%s is read as %v", tag, r)
		}
	}
}

// A listing has every release once, in order, whatever else the repository has, and costs a request for each page.
func TestReleases(t *testing.T) {
	s := payloadtest.New(t, registrytest.Paged(2))
	for _, tag := range []string{"4.20.10-x86_64", "4.20.9-x86_64", "4.20.9-aarch64", "4.21.0-rc.0-x86_64"} {
		s.Add(t, payloadtest.Release{Tag: tag})
	}
	s.Tag(t, "4.20.9-multi")
	s.Tag(t, "latest")
	s.Forget()
	all, err := repository(t, s).Releases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range all {
		got = append(got, r.Tag())
	}
	if want := []string{"4.20.9-aarch64", "4.20.9-x86_64", "4.20.10-x86_64", "4.21.0-rc.0-x86_64"}; !slices.Equal(got, want) {
		t.Errorf("releases %v, want %v", got, want)
	}
	if n := len(s.Requests("tags/list")); n != 3 {
		t.Errorf("%d requests for 3 pages", n)
	}
}

// What a release is made of is read wherever it is in the image, with no more than it takes.
func TestRead(t *testing.T) {
	for name, tt := range map[string]struct {
		late     bool
		requests int // to the release image, 0 is any number
	}{
		"first in the last layer":  {false, 2},
		"late, in a layer between": {true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := payloadtest.New(t)
			added := s.Add(t, payloadtest.Release{Tag: "5.0.1-x86_64", Late: tt.late, Streams: []payloadtest.Stream{{Kernel: el9}, {Suffix: "-10", Kernel: el10}}})
			s.Forget()
			p, err := repository(t, s).Read(t.Context(), release(t, "5.0.1-x86_64"))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"": added.Toolkits[""], "driver-toolkit-10": added.Toolkits["-10"]}
			if diff := cmp.Diff(want, p.Toolkits); diff != "" {
				t.Errorf("toolkits (-want +got):\n%s", diff)
			}
			for component, suffix := range map[string]string{"": "", "driver-toolkit-10": "-10", "driver-toolkit-11": "-11"} {
				if got := p.NodeImage(component); got != added.Nodes[suffix] {
					t.Errorf("nodes of %q: %q, want %q", component, got, added.Nodes[suffix])
				}
			}
			if most := added.Offset + 1<<20; s.Sent() > most {
				t.Errorf("%d bytes were sent, want at most %d", s.Sent(), most)
			}
			if n := len(s.Requests("ocp-release")); tt.requests > 0 && n != tt.requests {
				t.Errorf("%d requests: %q", n, s.Requests())
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	digest := strings.Repeat("a", 64)
	stream := func(name, tags string) string {
		return `{"kind":"ImageStream","metadata":{"name":"` + name + `"},"spec":{"tags":[` + tags + `]}}`
	}
	tag := func(name, image string) string {
		return `{"name":"` + name + `","from":{"kind":"DockerImage","name":"` + image + `"}}`
	}
	good := tag("driver-toolkit", "quay.io/x/y@sha256:"+digest)
	for name, tt := range map[string]struct{ text, want string }{
		"cut":           {`{"spec": {"ta`, "truncated JSON"},
		"not JSON":      {`<html>`, "not valid JSON at byte 1"},
		"a list":        {`[]`, "not an ImageStream"},
		"more":          {stream("4.20.1", good) + "{}", "text after the JSON object"},
		"another":       {stream("4.20.2", good), `it is of the release "4.20.2"`},
		"no name":       {stream("", good), `it is of the release ""`},
		"no toolkit":    {stream("4.20.1", tag("cli", "quay.io/x/y@sha256:"+digest)), "the release has no driver-toolkit"},
		"by tag":        {stream("4.20.1", tag("driver-toolkit", "quay.io/x/y:latest")), `image of "driver-toolkit": "quay.io/x/y:latest" has no digest`},
		"flag":          {stream("4.20.1", tag("driver-toolkit", "--privileged@sha256:"+digest)), "is not a registry and a repository"},
		"escape":        {stream("4.20.1", tag("driver-toolkit", `quay.io/../y@sha256:`+digest)), "is not a registry and a repository"},
		"nodes by tag":  {stream("4.20.1", good+","+tag("rhel-coreos-10", "quay.io/x/y:1")), `image of "rhel-coreos-10"`},
		"twice":         {stream("4.20.1", good+","+good), "driver-toolkit is in it twice"},
		"a stream":      {stream("4.20.1", `{"name":"driver-toolkit","from":{"kind":"ImageStreamTag","name":"x"}}`), `"driver-toolkit" is a "ImageStreamTag", not an image`},
		"without image": {stream("4.20.1", `{"name":"driver-toolkit"}`), `is a "", not an image`},
	} {
		t.Run(name, func(t *testing.T) {
			s := payloadtest.New(t)
			s.Add(t, payloadtest.Release{Tag: "4.20.1-x86_64", Text: tt.text})
			p, err := repository(t, s).Read(t.Context(), release(t, "4.20.1-x86_64"))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "4.20.1-x86_64") {
				t.Errorf("%v, error %v; want %q", p, err, tt.want)
			}
		})
	}
	s := payloadtest.New(t)
	s.Tag(t, "4.20.1-x86_64")
	if _, err := repository(t, s).Read(t.Context(), release(t, "4.20.1-x86_64")); err == nil || !strings.Contains(err.Error(), "it is not a release image") {
		t.Errorf("another image: error %v", err)
	}
	if _, err := repository(t, s).Read(t.Context(), release(t, "4.20.2-x86_64")); !registry.Is404(err) {
		t.Errorf("no image: error %v", err)
	}
}

// The kernel of nodes is told by a label, under its new name or its old one.
func TestNodeKernel(t *testing.T) {
	for name, tt := range map[string]struct {
		stream payloadtest.Stream
		want   string
		err    string
	}{
		"new":             {payloadtest.Stream{Kernel: el9, Nodes: el10}, el10, ""},
		"old":             {payloadtest.Stream{Kernel: el9, Label: "ostree.linux"}, el9, ""},
		"no architecture": {payloadtest.Stream{Kernel: "5.14.0-284.1.1.el9_2"}, "5.14.0-284.1.1.el9_2.x86_64", ""},
		"none":            {payloadtest.Stream{Kernel: el9, Label: "none"}, "", payload.ErrNoKernel.Error()},
		"no kernel":       {payloadtest.Stream{Kernel: el9, Nodes: "../x"}, "", "label com.coreos.rpm.kernel of"},
	} {
		t.Run(name, func(t *testing.T) {
			s := payloadtest.New(t)
			added := s.Add(t, payloadtest.Release{Tag: "4.20.1-x86_64", Streams: []payloadtest.Stream{tt.stream}})
			k, err := repository(t, s).NodeKernel(t.Context(), added.Nodes[""], "x86_64")
			if k.String() != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("kernel %q, error %v; want %q, %q", k, err, tt.want, tt.err)
			}
			if tt.stream.Label == "none" && !errors.Is(err, payload.ErrNoKernel) {
				t.Errorf("error %v is not ErrNoKernel", err)
			}
		})
	}
}

// Older releases and OKD have other names for the image of the nodes.
func TestNodeImage(t *testing.T) {
	for _, node := range []string{"rhel-coreos", "stream-coreos", "machine-os-content"} {
		s := payloadtest.New(t)
		added := s.Add(t, payloadtest.Release{Tag: "4.20.1-x86_64", Streams: []payloadtest.Stream{{Kernel: el9, Node: node}}})
		p, err := repository(t, s).Read(t.Context(), release(t, "4.20.1-x86_64"))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.NodeImage(""); got == "" || got != added.Nodes[""] {
			t.Errorf("%s: nodes %q, want %q", node, got, added.Nodes[""])
		}
	}
}

func TestNewRepositoryRefuses(t *testing.T) {
	for _, where := range []string{"", "oci:dir", "ecr", "quay.io", "quay.io/x/y:tag", "https://quay.io/x/y"} {
		if r, err := payload.NewRepository(registry.NewClient(nil, nil, nil), where); err == nil || !strings.Contains(fault.Of(err), payload.DefaultRepository) {
			t.Errorf("%q gives %v, %v, hint %q", where, r, err, fault.Of(err))
		}
	}
}

// The stand-in has what the issue asks for.
func TestSixty(t *testing.T) {
	tags := map[string]bool{}
	minors := map[string]int{}
	for _, r := range payloadtest.Sixty() {
		tags[r.Tag] = true
		minors[release(t, r.Tag).Version.Minor()]++
	}
	if len(tags) != 60 || len(minors) != 3 || !tags[payloadtest.Broken] || !tags[payloadtest.TwoStream] {
		t.Errorf("%d releases of %v", len(tags), slices.Collect(maps.Keys(minors)))
	}
}
