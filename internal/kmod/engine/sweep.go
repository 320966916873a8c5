package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/filelock"
	"neuron-kmod/internal/platform/workspace"
)

// Sweep removes what runs that were killed have left: containers, images and directories of runs whose lock nobody
// holds, and images that we pulled and nobody uses. It asks the engine nothing if there is nothing to remove, and goes
// on after a failure; what is left is the next Sweep's. Runs that are alive lose nothing, and one that was killed with
// another engine at work is left to that engine's Sweep.
func (c *CLI) Sweep(ctx context.Context) error {
	return errors.Join(sweepRuns(ctx, c), sweepImages(ctx, c))
}

func sweepRuns(ctx context.Context, c *CLI) error {
	stale, err := workspace.Stale(c.opts.StateDir)
	errs := []error{err}
	for _, run := range stale {
		if err := sweepRun(ctx, c, run); err != nil {
			errs = append(errs, fmt.Errorf("clean up after killed run %s: %w", run.ID, err))
		}
	}
	return errors.Join(errs...)
}

// sweepRun removes what one run has left; its lock file goes last, so that nothing is ever left unknown.
func sweepRun(ctx context.Context, c *CLI, run *workspace.Leftover) error {
	owner, err := c.owner.engineOf(run.ID)
	if err != nil {
		return errors.Join(err, run.Close())
	}
	if owner != "" && owner != c.store.engineName() {
		c.opts.Log.Info("leaving a run that was killed to its engine", "run", run.ID, "engine", owner)
		return run.Close()
	}
	c.opts.Log.Info("cleaning up after a run that was killed", "run", run.ID)
	if err := sweepStore(ctx, c, run.ID); err != nil {
		return errors.Join(err, run.Close())
	}
	if err := removeIfThere(c.owner.file(run.ID)); err != nil {
		return errors.Join(err, run.Close())
	}
	return run.Remove()
}

// sweepStore removes a run's containers and images from the engine's store.
func sweepStore(ctx context.Context, c *CLI, id string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupTime)
	defer cancel()
	own := "localhost/" + localPrefix + id + "-"
	ids, err := c.store.containers(ctx, func(image string) bool { return strings.HasPrefix(image, own) })
	if err != nil {
		return err
	}
	jobs, err := c.store.list(ctx, "ps", "--all", "--quiet", "--no-trunc", "--filter=label="+runLabel+"="+id)
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	if ids = append(ids, jobs...); len(ids) > 0 {
		if err := c.store.removeContainers(ctx, ids...); err != nil {
			return err
		}
	}
	images, err := c.store.list(ctx, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter=reference="+own+"*")
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	var errs []error
	for _, image := range images {
		if strings.HasPrefix(image, own) {
			errs = append(errs, c.store.removeImage(ctx, image))
		}
	}
	return errors.Join(errs...)
}

// list returns the words that a command of the engine prints.
func (s *store) list(ctx context.Context, args ...string) ([]string, error) {
	out, err := command.Output(ctx, s.command(args...))
	return strings.Fields(string(out)), err
}

// sweepImages retires every marker that nobody holds.
func sweepImages(ctx context.Context, c *CLI) error {
	dir := filepath.Join(c.opts.StateDir, "images")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for images of killed runs: %w", err)
	}
	var errs []error
	for _, e := range entries {
		lock, err := filelock.TryExclusive(filepath.Join(dir, e.Name()))
		if err == nil && lock != nil {
			err = c.retire(ctx, lock)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
