package cli

import (
	"fmt"

	"neuron-kmod/internal/inventory"
)

// manifests writes what a cluster is told to load the images of a repository with. What goes into them is safe in YAML's
// double quotes: names of repositories and versions hold neither quotes nor backslashes.
type manifests struct{ repository string }

// https://kmm.sigs.k8s.io/documentation/deploy_kmod/
func (m manifests) module(i inventory.Image) string {
	return fmt.Sprintf(`apiVersion: kmm.sigs.x-k8s.io/v1beta1
kind: Module
metadata:
  name: neuron
  namespace: openshift-kmm
spec:
  moduleLoader:
    container:
      version: "%s"
      modprobe:
        moduleName: neuron
      kernelMappings:
        - regexp: '^.+$'
          containerImage: "%s:%s-$KERNEL_VERSION"
  selector:
    feature.node.kubernetes.io/aws-neuron: "true"
`, i.Driver, m.repository, i.Driver)
}

// https://github.com/awslabs/operator-for-ai-chips-on-aws/blob/main/README.md
func (m manifests) deviceConfig(i inventory.Image) string {
	return fmt.Sprintf(`apiVersion: k8s.aws/v1beta1
kind: DeviceConfig
spec: # the other fields stay as they are
  driversImage: "%s:%s" # the operator appends the kernel
  driverVersion: "%s"
`, m.repository, i.Driver, i.Driver)
}
