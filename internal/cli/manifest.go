package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/platform/fault"
)

func newManifest(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "manifest",
		Short: "Print the YAML that makes a cluster use the images",
		Args:  exactly(0, 0, "a command: module, device-config or preflight"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newManifestModule(a), newManifestDeviceConfig(a), newManifestPreflight(a))
	return cmd
}

func newManifestModule(a *app) *cobra.Command {
	var r action.ModuleRequest
	cmd := &cobra.Command{
		Use:   "module DRIVER_VERSION",
		Short: "A Module for Kernel Module Management",
		Long: `Module prints a Module for Kernel Module Management (KMM). Its one rule finds the
image of every kernel by its tag. With --literal it maps each kernel that has an
image to the digest of that image instead.`,
		Example: `  neuron-kmod manifest module 2.24.7.0 --target quay.io/me/neuron-kmod | oc apply -f -
  neuron-kmod manifest module 2.24.7.0 --target quay.io/me/neuron-kmod --literal`,
		Args: exactly(1, 1, "a driver version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Manifest.Selection.Driver = args[0]
			text, err := action.Module(cmd.Context(), a.env(), r)
			return a.writeManifest(text, err)
		},
	}
	a.manifestFlags(cmd, &r.Manifest, "openshift-kmm")
	f := cmd.Flags()
	f.BoolVar(&r.Literal, "literal", false, "map each kernel that has an image to the image's digest")
	f.BoolVar(&r.Ordered, "ordered", false,
		"set the version of the Module: KMM then loads it only on nodes with the matching label")
	f.StringSliceVar(&r.Remove, "in-tree-modules-to-remove", nil, "in-tree `module` to unload first (repeatable)")
	return cmd
}

func newManifestDeviceConfig(a *app) *cobra.Command {
	var r action.DeviceConfigRequest
	cmd := &cobra.Command{
		Use:   "device-config DRIVER_VERSION",
		Short: "A DeviceConfig for the AWS Neuron operator, or a patch for an existing one",
		Example: `  neuron-kmod manifest device-config 2.24.7.0 --target quay.io/me/neuron-kmod --patch > patch.yaml
  oc patch deviceconfig neuron -n ai-operator-on-aws --type merge --patch-file patch.yaml`,
		Args: exactly(1, 1, "a driver version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Manifest.Selection.Driver = args[0]
			if r.Patch {
				if err := checkPatch(cmd); err != nil {
					return err
				}
			}
			text, err := action.DeviceConfig(cmd.Context(), a.env(), r)
			return a.writeManifest(text, err)
		},
	}
	a.manifestFlags(cmd, &r.Manifest, "ai-operator-on-aws")
	f := cmd.Flags()
	f.BoolVar(&r.Patch, "patch", false, "print a merge patch for an existing DeviceConfig")
	f.StringVar(&r.Images.DevicePlugin, "device-plugin-image", "", "`image` of the operator's device plugin")
	f.StringVar(&r.Images.Scheduler, "custom-scheduler-image", "", "`image` of the operator's scheduler")
	f.StringVar(&r.Images.SchedulerExtension, "scheduler-extension-image", "",
		"`image` of the operator's scheduler extension")
	f.StringVar(&r.Images.NodeMetrics, "node-metrics-image", "", "`image` of the operator's node metrics")
	return cmd
}

func newManifestPreflight(a *app) *cobra.Command {
	var r action.PreflightRequest
	cmd := &cobra.Command{
		Use:   "preflight OCP_VERSION",
		Short: "A PreflightValidationOCP, with which KMM checks a cluster before an upgrade",
		Example: `  neuron-kmod manifest preflight 4.21.3 | oc apply -f -
  oc get preflightvalidationsocp upgrade-4.21.3 -o yaml`,
		Args: exactly(1, 1, "an OpenShift version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Release = args[0]
			text, err := action.Preflight(cmd.Context(), a.env(), r)
			return a.writeManifest(text, err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Catalog, "catalog", a.settings.Catalog,
		"`file` that lists the Driver Toolkit of each OpenShift release")
	f.StringVar(&r.Name, "name", "", "`name` of the resource (default upgrade-OCP_VERSION)")
	return cmd
}

// manifestFlags say which images a resource is for, where it is and on which nodes it works.
func (a *app) manifestFlags(cmd *cobra.Command, r *action.ManifestRequest, namespace string) {
	a.fileFlags(cmd, &r.Selection.Matrix, &r.Selection.Catalog)
	a.targetFlags(cmd, &r.Target, &r.ToolkitMirror)
	usual := action.DefaultPlace(namespace)
	f := cmd.Flags()
	f.StringVar(&r.Place.Name, "name", usual.Name, "`name` of the resource")
	f.StringVarP(&r.Place.Namespace, "namespace", "n", usual.Namespace, "its `namespace`")
	f.StringVar(&r.Place.Secret, "image-repo-secret", "", "`name` of the pull secret for the images")
	f.StringToStringVar(&r.Place.Selector, "selector", usual.Selector, "`label=value` of the nodes (repeatable)")
}

func (a *app) writeManifest(text string, err error) error {
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.stdout, text)
	return err
}

// checkPatch refuses flags that a patch would pass over.
func checkPatch(cmd *cobra.Command) error {
	var given []string
	for _, flag := range []string{
		"name", "namespace", "image-repo-secret", "selector",
		"custom-scheduler-image", "device-plugin-image", "node-metrics-image", "scheduler-extension-image",
	} {
		if cmd.Flags().Changed(flag) {
			given = append(given, "--"+flag)
		}
	}
	if len(given) > 0 {
		return fault.AsUsage(fault.Wrap(fmt.Errorf("--patch changes the driver alone, and not %s", strings.Join(given, ", ")),
			"omit them, or omit --patch for a whole DeviceConfig"))
	}
	return nil
}
