package engine

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"neuron-kmod/internal/command"
	"neuron-kmod/internal/hint"
)

// Check asks the engine to describe itself. An engine that is not installed is
// errors.Is(err, exec.ErrNotFound).
func (c *CLI) Check(ctx context.Context) (Info, error) {
	out, err := command.Output(ctx, c.command(c.dialect.info()...))
	if errors.Is(err, exec.ErrNotFound) {
		return Info{}, hint.Wrap(fmt.Errorf("container engine: %w", err),
			"install podman: apt-get install podman, dnf install podman or brew install podman; or use --engine docker")
	}
	if err != nil {
		return Info{}, hint.Wrap(fmt.Errorf("container engine: %w", err),
			fmt.Sprintf("make `%s info` work first", c.Program))
	}
	return c.dialect.parseInfo(out)
}
