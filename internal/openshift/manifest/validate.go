package manifest

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

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

// maxModule bounds the names of a Module and of its namespace together: KMM makes labels of them, and refuses longer
// ones. https://github.com/kubernetes-sigs/kernel-module-management/blob/main/internal/webhook/module.go
const maxModule = 40

func isSubdomain(s string) bool { return len(s) <= 253 && subdomainForm.MatchString(s) }

// CheckName returns an error, of the kind fault.Usage, for a value of a flag that is not a name of a resource.
func CheckName(flag, s string) error {
	if !isSubdomain(s) {
		return fault.AsUsage(fault.Wrap(fmt.Errorf("--%s is %.100q", flag, s),
			"Kubernetes takes lower-case letters and digits, with single dots or dashes between them"))
	}
	return nil
}

// Check returns an error, of the kind fault.Usage, for names and labels that a cluster refuses: those of a Module, or
// of a DeviceConfig, of which the operator makes a Module of the same name. Its texts name the flags of the command
// line.
func (p Place) Check() error {
	if err := CheckName("name", p.Name); err != nil {
		return err
	}
	if !labelForm.MatchString(p.Namespace) {
		return fault.AsUsage(fault.Wrap(fmt.Errorf("--namespace is %.100q", p.Namespace),
			"a namespace has at most 63 lower-case letters, digits and dashes"))
	}
	if n := len(p.Name) + len(p.Namespace); n > maxModule {
		return fault.AsUsage(fault.Wrap(fmt.Errorf("--name and --namespace have %d characters, and KMM takes %d in "+
			"both together", n, maxModule), "give a shorter --name"))
	}
	if p.Secret != "" {
		if err := CheckName("image-repo-secret", p.Secret); err != nil {
			return err
		}
	}
	return p.checkSelector()
}

func (p Place) checkSelector() error {
	if len(p.Selector) == 0 {
		return fault.AsUsage(fault.Wrap(errors.New("--selector is empty, which means all nodes"),
			"name a label of the nodes with Neuron devices: --selector "+NodeLabel+"=true"))
	}
	for _, key := range slices.Sorted(maps.Keys(p.Selector)) {
		value := p.Selector[key]
		prefix, word, prefixed := strings.Cut(key, "/")
		if !prefixed {
			prefix, word = "", key
		}
		if prefixed && !isSubdomain(prefix) || !wordForm.MatchString(word) || value != "" && !wordForm.MatchString(value) {
			return fault.AsUsage(fault.Wrap(fmt.Errorf("--selector %.200q is not a valid label", key+"="+value),
				"write it as `oc get nodes --show-labels` prints it, for example "+NodeLabel+"=true"))
		}
	}
	return nil
}

// CheckModules returns an error, of the kind fault.Usage, for what cannot be the name of a kernel module.
func CheckModules(names []string) error {
	for _, m := range names {
		if !moduleForm.MatchString(m) {
			return fault.AsUsage(fault.Wrap(fmt.Errorf("--in-tree-modules-to-remove %.100q is not a valid module name", m),
				"name it as lsmod does"))
		}
	}
	return nil
}

// Check returns an error, of the kind fault.Usage, unless in has the operator's other images, all of them and with
// names that a cluster can pull.
func (in DeviceConfigInput) Check() error {
	var missing []string
	for _, f := range []struct{ flag, image string }{
		{"custom-scheduler-image", in.Scheduler}, {"device-plugin-image", in.DevicePlugin},
		{"node-metrics-image", in.NodeMetrics}, {"scheduler-extension-image", in.SchedulerExtension},
	} {
		if f.image == "" {
			missing = append(missing, "--"+f.flag)
		} else if _, err := name.ParseReference(f.image); err != nil {
			return fault.AsUsage(fault.Wrap(fmt.Errorf("--%s: %w", f.flag, err), "name an image as REGISTRY/REPOSITORY:TAG"))
		}
	}
	if len(missing) > 0 {
		return fault.AsUsage(fault.Wrap(fmt.Errorf("a DeviceConfig needs the operator's other images: %s",
			strings.Join(missing, ", ")),
			"take them from the operator's release notes; or give --patch, which changes the driver of the DeviceConfig "+
				"that is there"))
	}
	return nil
}
