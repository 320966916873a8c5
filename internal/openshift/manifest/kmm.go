// Package manifest writes the resources by which a cluster uses kmod images: Module and PreflightValidationOCP of
// Kernel Module Management (KMM), and DeviceConfig of the AWS Neuron operator.
//
// It is pure. Fields and their meaning are those of https://kmm.sigs.k8s.io/documentation/deploy_kmod/,
// https://github.com/rh-ecosystem-edge/kernel-module-management/blob/main/docs/mkdocs/documentation/preflight_validation.md
// and https://github.com/awslabs/operator-for-ai-chips-on-aws/blob/main/README.md.
package manifest

import (
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

// The versions of the resources.
const (
	moduleAPI       = "kmm.sigs.x-k8s.io/v1beta1"
	preflightAPI    = "kmm.sigs.x-k8s.io/v1beta2"
	deviceConfigAPI = "k8s.aws/v1beta1"
)

// kernelVariable is what KMM replaces by a node's kernel, as a tag can hold it: "+" becomes "_".
const kernelVariable = "$KERNEL_VERSION"

// NodeLabel is the label, with the value "true", that the Neuron operator's rules give to nodes with a device.
const NodeLabel = "feature.node.kubernetes.io/aws-neuron"

// Place is where a resource is, and on which nodes it works.
type Place struct {
	Name      string
	Namespace string
	Secret    string            // name of the pull secret in the namespace; "" for none
	Selector  map[string]string // labels of the nodes
}

// DefaultPlace is that of a Module in a cluster that was set up as KMM's and the operator's documentation says.
func DefaultPlace() Place {
	return Place{Name: "neuron", Namespace: "openshift-kmm", Selector: map[string]string{NodeLabel: "true"}}
}

// Image is a published image, by its digest.
type Image struct {
	Kernel    kernel.Version
	Reference string // "REPOSITORY@sha256:..."
}

type metadata struct {
	Name      string `yaml:"name"`
	Namespace string `yaml:"namespace,omitempty"`
}

type secret struct {
	Name string `yaml:"name"`
}

func (p Place) metadata() metadata { return metadata{Name: p.Name, Namespace: p.Namespace} }

func (p Place) secret() *secret {
	if p.Secret == "" {
		return nil
	}
	return &secret{Name: p.Secret}
}

// ModuleInput is what a Module is made from.
type ModuleInput struct {
	Place      Place
	Repository string // of the images, without a tag; not asked for where Images are given
	Driver     version.Driver
	// Images, if there are any, are mapped one by one and by digest: a node with another kernel gets no module. Without
	// them one rule finds the image of every kernel by its tag.
	Images []Image
	// Ordered sets the Module's version, by which KMM rolls a driver out node by node. KMM then loads the module only on
	// nodes with OrderedLabel.
	Ordered bool
	Remove  []string // modules of the kernel itself to unload first
}

// OrderedLabel is the label that nodes need for an ordered Module; its value is the driver's version.
// https://kmm.sigs.k8s.io/documentation/ordered_upgrade/
func (p Place) OrderedLabel() string {
	return "kmm.node.kubernetes.io/version-module." + p.Namespace + "." + p.Name
}

type module struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       struct {
		ModuleLoader struct {
			Container container `yaml:"container"`
		} `yaml:"moduleLoader"`
		ImageRepoSecret *secret           `yaml:"imageRepoSecret,omitempty"`
		Selector        map[string]string `yaml:"selector"`
	} `yaml:"spec"`
}

type container struct {
	Version               quoted    `yaml:"version,omitempty"`
	InTreeModulesToRemove []string  `yaml:"inTreeModulesToRemove,omitempty"`
	Modprobe              modprobe  `yaml:"modprobe"`
	KernelMappings        []mapping `yaml:"kernelMappings"`
}

type modprobe struct {
	ModuleName string `yaml:"moduleName"`
}

type mapping struct {
	Literal        string `yaml:"literal,omitempty"`
	Regexp         string `yaml:"regexp,omitempty"`
	ContainerImage quoted `yaml:"containerImage"`
}

// quoted is a text from outside: in quotes whatever is in it, so that the form of a document does not depend on it.
type quoted string

// MarshalYAML implements yaml.Marshaler.
func (q quoted) MarshalYAML() (any, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle, Value: string(q)}, nil
}

// Module returns a Module as YAML.
func Module(in ModuleInput) (string, error) {
	m := module{APIVersion: moduleAPI, Kind: "Module", Metadata: in.Place.metadata()}
	m.Spec.ImageRepoSecret, m.Spec.Selector = in.Place.secret(), in.Place.Selector
	c := &m.Spec.ModuleLoader.Container
	c.Modprobe.ModuleName, c.InTreeModulesToRemove = "neuron", in.Remove
	for _, i := range in.Images {
		c.KernelMappings = append(c.KernelMappings, mapping{Literal: i.Kernel.String(), ContainerImage: quoted(i.Reference)})
	}
	if len(in.Images) == 0 {
		image := in.Repository + ":" + kernel.TagPrefix(in.Driver) + kernelVariable
		c.KernelMappings = []mapping{{Regexp: "^.+$", ContainerImage: quoted(image)}}
	}
	if !in.Ordered {
		return document(m)
	}
	c.Version = quoted(in.Driver.String())
	text, err := document(m)
	return fmt.Sprintf("# KMM loads this version on nodes with the label %s=%s only.\n%s", in.Place.OrderedLabel(),
		in.Driver, text), err
}

// DeviceConfigInput is what a DeviceConfig is made from.
type DeviceConfigInput struct {
	Place      Place
	Repository string
	Driver     version.Driver
	// The operator's other images, each of which it needs.
	DevicePlugin, Scheduler, SchedulerExtension, NodeMetrics string
}

type deviceConfig struct {
	APIVersion string           `yaml:"apiVersion"`
	Kind       string           `yaml:"kind"`
	Metadata   metadata         `yaml:"metadata"`
	Spec       deviceConfigSpec `yaml:"spec"`
}

type deviceConfigSpec struct {
	DriversImage            quoted            `yaml:"driversImage"`
	DriverVersion           quoted            `yaml:"driverVersion"`
	DevicePluginImage       string            `yaml:"devicePluginImage,omitempty"`
	CustomSchedulerImage    string            `yaml:"customSchedulerImage,omitempty"`
	SchedulerExtensionImage string            `yaml:"schedulerExtensionImage,omitempty"`
	NodeMetricsImage        string            `yaml:"nodeMetricsImage,omitempty"`
	ImageRepoSecret         *secret           `yaml:"imageRepoSecret,omitempty"`
	Selector                map[string]string `yaml:"selector,omitempty"`
}

// DeviceConfig returns a DeviceConfig as YAML. The operator appends the kernel to the name of the driver's image.
func DeviceConfig(in DeviceConfigInput) (string, error) {
	return document(deviceConfig{
		APIVersion: deviceConfigAPI, Kind: "DeviceConfig", Metadata: in.Place.metadata(),
		Spec: deviceConfigSpec{
			DriversImage: quoted(in.Repository + ":" + in.Driver.String()), DriverVersion: quoted(in.Driver.String()),
			DevicePluginImage: in.DevicePlugin, CustomSchedulerImage: in.Scheduler,
			SchedulerExtensionImage: in.SchedulerExtension,
			NodeMetricsImage:        in.NodeMetrics, ImageRepoSecret: in.Place.secret(), Selector: in.Place.Selector,
		},
	})
}

// DeviceConfigPatch returns what changes in a DeviceConfig that is there when it gets the driver: a merge patch.
func DeviceConfigPatch(repository string, driver version.Driver) (string, error) {
	return document(struct {
		Spec deviceConfigSpec `yaml:"spec"`
	}{deviceConfigSpec{DriversImage: quoted(repository + ":" + driver.String()), DriverVersion: quoted(driver.String())}})
}

type preflight struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       struct {
		KernelVersion  string `yaml:"kernelVersion"`
		DTKImage       string `yaml:"dtkImage"`
		PushBuiltImage bool   `yaml:"pushBuiltImage"`
	} `yaml:"spec"`
}

// Preflight returns a PreflightValidationOCP as YAML, which has KMM check all Modules of a cluster for a kernel before
// an upgrade. It belongs to no namespace. toolkit is the Driver Toolkit of the OpenShift release.
func Preflight(name string, k kernel.Version, toolkit string) (string, error) {
	p := preflight{APIVersion: preflightAPI, Kind: "PreflightValidationOCP", Metadata: metadata{Name: name}}
	p.Spec.KernelVersion, p.Spec.DTKImage = k.String(), toolkit
	return document(p)
}

// document writes a value as one YAML document.
func document(v any) (string, error) {
	var b strings.Builder
	if err := writeYAML(&b, v); err != nil {
		return "", fmt.Errorf("write YAML: %w", err)
	}
	return b.String(), nil
}

// writeYAML writes each value as a YAML document.
func writeYAML(w io.Writer, values ...any) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	return enc.Close()
}
