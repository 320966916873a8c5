package action

import (
	"errors"
	"fmt"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
)

// Selection says which builds are meant, in the command line's own words.
type Selection struct {
	Matrix  string   // path of build-matrix.json
	Catalog string   // path of driver-toolkit.json
	Driver  string   // a version, or "all"
	OCP     string   // "" for all, "4.20" or "4.20.16"
	Kernels []string // only these, as uname -r prints them; none for all
}

// Limited reports whether the selection has fewer than all releases of its drivers.
func (s Selection) Limited() bool { return s.OCP != "" || len(s.Kernels) > 0 }

// input reads the two files and the filters; it touches no network.
func (s Selection) input() (plan.Input, error) {
	in := plan.Input{Arch: arch}
	for _, k := range s.Kernels {
		v, err := kernel.Parse(k)
		if err != nil {
			return in, fault.AsUsage(fmt.Errorf("--kernel: %w", err))
		}
		in.Kernels = append(in.Kernels, v)
	}
	m, err := matrix.Load(s.Matrix)
	if err != nil {
		return in, fault.AsInvalid(err)
	}
	if in.Catalog, err = catalog.Load(s.Catalog); err != nil {
		return in, fault.AsInvalid(err)
	}
	if in.Entries, err = m.Filter(s.Driver, s.OCP); err != nil {
		return in, fault.AsUsage(err)
	}
	return in, nil
}

// classifyPlan marks the errors of a plan for a target that are the user's: a directory that cannot be a target is one, too.
func classifyPlan(err error, target string) error {
	var nothing *catalog.NotFoundError
	var noKernel *plan.KernelError
	if errors.As(err, &nothing) || errors.As(err, &noKernel) || strings.HasPrefix(target, "oci:") {
		return fault.AsUsage(err)
	}
	return registry.Classify(err)
}
