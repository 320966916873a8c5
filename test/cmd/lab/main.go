// Command lab makes and runs what the real job needs, on one machine and without an account: for `make demo`,
// for the end-to-end tests and benchmarks, and for trying things by hand.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/test/lab"
)

const usage = `Usage: lab [-dir DIRECTORY] COMMAND [flags]

Commands:
  prepare             make what takes long: kernels, toolchain, base image, docker, toolkits in a podman storage
  demo -bin PROGRAM   run the whole job with the program
  serve               keep registries and downloads running, for use by hand
  with COMMAND...     run a command whose podman and docker are the lab's, with a storage of its own
  clean               remove the directory

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	os.Exit(report(err))
}

// report prints an error with its advice and returns the exit code: the failed program's own, if it is one.
func report(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(os.Stderr, "lab:", err)
	if advice := fault.Of(err); advice != "" {
		fmt.Fprintln(os.Stderr, "hint:", advice)
	}
	if failed, ok := errors.AsType[*command.Error](err); ok && failed.ExitCode > 0 {
		return failed.ExitCode
	}
	return 1
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	dir := flags.String("dir", ".lab", "`directory` in which everything is kept")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	rest := flags.Args()
	if len(rest) == 0 {
		rest = []string{""}
	}
	switch rest[0] {
	case "prepare":
		return prepare(ctx, *dir, log)
	case "demo":
		return demo(ctx, *dir, log, rest[1:])
	case "serve":
		return serve(ctx, *dir, log, rest[1:])
	case "with":
		return with(ctx, *dir, log, rest[1:])
	case "clean":
		return lab.Clean(ctx, *dir)
	}
	flags.Usage()
	return fmt.Errorf("%q is not a command", rest[0])
}

func prepare(ctx context.Context, dir string, log *slog.Logger) error {
	l, err := lab.Open(ctx, dir, log)
	if err != nil {
		return err
	}
	if err := l.PrepareTests(ctx); err != nil {
		return err
	}
	fmt.Printf("The lab is ready in %s. Its kernels:\n", l.Dir)
	for _, k := range l.Kernels() {
		fmt.Println("  " + k)
	}
	return nil
}
