package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/test/lab"
)

// with runs a command whose podman and docker are the lab's: with a storage that goes with the command's end, and with
// the containers.conf that this machine may need.
func with(ctx context.Context, dir string, log *slog.Logger, args []string) (err error) {
	if len(args) == 0 {
		return errors.New("with: a command is missing")
	}
	l, err := lab.Open(ctx, dir, log)
	if err != nil {
		return err
	}
	storage, err := os.MkdirTemp("", "lab-with-")
	if err != nil {
		return fmt.Errorf("make a directory for podman: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(storage)) }()
	vars, remove, err := l.Podman(ctx, storage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	docker, err := l.StartDocker(ctx, storage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, docker.Close()) }()
	vars = append(vars, docker.Vars...)
	return command.Run(ctx, command.Cmd{Name: args[0], Args: args[1:], Env: vars, Stdout: os.Stdout, Stderr: os.Stderr})
}
