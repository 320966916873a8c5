package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/manifest"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// manifestOptions are the flags of the commands that write YAML.
type manifestOptions struct {
	planOptions
	place   manifest.Place
	literal bool
	ordered bool
	remove  []string
	config  manifest.DeviceConfigInput
	patch   bool
}

func newManifest(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "manifest",
		Short: "Write the YAML by which a cluster uses the images",
		Args:  exactly(0, 0, "a command: module, device-config or preflight"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newManifestModule(a), newManifestDeviceConfig(a), newManifestPreflight(a))
	return cmd
}

func newManifestModule(a *app) *cobra.Command {
	o := &manifestOptions{planOptions: planOptions{app: a}}
	cmd := &cobra.Command{
		Use:   "module DRIVER_VERSION",
		Short: "A Module for Kernel Module Management",
		Long: `Module writes a Module of Kernel Module Management (KMM) with one rule, which
finds the image of every kernel by its tag. With --literal it maps each kernel
that has an image to that image's digest instead.`,
		Example: `  neuron-kmod manifest module 2.24.7.0 --target quay.io/me/neuron-kmod | oc apply -f -
  neuron-kmod manifest module 2.24.7.0 --target quay.io/me/neuron-kmod --literal`,
		Args: exactly(1, 1, "a driver version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.driver = args[0]
			return o.module(cmd.Context())
		},
	}
	o.placeFlags(cmd)
	o.resourceFlags(cmd, "openshift-kmm")
	f := cmd.Flags()
	f.BoolVar(&o.literal, "literal", false, "map each kernel that has an image to the image's digest")
	f.BoolVar(&o.ordered, "ordered", false, "set the Module's version: KMM then loads it only on nodes with a label that says so")
	f.StringSliceVar(&o.remove, "in-tree-modules-to-remove", nil, "`module` of the kernel itself to unload first (repeatable)")
	return cmd
}

func newManifestDeviceConfig(a *app) *cobra.Command {
	o := &manifestOptions{planOptions: planOptions{app: a}}
	cmd := &cobra.Command{
		Use:   "device-config DRIVER_VERSION",
		Short: "A DeviceConfig for the AWS Neuron operator, or a patch for the one there is",
		Example: `  neuron-kmod manifest device-config 2.24.7.0 --target quay.io/me/neuron-kmod --patch > patch.yaml
  oc patch deviceconfig neuron -n ai-operator-on-aws --type merge --patch-file patch.yaml`,
		Args: exactly(1, 1, "a driver version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.driver = args[0]
			if o.patch {
				if err := checkPatch(cmd); err != nil {
					return err
				}
			}
			return o.deviceConfig(cmd.Context())
		},
	}
	o.placeFlags(cmd)
	o.resourceFlags(cmd, "ai-operator-on-aws")
	f := cmd.Flags()
	f.BoolVar(&o.patch, "patch", false, "only what changes in a DeviceConfig that is there, as a merge patch")
	f.StringVar(&o.config.DevicePlugin, "device-plugin-image", "", "`image` of the operator's device plugin")
	f.StringVar(&o.config.Scheduler, "custom-scheduler-image", "", "`image` of the operator's scheduler")
	f.StringVar(&o.config.SchedulerExtension, "scheduler-extension-image", "", "`image` of the operator's scheduler extension")
	f.StringVar(&o.config.NodeMetrics, "node-metrics-image", "", "`image` of the operator's node metrics")
	return cmd
}

func newManifestPreflight(a *app) *cobra.Command {
	o := &manifestOptions{planOptions: planOptions{app: a}}
	cmd := &cobra.Command{
		Use:   "preflight OCP_VERSION",
		Short: "A PreflightValidationOCP, by which KMM checks a cluster before an upgrade",
		Example: `  neuron-kmod manifest preflight 4.21.3 | oc apply -f -
  oc get preflightvalidationsocp upgrade-4.21.3 -o yaml`,
		Args: exactly(1, 1, "an OpenShift version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.preflight(cmd.Context(), args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Catalog, "catalog", o.Catalog, "`file` that says which Driver Toolkit belongs to which release")
	f.StringVar(&o.place.Name, "name", "", "`name` of the resource (default upgrade-OCP_VERSION)")
	return cmd
}

// resourceFlags say where a resource is and on which nodes it works.
func (o *manifestOptions) resourceFlags(cmd *cobra.Command, namespace string) {
	f := cmd.Flags()
	f.StringVar(&o.place.Name, "name", "neuron", "`name` of the resource")
	f.StringVarP(&o.place.Namespace, "namespace", "n", namespace, "its `namespace`")
	f.StringVar(&o.place.Secret, "image-repo-secret", "", "`name` of the pull secret for the images")
	f.StringToStringVar(&o.place.Selector, "selector", map[string]string{manifest.NodeLabel: "true"}, "`label=value` of the nodes (repeatable)")
}

// start checks what was given and returns the driver, and a session to find its images with.
func (o *manifestOptions) start() (*session, version.Driver, error) {
	fail := func(err error) (*session, version.Driver, error) { return nil, version.Driver{}, err }
	if err := o.checkPlace(); err != nil {
		return fail(err)
	}
	if o.driver == "all" {
		return fail(usage{fault.Wrap(errors.New("a cluster has one driver"), "name its version")})
	}
	if strings.HasPrefix(o.Target, "oci:") {
		return fail(usage{fault.Wrap(errors.New("clusters pull from a registry, not from a folder"), "name the registry with --target")})
	}
	m, err := matrix.Load(o.Matrix)
	if err != nil {
		return fail(invalid{err})
	}
	entries, err := m.Filter(o.driver, "")
	if err != nil {
		return fail(usage{err})
	}
	o.AnonymousPublic = true
	s, err := o.open()
	if err != nil {
		return fail(err)
	}
	return s, entries[0].Driver, nil
}

func (o *manifestOptions) module(ctx context.Context) error {
	if err := o.checkRemove(); err != nil {
		return err
	}
	s, driver, err := o.start()
	if err != nil {
		return err
	}
	in := manifest.ModuleInput{Place: o.place, Driver: driver, Ordered: o.ordered, Remove: o.remove}
	if o.literal {
		if in.Images, err = o.literals(ctx, s); err != nil {
			return err
		}
		return o.print(manifest.Module(in))
	}
	target, err := s.target(ctx, access{})
	if err != nil {
		return err
	}
	in.Repository = target.String()
	return o.print(manifest.Module(in))
}

// literals are the images that are published. Kernels without one are told in the log: their nodes would get no module.
func (o *manifestOptions) literals(ctx context.Context, s *session) ([]manifest.Image, error) {
	p, target, err := o.plan(ctx, s, access{})
	if err != nil {
		return nil, err
	}
	if _, err := inspect(ctx, target, p); err != nil {
		return nil, err
	}
	var images []manifest.Image
	for _, b := range p.Builds {
		if b.State == plan.Published {
			images = append(images, manifest.Image{Kernel: b.Kernel, Reference: target.String() + "@" + b.Digest})
			continue
		}
		o.log.Warn("there is no image for a kernel, so the Module has nothing for its nodes", "driver", b.Driver, "kernel", b.Kernel, "releases", b.Releases)
	}
	if len(images) == 0 {
		return nil, incomplete{fault.Wrap(fmt.Errorf("no image of driver %s is published in %s", o.driver, target),
			fmt.Sprintf("`neuron-kmod build %s` publishes them", o.driver))}
	}
	return images, nil
}

func (o *manifestOptions) deviceConfig(ctx context.Context) error {
	if !o.patch {
		if err := o.checkImages(); err != nil {
			return err
		}
	}
	s, driver, err := o.start()
	if err != nil {
		return err
	}
	target, err := s.target(ctx, access{})
	if err != nil {
		return err
	}
	if o.patch {
		return o.print(manifest.DeviceConfigPatch(target.String(), driver))
	}
	in := o.config
	in.Place, in.Repository, in.Driver = o.place, target.String(), driver
	return o.print(manifest.DeviceConfig(in))
}

// preflight writes a document for each kernel that a release boots: OpenShift 5 has two.
func (o *manifestOptions) preflight(ctx context.Context, release string) error {
	v, err := version.ParseOCP(release)
	if err != nil {
		return usage{fault.Wrap(err, "name a release such as 4.21.3")}
	}
	if o.place.Name != "" {
		if err := checkName("name", o.place.Name); err != nil {
			return err
		}
	}
	c, err := catalog.Load(o.Catalog)
	if err != nil {
		return invalid{err}
	}
	if err := c.Missing(version.Only(v), arch); err != nil {
		return usage{fault.Wrap(err, notInCatalogue)}
	}
	entries, _ := c.Select([]version.Selector{version.Only(v)}, arch)
	for i, e := range entries {
		k, err := o.kernelOf(ctx, c, e)
		if err != nil {
			return fmt.Errorf("the kernel of OpenShift %s: %w", v, err)
		}
		if !e.NodeKernel.IsZero() && e.NodeKernel != e.Kernel {
			o.log.Warn("the nodes of the release boot another kernel than its Driver Toolkit is for, so KMM can check their images and build none",
				"release", v, "nodes", e.NodeKernel, "toolkit", e.Kernel)
		}
		name := cmp.Or(o.place.Name, "upgrade-"+v.String())
		if e.Component != "" {
			name += "-" + e.Component
		}
		text, err := manifest.Preflight(name, k, e.DTK)
		if i > 0 {
			text = "---\n" + text
		}
		if err := o.print(text, err); err != nil {
			return err
		}
	}
	return nil
}

// kernelOf is the kernel that nodes boot: what an entry of the catalogue records, else what its Driver Toolkit says.
func (o *manifestOptions) kernelOf(ctx context.Context, c *catalog.Catalog, e catalog.Entry) (kernel.Version, error) {
	if k := cmp.Or(e.NodeKernel, e.Kernel); !k.IsZero() {
		return k, nil
	}
	s, err := o.open()
	if err != nil {
		return kernel.Version{}, err
	}
	if _, err := s.useMirror(ctx, c); err != nil {
		return kernel.Version{}, err
	}
	found := s.resolver()(ctx, []string{e.DTK})[0]
	return found.Kernel, found.Err
}

func (o *manifestOptions) print(text string, err error) error {
	if err != nil {
		return err
	}
	_, err = io.WriteString(o.stdout, text)
	return err
}
