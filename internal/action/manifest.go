package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/manifest"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// ManifestRequest asks for the YAML of a resource by which a cluster uses the images of a driver.
type ManifestRequest struct {
	Selection     Selection // of one driver
	Target        string
	ToolkitMirror string
	Place         manifest.Place
}

// ModuleRequest asks for a Module of KMM.
type ModuleRequest struct {
	Manifest ManifestRequest
	Literal  bool     // map each kernel that has an image to the image's digest
	Ordered  bool     // set the Module's version
	Remove   []string // modules of the kernel itself to unload first
}

// DeviceConfigRequest asks for a DeviceConfig of the AWS Neuron operator.
type DeviceConfigRequest struct {
	Manifest ManifestRequest
	Patch    bool // only what changes in one that is there
	Images   manifest.DeviceConfigInput
}

// DefaultPlace is where a resource is, and on which nodes it works, unless the user says otherwise.
func DefaultPlace(namespace string) manifest.Place {
	p := manifest.DefaultPlace()
	p.Namespace = namespace
	return p
}

// open checks what was asked for, and returns the driver and a session to find its images with.
func (r ManifestRequest) open(env Env) (*session, version.Driver, error) {
	fail := func(err error) (*session, version.Driver, error) { return nil, version.Driver{}, err }
	if err := r.Place.Check(); err != nil {
		return fail(err)
	}
	if r.Selection.Driver == matrix.All {
		return fail(fault.AsUsage(fault.Wrap(errors.New("a cluster has one driver"), "name its version")))
	}
	if strings.HasPrefix(r.Target, "oci:") {
		err := errors.New("clusters pull from a registry, not from a directory")
		return fail(fault.AsUsage(fault.Wrap(err, "name the registry with --target")))
	}
	m, err := matrix.Load(r.Selection.Matrix)
	if err != nil {
		return fail(fault.AsInvalid(err))
	}
	entries, err := m.Filter(r.Selection.Driver, "")
	if err != nil {
		return fail(fault.AsUsage(err))
	}
	s, err := open(env, access{target: r.Target, mirror: r.ToolkitMirror, readOnly: true})
	if err != nil {
		return fail(err)
	}
	return s, entries[0].Driver, nil
}

// Module returns the YAML of a Module. It may block on the network.
func Module(ctx context.Context, env Env, r ModuleRequest) (string, error) {
	if err := manifest.CheckModules(r.Remove); err != nil {
		return "", err
	}
	s, driver, err := r.Manifest.open(env)
	if err != nil {
		return "", err
	}
	in := manifest.ModuleInput{Place: r.Manifest.Place, Driver: driver, Ordered: r.Ordered, Remove: r.Remove}
	if r.Literal {
		in.Images, err = literalImages(ctx, s, r.Manifest.Selection)
		if err != nil {
			return "", err
		}
		return manifest.Module(in)
	}
	target, err := s.target(ctx, use{})
	if err != nil {
		return "", err
	}
	in.Repository = target.String()
	return manifest.Module(in)
}

// DeviceConfig returns the YAML of a DeviceConfig, or of a merge patch for one. It may block on the network.
func DeviceConfig(ctx context.Context, env Env, r DeviceConfigRequest) (string, error) {
	if !r.Patch {
		if err := r.Images.Check(); err != nil {
			return "", err
		}
	}
	s, driver, err := r.Manifest.open(env)
	if err != nil {
		return "", err
	}
	target, err := s.target(ctx, use{})
	if err != nil {
		return "", err
	}
	if r.Patch {
		return manifest.DeviceConfigPatch(target.String(), driver)
	}
	in := r.Images
	in.Place, in.Repository, in.Driver = r.Manifest.Place, target.String(), driver
	return manifest.DeviceConfig(in)
}

// literalImages are the published images. It warns of kernels without one: their nodes would get no module.
func literalImages(ctx context.Context, s *session, sel Selection) ([]manifest.Image, error) {
	in, err := s.planInput(ctx, sel, use{})
	if err != nil {
		return nil, err
	}
	p, err := in.makePlan(ctx, nil)
	if err != nil {
		return nil, err
	}
	if p, _, err = statPlan(ctx, in.target, p, nil); err != nil {
		return nil, err
	}
	var images []manifest.Image
	for _, b := range p.Builds {
		if b.State == plan.Published {
			images = append(images, manifest.Image{Kernel: b.Kernel, Reference: in.target.String() + "@" + b.Digest})
			continue
		}
		s.env.Log.Warn("no image for a kernel: the Module has nothing for its nodes",
			"driver", b.Driver, "kernel", b.Kernel, "releases", b.Releases)
	}
	if len(images) == 0 {
		err := fmt.Errorf("no image of driver %s is published in %s", sel.Driver, in.target)
		return nil, fault.AsIncomplete(fault.Wrap(err, fmt.Sprintf("`neuron-kmod build %s` publishes them", sel.Driver)))
	}
	return images, nil
}

// PreflightRequest asks for the resources by which KMM checks a cluster before an upgrade.
type PreflightRequest struct {
	Catalog string // path of driver-toolkit.json
	Release string // of OpenShift
	Name    string // of the resource, "" for upgrade-RELEASE
}

// Preflight returns the YAML of a PreflightValidationOCP for each kernel that a release boots: OpenShift 5 has two.
// It may block on the network.
func Preflight(ctx context.Context, env Env, r PreflightRequest) (string, error) {
	v, err := version.ParseOCP(r.Release)
	if err != nil {
		return "", fault.AsUsage(fault.Wrap(err, "name a release such as 4.21.3"))
	}
	if r.Name != "" {
		if err := manifest.CheckName("name", r.Name); err != nil {
			return "", err
		}
	}
	c, err := catalog.Load(r.Catalog)
	if err != nil {
		return "", fault.AsInvalid(err)
	}
	if err := c.Missing(version.Only(v), arch); err != nil {
		return "", fault.AsUsage(fault.Wrap(err, notInCatalogue))
	}
	entries, _ := c.Select([]version.Selector{version.Only(v)}, arch)
	var documents []string
	for _, e := range entries {
		k, err := bootedKernel(ctx, env, c, e)
		if err != nil {
			return "", fmt.Errorf("the kernel of OpenShift %s: %w", v, err)
		}
		if !e.NodeKernel.IsZero() && e.NodeKernel != e.Kernel {
			env.Log.Warn("the nodes of the release boot another kernel than its Driver Toolkit is for: KMM can check their "+
				"images but cannot build any",
				"release", v, "nodes", e.NodeKernel, "toolkit", e.Kernel)
		}
		name := cmp.Or(r.Name, "upgrade-"+v.String())
		if e.Component != "" {
			name += "-" + e.Component
		}
		text, err := manifest.Preflight(name, k, e.DTK)
		if err != nil {
			return "", err
		}
		documents = append(documents, text)
	}
	return strings.Join(documents, "---\n"), nil
}

// bootedKernel is the kernel that nodes boot: as the catalogue records it, else as the Driver Toolkit says.
func bootedKernel(ctx context.Context, env Env, c *catalog.Catalog, e catalog.Entry) (kernel.Version, error) {
	if k := cmp.Or(e.NodeKernel, e.Kernel); !k.IsZero() {
		return k, nil
	}
	s, err := open(env, access{target: env.Settings.Target})
	if err != nil {
		return kernel.Version{}, err
	}
	source, err := s.toolkits(ctx, c)
	if err != nil {
		return kernel.Version{}, err
	}
	found, err := source.resolver(nil)(ctx, []string{e.DTK})
	if err != nil {
		return kernel.Version{}, err
	}
	return found[0].Kernel, found[0].Err
}
