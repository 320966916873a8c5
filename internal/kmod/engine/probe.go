package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/platform/fault"
)

// probeTime bounds Probe, but for its clean-up: a daemon that hangs would otherwise hold it for ever.
const probeTime = 2 * time.Minute

// probeScript writes the file probeFile. It needs no program but the shell.
const (
	probeFile   = "ran"
	probeScript = "echo ran > /output/" + probeFile + "\n"
)

// Probe shows that jobs work here: it lends base, which has to have /bin/sh, to the engine, runs a script in it as Run
// runs every job, and looks for the file that the script writes. Nothing of it is left when it returns, also after an
// error or when ctx ends. It takes seconds, and three minutes at most. Its error says what the engine said, and has
// advice.
func (c *CLI) Probe(ctx context.Context, base v1.Image) (err error) {
	temp, err := os.MkdirTemp(c.opts.TempDir, "probe-")
	if err != nil {
		return fmt.Errorf("try a container: make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	unmark, err := c.owner.markInUse()
	if err != nil {
		return fmt.Errorf("try a container: %w", err)
	}
	defer func() { err = errors.Join(err, unmark()) }()
	image := c.localImage("probe")
	defer func() {
		if !errors.Is(err, exec.ErrNotFound) {
			err = errors.Join(err, c.store.removeImage(context.WithoutCancel(ctx), image))
		}
	}()
	err = c.probe(ctx, temp, image, base)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("try a container: %w", context.Cause(ctx))
	}
	if err != nil {
		return c.store.advise(fmt.Errorf("try a container: %w", err), "run --rm IMAGE true")
	}
	return nil
}

// probe leaves the image in the store.
func (c *CLI) probe(ctx context.Context, temp, image string, base v1.Image) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, fmt.Errorf("not done within %s", probeTime))
	defer cancel()
	if err := c.store.load(ctx, temp, image, base); err != nil {
		return fmt.Errorf("put an image into the engine's store: %w", err)
	}
	output := filepath.Join(temp, "output")
	if err := os.Mkdir(output, 0o700); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	err := c.Run(ctx, Job{Name: "probe", Image: image, Script: probeScript, Output: output})
	if exit, ok := errors.AsType[*ExitError](err); ok {
		// The script says nothing: these are the words of the engine, or of a shell that could not begin.
		lines := strings.Split(strings.TrimSpace(withoutUsage(exit.Tail)), "\n")
		// docker's own log may follow: that it no longer waits for a container which never started.
		for len(lines) > 1 && strings.HasPrefix(lines[len(lines)-1], `time="`) {
			lines = lines[:len(lines)-1]
		}
		return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(output, probeFile)); err != nil {
		return fault.Wrap(fmt.Errorf("what a container writes does not arrive: %w", err), notShared)
	}
	return nil
}
