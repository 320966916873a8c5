package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/catalog"
	"neuron-kmod/internal/doctor"
	"neuron-kmod/internal/hint"
	"neuron-kmod/internal/matrix"
	"neuron-kmod/internal/plan"
)

// checkTime bounds the checks that wait for the network or the engine.
const checkTime = 5 * time.Minute

// doctorOptions are the flags of doctor: those of build that decide whether one
// would work.
type doctorOptions struct{ buildOptions }

func newDoctor(a *app) *cobra.Command {
	o := &doctorOptions{buildOptions{planOptions: planOptions{app: a}}}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check tools, credentials and registries, and say what to do",
		Long: `Doctor makes the checks that build makes before it downloads anything, all of
them, and says for each what was found and what to do. It changes nothing: whether
images can be pushed is found out by beginning an upload and cancelling it.

The exit code is 4 if a build would fail, else 0.`,
		Example: `  neuron-kmod doctor
  neuron-kmod doctor --target quay.io/me/neuron-kmod -o json`,
		Args:        exactly(0, 0, "no argument"),
		Annotations: map[string]string{anyEnvironment: "told as a check that failed"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.placeFlags(cmd)
	o.engineFlags(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "table", "`format` of the report: table or json")
	return cmd
}

func (o *doctorOptions) run(ctx context.Context) error {
	if o.output != "table" && o.output != "json" {
		return usage{hint.Wrap(fmt.Errorf("--output is %q", o.output), "use table or json")}
	}
	report := doctor.NewReport(o.Describe(), o.checks(ctx))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	write := report.WriteTable
	if o.output == "json" {
		write = report.WriteJSON
	}
	if err := write(o.stdout); err != nil {
		return err
	}
	if !report.OK {
		return prerequisite{errors.New("a build would fail")}
	}
	return nil
}

// checks makes all checks. Those of the engine and of the registries go on at
// the same time; the order of the report is fixed.
func (o *doctorOptions) checks(ctx context.Context) []doctor.Check {
	in, checks := o.fileChecks()
	info, _ := debug.ReadBuildInfo() // nil without
	tools := doctor.Replaced(info, o.CheckTools)
	s, err := o.open()
	if err != nil {
		checks = append(checks, doctor.Check{Group: "files", Name: "credentials"}.Fail(err))
		return slices.Concat(checks, tools)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, checkTime, fmt.Errorf("not done within %s", checkTime))
	defer cancel()
	var base baseImage
	var engine engineChecks
	var aws, places []doctor.Check
	var g errgroup.Group // its functions report through their checks
	g.Go(func() error {
		aws = s.awsChecks(ctx)
		places = s.registryChecks(ctx, in)
		return nil
	})
	g.Go(func() error {
		base, engine = o.engineChecks(ctx, s)
		return nil
	})
	_ = g.Wait()
	return slices.Concat(checks, tools, engine.tool, engine.works, aws, s.loginChecks(ctx, in, base.reference), places, base.checks)
}

// fileChecks reads the matrix and the catalogue. The input is what was good of
// them.
func (o *doctorOptions) fileChecks() (plan.Input, []doctor.Check) {
	in := plan.Input{Arch: arch}
	var checks []doctor.Check
	if o.environment != nil {
		checks = append(checks, doctor.Check{Group: "files", Name: "environment"}.Fail(o.environment))
	}
	c := doctor.Check{Group: "files", Name: "matrix"}
	m, err := matrix.Load(o.Matrix)
	if err != nil {
		c = c.Fail(err)
	} else {
		c.State, c.Detail = doctor.OK, fmt.Sprintf("%s: %s", o.Matrix, count(len(m.Entries), "driver"))
		in.Entries = m.Entries
	}
	checks = append(checks, c)
	c = doctor.Check{Group: "files", Name: "catalogue"}
	if in.Catalog, err = catalog.Load(o.Catalog); err != nil {
		c = c.Fail(err)
	} else {
		c.State, c.Detail = doctor.OK, fmt.Sprintf("%s: %s", o.Catalog, count(len(in.Catalog.Entries), "Driver Toolkit"))
	}
	return in, append(checks, c)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// wanted returns the newest Driver Toolkit that the matrix asks for, "" if
// there is none.
func wanted(in plan.Input) string {
	if in.Catalog == nil {
		return ""
	}
	dtk := ""
	for _, e := range in.Entries {
		if match, _ := in.Catalog.Select(e.Selectors, in.Arch); len(match) > 0 {
			dtk = match[len(match)-1].DTK
		}
	}
	return dtk
}
