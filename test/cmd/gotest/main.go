// Command gotest runs `go test` and keeps what each test took, for `make test`: go test shows the time of packages
// only.
//
//	gotest -o FILE -- ARGUMENTS...   run `go test -json ARGUMENTS...` and keep the events in FILE
//	gotest -slowest N FILE...        print the N slowest tests of such files, and each package's line
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		code = 1
	}
	os.Exit(code)
}

// run returns the exit code, go test's own if that was run.
func run(ctx context.Context, args []string, stdout io.Writer) (int, error) {
	flags := flag.NewFlagSet("gotest", flag.ContinueOnError)
	file := flags.String("o", "", "`file` to keep the events in")
	slowest := flags.Int("slowest", 0, "`number` of tests to print")
	if err := flags.Parse(args); err != nil {
		return 2, nil
	}
	switch {
	case *slowest > 0:
		return 0, summarize(flags.Args(), *slowest, stdout)
	case *file != "":
		return test(ctx, flags.Args(), *file, stdout)
	}
	return 2, errors.New("want -o FILE or -slowest N")
}

// test runs go test.
func test(ctx context.Context, args []string, file string, stdout io.Writer) (code int, err error) {
	events, err := os.Create(file)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	view := newView(stdout)
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdout = io.MultiWriter(events, view)
	cmd.Stderr = os.Stderr
	err = cmd.Run()
	if closeErr := view.close(); closeErr != nil {
		return 1, closeErr
	}
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(failed.ExitCode(), 1), nil
	}
	return 0, err
}
