package cli

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/report"
)

// buildFlags are the flags of build that are no part of its request as they are.
type buildFlags struct {
	output    string
	keepGoing bool // the default, so it only must not meet --fail-fast
	release   bool
	noRelease bool
}

func newBuild(a *app) *cobra.Command {
	var (
		r action.BuildRequest
		o buildFlags
	)
	cmd := &cobra.Command{
		Use:   "build DRIVER_VERSION|all [OCP_VERSION]",
		Short: "Build and publish the images that are missing",
		Long: `Build compiles the driver for each kernel that has no image in the target, and
publishes the image. A kernel that fails does not stop the others. To finish a
run that was interrupted, run it again.`,
		Example: `  neuron-kmod build all --target quay.io/me/neuron-kmod
  neuron-kmod build 2.24.7.0 4.20 --target quay.io/me/neuron-kmod
  neuron-kmod build all --target quay.io/me/neuron-kmod --kernel 5.14.0-570.96.1.el9_6.x86_64
  neuron-kmod build all --target oci:images`,
		Args: exactly(1, 2, "a driver version or all, and optionally an OpenShift version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			setSelection(&r.Selection, args)
			return a.build(cmd, r, o)
		},
	}
	a.fileFlags(cmd, &r.Selection.Matrix, &r.Selection.Catalog)
	a.targetFlags(cmd, &r.Target, &r.ToolkitMirror)
	kernelFlag(cmd, &r.Selection.Kernels)
	a.engineFlags(cmd, &r.Engine, &r.BaseImage, &r.ContainerDir)
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "table", "`format` of the result: table or json")
	f.BoolVar(&r.Force, "force", a.settings.Force, "build and overwrite images that are published (FORCE_BUILD)")
	f.IntVar(&r.Jobs, "jobs", runtime.GOMAXPROCS(0), "`processors` to compile with")
	f.BoolVar(&r.FailFast, "fail-fast", false, "stop at the first failure")
	f.BoolVar(&o.keepGoing, "keep-going", false, "go on with the other kernels after a failure (the default)")
	f.DurationVar(&r.Timeout, "timeout", 30*time.Minute, "`limit` for one compile")
	f.StringVar(&r.Builder, "builder", "auto",
		"what builds the image: auto, native (in-process, built-in Containerfile only) or `engine`")
	f.StringVar(&r.DriverSource, "driver-source", a.settings.DriverSource,
		"`URL or directory` that holds the driver's RPMs")
	f.BoolVar(&o.release, "release", false,
		"afterwards, create or update the GitHub release (the default in GitHub Actions)")
	f.BoolVar(&o.noRelease, "no-release", false, "do not touch the GitHub release (the default elsewhere)")
	f.BoolVar(&r.Create, "create-repository", false,
		"with target ecr, create the repository if it does not exist, with immutable tags and scan on push")
	f.BoolVar(&r.Mutable, "mutable-tags", false,
		"with --create-repository, allow tags to be overwritten; --force needs it")
	return cmd
}

// engineFlags say with which engine, and from what, images are made.
func (a *app) engineFlags(cmd *cobra.Command, engine, baseImage, containerDir *string) {
	f := cmd.Flags()
	f.StringVar(engine, "engine", "podman", "container `engine`: podman or docker")
	f.StringVar(baseImage, "base-image", a.settings.BaseImage, "base of the images: a `reference`, or oci:DIR:TAG")
	f.StringVar(containerDir, "container-dir", "",
		"`directory` with Containerfile, build-module.sh and licenses/ to use instead of the built-in ones")
}

// build builds, reports, and releases where that is wanted.
func (a *app) build(cmd *cobra.Command, r action.BuildRequest, o buildFlags) error {
	ctx := cmd.Context()
	if err := checkOutput(o.output, "table", "json"); err != nil {
		return err
	}
	if o.release && o.noRelease {
		return fault.AsUsage(errors.New("--release and --no-release exclude each other"))
	}
	if r.FailFast && o.keepGoing {
		return fault.AsUsage(errors.New("--fail-fast and --keep-going exclude each other"))
	}
	// By itself it is not where images go to a directory, which nobody can pull from.
	r.Release = !o.noRelease && (o.release || a.settings.GitHub.Release && !strings.HasPrefix(r.Target, "oci:"))
	r.MustBeReleasable = r.Release || a.settings.GitHub.Release
	if a.groups != nil {
		r.KernelDone = func(k action.KernelResult) { a.groups.Done(k.Kernel.String(), report.KernelSummary(k.States)) }
	}
	result, err := action.Build(ctx, a.env(), r)
	if result == nil || err != nil && ctx.Err() == nil {
		return err
	}
	if werr := errors.Join(report.Plan(a.stdout, o.output, result.Plan), a.setOutputs(result)); werr != nil {
		return errors.Join(err, werr)
	}
	if err != nil {
		return err
	}
	if r.Release {
		released, err := action.Release(ctx, a.env(), action.ReleaseRequest{
			Matrix: r.Selection.Matrix, Catalog: r.Selection.Catalog, Driver: r.Selection.Driver,
			BaseImage: r.BaseImage, ContainerDir: r.ContainerDir, DriverSource: r.DriverSource, After: result,
		})
		if err != nil {
			return err
		}
		// What this run has missed is in its report; the release's notes tell of other kernels, too.
		if err := released.Verdict(true); err != nil {
			return err
		}
	}
	return action.Complete(result.Plan)
}

// setOutputs gives the result of a build to the step of GitHub Actions that it is: a summary for people, the tags that
// were built and that failed for later steps. Elsewhere it does nothing.
func (a *app) setOutputs(r *action.BuildResult) error {
	built, failed := report.BuildOutputs(r.Plan)
	return errors.Join(
		a.workflow.AddSummary(report.PlanMarkdown(r.Plan, report.ImagePage)),
		a.setList("built", built), a.setList("failed", failed),
	)
}

func (a *app) setList(name string, list []string) error {
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return a.workflow.SetOutput(name, string(data))
}
