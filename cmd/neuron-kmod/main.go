// Command neuron-kmod publishes AWS Neuron kernel modules for OpenShift.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"neuron-kmod/internal/cli"
)

func main() {
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		s := <-signals
		stop(cli.Interrupted{Terminate: s == syscall.SIGTERM})
		signal.Stop(signals) // a second signal ends the process at once
	}()
	os.Exit(cli.Main(ctx, cli.Streams{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
	}))
}
