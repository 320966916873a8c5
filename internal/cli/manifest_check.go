package cli

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"neuron-kmod/internal/openshift/manifest"
	"neuron-kmod/internal/platform/fault"
)

// What Kubernetes takes as names of resources, of namespaces, and as labels:
// https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ and .../labels/
var (
	labelForm     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	subdomainForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	wordForm      = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
)

// moduleForm is what a kernel module's name can be.
var moduleForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,55}$`)

// maxModule bounds the names of a Module and of its namespace together: KMM makes labels of them, and refuses longer ones.
// https://github.com/kubernetes-sigs/kernel-module-management/blob/main/internal/webhook/module.go
const maxModule = 40

func isSubdomain(s string) bool { return len(s) <= 253 && subdomainForm.MatchString(s) }

func checkName(flag, s string) error {
	if !isSubdomain(s) {
		return usage{fault.Wrap(fmt.Errorf("--%s is %.100q", flag, s), "Kubernetes takes lower-case letters and digits, with single dots or dashes between them")}
	}
	return nil
}

// checkPlace checks the names and labels of a Module, or of a DeviceConfig, of which the operator makes a Module of the same
// name.
func (o *manifestOptions) checkPlace() error {
	if err := checkName("name", o.place.Name); err != nil {
		return err
	}
	if !labelForm.MatchString(o.place.Namespace) {
		return usage{fault.Wrap(fmt.Errorf("--namespace is %.100q", o.place.Namespace), "a namespace has at most 63 lower-case letters, digits and dashes")}
	}
	if n := len(o.place.Name) + len(o.place.Namespace); n > maxModule {
		return usage{fault.Wrap(fmt.Errorf("--name and --namespace have %d characters, and KMM takes %d in both together", n, maxModule), "give a shorter --name")}
	}
	if o.place.Secret != "" {
		if err := checkName("image-repo-secret", o.place.Secret); err != nil {
			return err
		}
	}
	return o.checkSelector()
}

func (o *manifestOptions) checkSelector() error {
	if len(o.place.Selector) == 0 {
		return usage{fault.Wrap(errors.New("--selector is empty, which means all nodes"), "name a label of the nodes with Neuron devices: --selector "+manifest.NodeLabel+"=true")}
	}
	for _, key := range slices.Sorted(maps.Keys(o.place.Selector)) {
		value := o.place.Selector[key]
		prefix, word, prefixed := strings.Cut(key, "/")
		if !prefixed {
			prefix, word = "", key
		}
		if prefixed && !isSubdomain(prefix) || !wordForm.MatchString(word) || value != "" && !wordForm.MatchString(value) {
			return usage{fault.Wrap(fmt.Errorf("--selector %.200q is no label", key+"="+value), "write it as `oc get nodes --show-labels` prints it, for example "+manifest.NodeLabel+"=true")}
		}
	}
	return nil
}

func (o *manifestOptions) checkRemove() error {
	for _, m := range o.remove {
		if !moduleForm.MatchString(m) {
			return usage{fault.Wrap(fmt.Errorf("--in-tree-modules-to-remove %.100q is no name of a module", m), "name it as lsmod does")}
		}
	}
	return nil
}

// checkImages wants the operator's other images, all of them and with names that a cluster can pull.
func (o *manifestOptions) checkImages() error {
	var missing []string
	for _, f := range []struct{ flag, image string }{
		{"custom-scheduler-image", o.config.Scheduler}, {"device-plugin-image", o.config.DevicePlugin},
		{"node-metrics-image", o.config.NodeMetrics}, {"scheduler-extension-image", o.config.SchedulerExtension},
	} {
		if f.image == "" {
			missing = append(missing, "--"+f.flag)
		} else if _, err := name.ParseReference(f.image); err != nil {
			return usage{fault.Wrap(fmt.Errorf("--%s: %w", f.flag, err), "name an image as REGISTRY/REPOSITORY:TAG")}
		}
	}
	if len(missing) > 0 {
		return usage{fault.Wrap(fmt.Errorf("a DeviceConfig needs the operator's other images: %s", strings.Join(missing, ", ")),
			"take them from the operator's release notes; or give --patch, which changes the driver of the DeviceConfig that is there")}
	}
	return nil
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
		return usage{fault.Wrap(fmt.Errorf("--patch changes the driver alone, and not %s", strings.Join(given, ", ")),
			"leave them out, or leave out --patch for a whole DeviceConfig")}
	}
	return nil
}
