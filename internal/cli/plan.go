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
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/report"
)

// The one architecture that Trainium and Inferentia instances have, as
// catalogues and as registries name it.
const (
	arch     = "x86_64"
	platform = "linux/amd64"
)

// planOptions say which builds are wanted.
type planOptions struct {
	*app
	driver  string // a version or "all"
	release string // "", "4.20" or "4.20.16"
	kernels []string
	output  string // "table", "json", or for plan "github-matrix"
}

// githubMatrix is the format of plan for the jobs of a workflow.
const githubMatrix = "github-matrix"

func newPlan(a *app) *cobra.Command {
	o := &planOptions{app: a}
	cmd := &cobra.Command{
		Use:   "plan [DRIVER_VERSION|all [OCP_VERSION]]",
		Short: "Show what build would do, and why",
		Example: `  neuron-kmod plan --target quay.io/me/neuron-kmod
  neuron-kmod plan 2.24.7.0 4.20 --target quay.io/me/neuron-kmod
  neuron-kmod plan all 4.20.16 --target oci:images -o json`,
		Args: exactly(0, 2, "at most a driver version and an OpenShift version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.setArgs(args)
			return o.run(cmd.Context())
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.Force, "force", o.Force, "with -o github-matrix, all builds and not only the missing ones (FORCE_BUILD)")
	f.Lookup("output").Usage = "`format` of the result: table, json, or github-matrix for the matrix of a job in GitHub Actions"
	return cmd
}

func (o *planOptions) flags(cmd *cobra.Command) {
	o.placeFlags(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.kernels, "kernel", nil, "only this `kernel`, as uname -r prints it (repeatable)")
	f.StringVarP(&o.output, "output", "o", "table", "`format` of the result: table or json")
}

// fileFlags name the two files.
func (a *app) fileFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.Matrix, "matrix", a.Matrix, "`file` that says which driver is for which OpenShift versions")
	f.StringVar(&a.Catalog, "catalog", a.Catalog, "`file` that says which Driver Toolkit belongs to which release")
}

// placeFlags say which files and which target.
func (o *planOptions) placeFlags(cmd *cobra.Command) {
	o.fileFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Target, "target", o.Target, "where images go: ecr, ecr-public, `REGISTRY/REPOSITORY` or oci:DIR")
	f.StringVar(&o.ToolkitMirror, "toolkit-mirror", o.ToolkitMirror, "take Driver Toolkits from this `REGISTRY/REPOSITORY` where it has them; `catalog mirror` fills it")
}

func (o *planOptions) setArgs(args []string) {
	o.driver = "all"
	if len(args) > 0 {
		o.driver = args[0]
	}
	if len(args) > 1 {
		o.release = args[1]
	}
}

func (o *planOptions) run(ctx context.Context) error {
	if err := o.checkOutput("table", "json", githubMatrix); err != nil {
		return err
	}
	o.AnonymousPublic = true // who only reads ECR Public needs no credentials
	s, err := o.open()
	if err != nil {
		return err
	}
	p, _, err := o.plan(ctx, s, access{})
	if err != nil {
		return err
	}
	if o.output == githubMatrix {
		return o.writeMatrix(p)
	}
	if err := o.write(p); err != nil {
		return err
	}
	return completeness(p)
}

// plan makes the plan, and returns the target that it was made for.
func (o *planOptions) plan(ctx context.Context, s *session, want access) (*plan.Plan, registry.Target, error) {
	in, err := o.input()
	if err != nil {
		return nil, nil, err
	}
	target, err := s.target(ctx, want)
	if err != nil {
		return nil, nil, err
	}
	if _, err := s.useMirror(ctx, in.Catalog); err != nil {
		return nil, nil, err
	}
	if want.push {
		if err := s.checkQuay(ctx, in); err != nil {
			return nil, nil, err
		}
	}
	if want.engine != nil {
		s.ready = &readiness{check: func(ctx context.Context) error { return errors.Join(checkPush(ctx, target), want.engine(ctx)) }}
	}
	in.Target, in.Resolve = target, want.resolve
	if in.Resolve == nil {
		in.Resolve = s.resolver()
	}
	p, err := plan.Make(ctx, in)
	if err != nil {
		return nil, nil, o.classify(err)
	}
	if err := s.ready.failure(); err != nil {
		return nil, nil, err
	}
	if len(p.Builds) == 0 && s.refused != nil {
		return nil, nil, prerequisite{fmt.Errorf("no Driver Toolkit can be read: %w", s.refused)}
	}
	for _, n := range p.Notes {
		o.log.Warn("not every node will find an image", "reason", n)
	}
	for _, u := range p.Unresolved {
		o.log.Warn("the kernel of a release cannot be found out", "release", u.Release, "toolkit", u.Toolkit, "reason", u.Reason)
	}
	return p, target, nil
}

// checkOutput refuses formats that the command does not have.
func (o *planOptions) checkOutput(formats ...string) error { return checkFormat(o.output, formats...) }

func checkFormat(output string, formats ...string) error {
	if !slices.Contains(formats, output) {
		return usage{fault.Wrap(fmt.Errorf("--output is %q", output), "use "+strings.Join(formats, " or "))}
	}
	return nil
}

// input reads the two files and the filters; it touches no network.
func (o *planOptions) input() (plan.Input, error) {
	in := plan.Input{Arch: arch}
	for _, k := range o.kernels {
		v, err := kernel.Parse(k)
		if err != nil {
			return in, usage{fmt.Errorf("--kernel: %w", err)}
		}
		in.Kernels = append(in.Kernels, v)
	}
	m, err := matrix.Load(o.Matrix)
	if err != nil {
		return in, invalid{err}
	}
	if in.Catalog, err = catalog.Load(o.Catalog); err != nil {
		return in, invalid{err}
	}
	if in.Entries, err = m.Filter(o.driver, o.release); err != nil {
		return in, usage{err}
	}
	return in, nil
}

func (o *planOptions) write(p *plan.Plan) error {
	if o.output == "json" {
		return report.PlanJSON(o.stdout, p)
	}
	return report.PlanTable(o.stdout, p)
}

// completeness turns what is wrong with a report into the exit code 1.
func completeness(p *plan.Plan) error {
	if p.Complete() {
		return nil
	}
	err := errors.New(p.Summary())
	if p.Count(plan.Unbuildable) > 0 {
		err = fault.Wrap(err, "an unbuildable image waits for a release whose Driver Toolkit is for its kernel; to do without it, take the release that "+
			"needs it out of the catalogue, and name it to `neuron-kmod catalog update` with --skip")
	}
	return incomplete{err}
}

// classify marks the errors of a plan that are the caller's.
func (o *planOptions) classify(err error) error { return classifyPlan(err, o.Target) }

// classifyPlan marks the errors of a plan for a target that are the caller's: a directory
// that cannot be a target is one, too.
func classifyPlan(err error, target string) error {
	var nothing *catalog.NotFoundError
	var noKernel *plan.KernelError
	if errors.As(err, &nothing) || errors.As(err, &noKernel) {
		return usage{err}
	}
	if strings.HasPrefix(target, "oci:") {
		return usage{err}
	}
	return registry.Classify(err)
}
