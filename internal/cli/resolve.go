package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// resolveOptions are the flags of resolve.
type resolveOptions struct {
	planOptions
	from, to string
}

func newResolve(a *app) *cobra.Command {
	o := &resolveOptions{planOptions: planOptions{app: a}}
	cmd := &cobra.Command{
		Use:   "resolve OCP_VERSION|KERNEL|-",
		Short: "Tell which image a release, a kernel or a cluster needs, and whether it is there",
		Long: `Resolve answers for an OpenShift release, for a kernel as uname -r prints it, or,
as -, for the nodes of a cluster, which it reads from stdin as
kubectl get nodes -o json prints them. With --from and --to it tells whether a
cluster can be upgraded. The exit code is 1 where an image is missing.`,
		Example: `  neuron-kmod resolve 4.21.3 --target quay.io/me/neuron-kmod
  neuron-kmod resolve 5.14.0-570.96.1.el9_6.x86_64 --target quay.io/me/neuron-kmod
  oc get nodes -o json | neuron-kmod resolve - --target quay.io/me/neuron-kmod
  neuron-kmod resolve --from 4.20.11 --to 4.21.3 --target quay.io/me/neuron-kmod`,
		Args: exactly(0, 1, "an OpenShift version, a kernel or -; or --from and --to"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	o.placeFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.driver, "driver", "all", "only this `driver`")
	f.StringVar(&o.from, "from", "", "the OpenShift `release` that a cluster has")
	f.StringVar(&o.to, "to", "", "the OpenShift `release` that it is to be upgraded to")
	f.StringVarP(&o.output, "output", "o", "text", "`format` of the result: text or json")
	return cmd
}

func (o *resolveOptions) run(ctx context.Context, args []string) error {
	if err := o.checkOutput("text", "json"); err != nil {
		return err
	}
	upgrade := o.from != "" || o.to != ""
	switch {
	case upgrade && (len(args) > 0 || o.from == "" || o.to == ""):
		return usage{errors.New("--from and --to go together, and with nothing else")}
	case !upgrade && len(args) == 0:
		return usage{fault.Wrap(errors.New("what is to be resolved?"), "name an OpenShift release, a kernel, or - for the nodes on stdin")}
	case upgrade:
		return o.upgrade(ctx)
	case args[0] == "-":
		return o.nodes(ctx)
	}
	// Tags of release images have the architecture behind the release.
	if v, err := version.ParseOCP(strings.TrimSuffix(args[0], "-"+arch)); err == nil {
		return o.ofRelease(ctx, v)
	}
	k, err := kernel.Parse(args[0])
	if err != nil || !strings.Contains(args[0], "-") {
		return o.unclear(args[0])
	}
	return o.ofKernel(ctx, k)
}

// notInCatalogue is the mend where a release is asked for that the catalogue does not have.
const notInCatalogue = "add it with `neuron-kmod catalog update`, or ask for one that is in it"

// resolver answers questions about images.
type resolver struct {
	*resolveOptions
	*session
	in     plan.Input
	target registry.Target
	tags   map[string]bool
}

// start reads the files and lists what is published. Releases that the catalogue does not have are an error before anything
// is asked of the network.
func (o *resolveOptions) start(ctx context.Context, releases ...version.OCP) (*resolver, error) {
	in, err := o.input()
	if err != nil {
		return nil, err
	}
	for _, v := range releases {
		if err := in.Catalog.Missing(version.Only(v), arch); err != nil {
			return nil, usage{fault.Wrap(err, notInCatalogue)}
		}
	}
	o.AnonymousPublic = true
	s, err := o.open()
	if err != nil {
		return nil, err
	}
	r := &resolver{resolveOptions: o, session: s, in: in}
	if r.target, err = s.target(ctx, access{}); err != nil {
		return nil, err
	}
	if _, err := s.useMirror(ctx, in.Catalog); err != nil {
		return nil, err
	}
	if r.tags, err = r.target.Tags(ctx); err != nil {
		return nil, o.classify(err)
	}
	r.in.Target, r.in.Resolve = r, s.resolver()
	return r, nil
}

// Tags implements plan.Target with the one listing of a run.
func (r *resolver) Tags(context.Context) (map[string]bool, error) { return r.tags, nil }

// Reference implements plan.Target.
func (r *resolver) Reference(tag string) string { return r.target.Reference(tag) }

// The states of an answer.
const (
	ready     = "ready"
	missing   = "missing"
	unknown   = "unknown"    // the kernel of the release cannot be found out
	notWanted = "not wanted" // the matrix does not have the driver for the release
)

// answer is one driver for one kernel.
type answer struct {
	Driver version.Driver `json:"driver"`
	Kernel kernel.Version `json:"kernel"` // "" where it is not known
	State  string         `json:"state"`
	Image  string         `json:"image"`  // by digest, where there is one; else by the tag that it would have
	Digest string         `json:"digest"` // of an image that is there: "sha256:...", else ""; a directory's images cannot be named by it
	Reason string         `json:"reason"` // why it is not ready, else ""

	tag string
}

// release answers for each driver and each kernel of a release that the catalogue has.
func (r *resolver) release(ctx context.Context, v version.OCP) ([]answer, error) {
	only := version.Only(v)
	in := r.in
	in.Entries = nil
	var answers []answer
	for _, e := range r.in.Entries {
		if slices.ContainsFunc(e.Selectors, func(s version.Selector) bool { return s.Match(v) }) {
			in.Entries = append(in.Entries, matrix.Entry{Driver: e.Driver, Selectors: []version.Selector{only}})
		} else {
			answers = append(answers, answer{Driver: e.Driver, State: notWanted, Reason: "the matrix does not have this driver for OpenShift " + v.String()})
		}
	}
	if len(in.Entries) == 0 {
		return answers, nil
	}
	p, err := plan.Make(ctx, in)
	if err != nil {
		return nil, r.classify(err)
	}
	for _, d := range p.Drivers {
		one := p.Of(d)
		for _, b := range one.Builds {
			answers = append(answers, answered(b))
		}
		for _, u := range one.Unresolved {
			answers = append(answers, answer{Driver: d, State: unknown, Reason: u.Reason})
		}
	}
	return answers, r.digests(ctx, answers)
}

// answered is what a plan says of a build.
func answered(b plan.Build) answer {
	a := answer{Driver: b.Driver, Kernel: b.Kernel, State: ready, Image: b.Image, tag: b.Tag}
	if b.State != plan.Published {
		a.State, a.Reason = missing, b.Error
		if a.Reason == "" {
			a.Reason = plan.NotBuilt
		}
	}
	return a
}

// digests names the images that are ready by their digests.
func (r *resolver) digests(ctx context.Context, answers []answer) error {
	var tags []string
	for _, a := range answers {
		if a.State == ready && !slices.Contains(tags, a.tag) {
			tags = append(tags, a.tag)
		}
	}
	seen, err := look(ctx, r.target, tags)
	if err != nil {
		return err
	}
	for i := range answers {
		a := &answers[i]
		if a.State != ready {
			continue
		}
		one, there := seen[a.tag]
		if !there {
			a.State, a.Reason = missing, "it is listed, and gone"
			continue
		}
		a.Digest = one.digest
		if !strings.HasPrefix(r.target.String(), "oci:") {
			a.Image = r.target.String() + "@" + one.digest
		}
	}
	return nil
}

// kernels answers for each driver and each of the kernels. The tags of the target decide; only for what is not there the
// plan of the whole matrix tells why. orphans are kernels that no release of the matrix boots and that have no image.
func (r *resolver) kernels(ctx context.Context, kernels []kernel.Version) (answers []answer, orphans []kernel.Version, all *plan.Plan, err error) {
	for _, k := range kernels {
		found := false
		for _, e := range r.in.Entries {
			tag, err := kernel.Tag(e.Driver, k)
			if err != nil {
				return nil, nil, nil, usage{err}
			}
			a := answer{Driver: e.Driver, Kernel: k, State: ready, Image: r.target.Reference(tag), tag: tag}
			if !r.tags[tag] {
				if all == nil {
					if all, err = plan.Make(ctx, r.in); err != nil {
						return nil, nil, nil, r.classify(err)
					}
				}
				a = r.absent(all, a)
			}
			found = found || a.State != notWanted
			answers = append(answers, a)
		}
		if !found {
			orphans = append(orphans, k)
		}
	}
	return answers, orphans, all, r.digests(ctx, answers)
}

// absent says why there is no image.
func (r *resolver) absent(all *plan.Plan, a answer) answer {
	i := slices.IndexFunc(all.Builds, func(b plan.Build) bool { return b.Driver == a.Driver && b.Kernel == a.Kernel })
	if i >= 0 {
		return answered(all.Builds[i])
	}
	a.State, a.Reason = notWanted, "no OpenShift release that the matrix has for this driver boots this kernel"
	if one := all.Of(a.Driver); len(one.Unresolved) > 0 {
		a.State, a.Reason = unknown, fmt.Sprintf("the kernels of %s cannot be found out", format.Count(len(one.Unresolved), "release"))
	}
	return a
}

func (o *resolveOptions) ofRelease(ctx context.Context, v version.OCP) error {
	r, err := o.start(ctx, v)
	if err != nil {
		return err
	}
	answers, err := r.release(ctx, v)
	if err != nil {
		return err
	}
	return o.tell(answers, map[string]any{"release": v})
}

func (o *resolveOptions) ofKernel(ctx context.Context, k kernel.Version) error {
	r, err := o.start(ctx)
	if err != nil {
		return err
	}
	answers, orphans, all, err := r.kernels(ctx, []kernel.Version{k})
	if err != nil {
		return err
	}
	if len(orphans) > 0 {
		return usage{r.meant(fmt.Errorf("no OpenShift release of the matrix boots kernel %s, and there is no image for it", k), k, all)}
	}
	err = o.tell(answers, map[string]any{"kernel": k})
	if !slices.ContainsFunc(answers, func(a answer) bool { return a.State == ready || a.State == missing }) {
		err = r.meant(err, k, all) // it may be a release's that cannot be resolved, or a typo
	}
	return err
}
