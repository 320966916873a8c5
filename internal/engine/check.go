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
// errors.Is(err, exec.ErrNotFound). That docker will not heed CAFile is no error, since its daemon may
// trust the registry already; the log says it.
func (c *CLI) Check(ctx context.Context) (Info, error) {
	info, err := c.info(ctx)
	if err == nil && c.CAFile != "" && info.Name == "docker" {
		c.Log.Warn("docker does not read the CA file: its daemon trusts the certificates of its own machine; "+
			"put the CA into /etc/docker/certs.d/HOST/ca.crt there", "file", c.CAFile)
	}
	return info, err
}

func (c *CLI) info(ctx context.Context) (Info, error) {
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
