package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/test/lab"
)

// demoReleases is the catalogue's size: two releases on each of six kernels.
const demoReleases = 12

// demo runs the whole job with the real program. What it publishes stays in the directory, so that a second demo finds
// nothing to do.
func demo(ctx context.Context, dir string, log *slog.Logger, args []string) (err error) {
	flags := flag.NewFlagSet("lab demo", flag.ContinueOnError)
	program := flags.String("bin", "bin/neuron-kmod", "the `program` to run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := lab.Open(ctx, dir, log)
	if err != nil {
		return err
	}
	e, err := l.Start(ctx, demoOptions(l))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	before, err := e.TargetTags(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("A catalogue of %d OpenShift releases, Driver Toolkit stand-ins with real kernel headers, and two "+
		"registries.\n", demoReleases)
	fmt.Printf("Images that are in the target before this run: %d\n", len(before))

	if err := tell(ctx, e, *program, "plan", "all", e.PlanFlags()); err != nil {
		return err
	}
	start := time.Now()
	if err := tell(ctx, e, *program, "build", "all", e.BuildFlags()); err != nil {
		return err
	}
	took := time.Since(start)
	after, err := e.TargetTags(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\nThe build took %.1f s and published %d images; the target has %d:\n", took.Seconds(),
		len(after)-len(before), len(after))
	for _, tag := range after {
		fmt.Printf("  %s:%s\n", e.Target, tag)
	}
	if len(after) > 0 {
		tellHowToPull(e, l.Dir, after[0])
	}
	return nil
}

// demoOptions is the demo's environment; serve offers the same.
func demoOptions(l *lab.Lab) lab.Options {
	return lab.Options{
		Dir:         filepath.Join(l.Dir, "demo"),
		KeepStorage: true,
		Releases:    lab.Releases(demoReleases, l.DemoKernels()),
		Matrix: []lab.MatrixEntry{
			{Driver: "2.24.7.0", OCPVersions: []string{"4.20", "4.21", "4.22"}},
			{Driver: "2.28.0.0", OCPVersions: []string{"4.20"}},
		},
	}
}

// tell runs the program, after showing the command line as a user would type it.
func tell(ctx context.Context, e *lab.Env, program, verb, what string, flags []string) error {
	fmt.Printf("\n$ neuron-kmod %s %s --target %s ...\n", verb, what, e.Target)
	return command.Run(ctx, command.Cmd{
		Name: program, Args: append([]string{verb, what}, flags...), Env: e.Vars, Stdout: os.Stdout, Stderr: os.Stderr,
	})
}

func tellHowToPull(e *lab.Env, dir, tag string) {
	fmt.Printf(`
To pull one, start the registries again (they listen on other ports then) ...
  go run ./test/cmd/lab -dir %s serve
and in another terminal, after the lines that it prints:
  podman pull --authfile "$REGISTRY_AUTH_FILE" "$TARGET:%s"
A cluster pulls DRIVER-$KERNEL_FULL_VERSION from your registry once KMM knows DRIVER and the repository.
`, dir, tag)
}
