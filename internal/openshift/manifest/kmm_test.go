package manifest

import (
	"bytes"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

// The fields of the resources as a cluster knows them, and which it requires: of KMM's Module and PreflightValidationOCP
// those of its documentation (https://kmm.sigs.k8s.io/documentation/deploy_kmod/,
// https://github.com/rh-ecosystem-edge/kernel-module-management/blob/main/docs/mkdocs/documentation/preflight_validation.md),
// of the DeviceConfig those of its operator's README
// (https://github.com/awslabs/operator-for-ai-chips-on-aws). Anything else is an error, as with `kubectl apply --validate=strict`.
type clusterModule struct {
	APIVersion, Kind any
	Metadata         clusterMetadata
	Spec             struct {
		ModuleLoader struct {
			Container struct {
				Version, ImagePullPolicy string
				InTreeModulesToRemove    []string `yaml:"inTreeModulesToRemove"`
				Modprobe                 struct {
					ModuleName string `yaml:"moduleName"`
				}
				KernelMappings []struct {
					Literal, Regexp string
					ContainerImage  string `yaml:"containerImage"`
				} `yaml:"kernelMappings"`
			}
		} `yaml:"moduleLoader"`
		ImageRepoSecret *struct{ Name string } `yaml:"imageRepoSecret"`
		Selector        map[string]string
	}
}

type clusterMetadata struct{ Name, Namespace string }

// strict reads one document as a cluster would.
func strict(t *testing.T, text string, into any) {
	t.Helper()
	// A struct's untagged field has its name in lower case; the resources' first letters are the only upper-case ones here.
	dec := yaml.NewDecoder(strings.NewReader(strings.Replace(text, "apiVersion:", "apiversion:", 1)))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if err := dec.Decode(new(any)); err == nil {
		t.Errorf("there is more than one document in\n%s", text)
	}
}

func mustDriver(t *testing.T, s string) version.Driver {
	t.Helper()
	v, err := version.ParseDriver(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustKernel(t *testing.T, s string) kernel.Version {
	t.Helper()
	k, err := kernel.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A Module finds images by tag, in the form in which KMM names kernels, or by digest; nothing in a name makes it another
// document.
func TestModule(t *testing.T) {
	in := ModuleInput{
		Place:      Place{Name: "neuron", Namespace: "kmm", Secret: "yes", Selector: map[string]string{"a/b": "true", "c": "1.0"}},
		Repository: "quay.io/me/kmod\"\n: x", Driver: mustDriver(t, "2.24.7.0"),
	}
	text, err := Module(in)
	if err != nil {
		t.Fatal(err)
	}
	var m clusterModule
	strict(t, text, &m)
	c := m.Spec.ModuleLoader.Container
	if len(c.KernelMappings) != 1 || c.KernelMappings[0].ContainerImage != in.Repository+":2.24.7.0-$KERNEL_VERSION" || c.KernelMappings[0].Regexp != "^.+$" {
		t.Errorf("mappings %+v", c.KernelMappings)
	}
	if c.Version != "" || c.Modprobe.ModuleName != "neuron" || m.Spec.ImageRepoSecret.Name != "yes" || m.Spec.Selector["a/b"] != "true" || m.Spec.Selector["c"] != "1.0" {
		t.Errorf("got %+v", m)
	}

	in.Ordered, in.Remove = true, []string{"old"}
	in.Images = []Image{{mustKernel(t, "5.14.0-1.el9.x86_64+rt"), "quay.io/me/kmod@sha256:01"}, {mustKernel(t, "5.14.0-2.el9.x86_64"), "quay.io/me/kmod@sha256:02"}}
	if text, err = Module(in); err != nil {
		t.Fatal(err)
	}
	m = clusterModule{}
	strict(t, text, &m)
	c = m.Spec.ModuleLoader.Container
	if len(c.KernelMappings) != 2 || c.KernelMappings[0].Literal != "5.14.0-1.el9.x86_64+rt" || c.KernelMappings[0].Regexp != "" ||
		c.KernelMappings[1].ContainerImage != "quay.io/me/kmod@sha256:02" || c.Version != "2.24.7.0" || c.InTreeModulesToRemove[0] != "old" {
		t.Errorf("got %+v", c)
	}
	if !strings.HasPrefix(text, "# ") || !strings.Contains(text, in.Place.OrderedLabel()+"=2.24.7.0") {
		t.Errorf("the label that the nodes need is not told:\n%s", text)
	}
}

// A DeviceConfig has the driver's image without the kernel, which the operator appends; a version is a text, also where it
// looks like a number.
func TestDeviceConfig(t *testing.T) {
	text, err := DeviceConfig(DeviceConfigInput{
		Place: Place{Name: "n", Namespace: "ns", Selector: map[string]string{NodeLabel: "true"}}, Repository: "r.example/kmod",
		Driver: mustDriver(t, "2.24.7.0"), DevicePlugin: "p:1", Scheduler: "s:1", SchedulerExtension: "e:1", NodeMetrics: "m:1",
	})
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		APIVersion, Kind string
		Metadata         clusterMetadata
		Spec             map[string]any
	}
	strict(t, text, &d)
	want := map[string]any{
		"driversImage": "r.example/kmod:2.24.7.0", "driverVersion": "2.24.7.0", "devicePluginImage": "p:1", "customSchedulerImage": "s:1",
		"schedulerExtensionImage": "e:1", "nodeMetricsImage": "m:1",
	}
	for key, value := range want {
		if d.Spec[key] != value {
			t.Errorf("%s is %v, want %v", key, d.Spec[key], value)
		}
	}
	if d.APIVersion != "k8s.aws/v1beta1" || d.Kind != "DeviceConfig" || len(d.Spec) != len(want)+1 {
		t.Errorf("got %+v", d)
	}
	patch, err := DeviceConfigPatch("r.example/kmod", mustDriver(t, "2.24.7.0"))
	if want := "spec:\n  driversImage: \"r.example/kmod:2.24.7.0\"\n  driverVersion: \"2.24.7.0\"\n"; err != nil || patch != want {
		t.Errorf("%v, %s", err, patch)
	}
}

// KMM's check before an upgrade takes the kernel as the node will print it, and pushes nothing.
func TestPreflight(t *testing.T) {
	text, err := Preflight("upgrade", mustKernel(t, "5.14.0-1.el9.x86_64+rt"), "quay.io/x@sha256:01")
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		APIVersion, Kind string
		Metadata         clusterMetadata
		Spec             struct {
			KernelVersion  string `yaml:"kernelVersion"`
			DTKImage       string `yaml:"dtkImage"`
			PushBuiltImage bool   `yaml:"pushBuiltImage"`
		}
	}
	strict(t, text, &p)
	if p.APIVersion != "kmm.sigs.x-k8s.io/v1beta2" || p.Metadata.Namespace != "" || p.Spec.KernelVersion != "5.14.0-1.el9.x86_64+rt" ||
		p.Spec.DTKImage != "quay.io/x@sha256:01" || p.Spec.PushBuiltImage || !bytes.Contains([]byte(text), []byte("pushBuiltImage: false")) {
		t.Errorf("got %+v\n%s", p, text)
	}
}
