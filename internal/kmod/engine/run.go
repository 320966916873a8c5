package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"neuron-kmod/internal/platform/command"
)

// engineFailed is the status by which `run` says that the engine, not the script, has failed.
// https://docs.podman.io/en/latest/markdown/podman-run.1.html#exit-status
const engineFailed = 125

// maxTail bounds the end of a script's output that an ExitError carries.
const maxTail = 8 << 10

// scriptInput is the input that holds the script itself.
const scriptInput = "script"

// jobScript is where a container sees the script.
const jobScript = "/input/" + scriptInput + "/job.sh"

// inOneStream runs the script that follows it. Engines carry stdout and stderr in two streams, which lose their order.
const inOneStream = `exec /bin/sh "$@" 2>&1`

var (
	validJob   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$`)
	validInput = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
)

// Run runs a job in a container of its own and waits for it. When it returns, no container of the job is left, also
// after a time-out or a cancelled ctx. A script that fails is an *ExitError; one that Limits.Time ended wraps
// ErrTimeout; a cancelled ctx wraps its cause; anything else is the engine's.
func (c *CLI) Run(ctx context.Context, job Job) (err error) {
	if err := job.validate(); err != nil {
		return fmt.Errorf("job %q: %w", job.Name, err)
	}
	script, err := c.writeScript(job.Script)
	if err != nil {
		return fmt.Errorf("job %s: %w", job.Name, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(script)) }()
	unmark, err := c.owner.markInUse()
	if err != nil {
		return fmt.Errorf("job %s: %w", job.Name, err)
	}
	defer func() { err = errors.Join(err, unmark()) }()
	name := c.localName(job.Name)
	args := c.runArgs(job, name, script)
	defer func() {
		if !errors.Is(err, exec.ErrNotFound) {
			err = errors.Join(err, c.store.removeContainers(ctx, name))
		}
	}()
	if err := c.runLimited(ctx, job, name, args); err != nil {
		return fmt.Errorf("job %s: %w", job.Name, err)
	}
	return nil
}

// runLimited runs the engine and keeps the script's failure apart from the engine's.
func (c *CLI) runLimited(ctx context.Context, job Job, name string, args []string) error {
	if job.Limits.Time > 0 {
		var cancel context.CancelFunc
		cause := fmt.Errorf("stopped after %s: %w", job.Limits.Time, ErrTimeout)
		ctx, cancel = context.WithTimeoutCause(ctx, job.Limits.Time, cause)
		defer cancel()
	}
	end := command.NewTail(maxTail)
	out := io.Writer(end)
	if job.Log != nil {
		out = io.MultiWriter(job.Log, end)
	}
	cmd := c.store.command(args...)
	cmd.Stdout, cmd.Stderr = out, out
	err := c.runContainer(ctx, name, cmd)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	failed, ok := errors.AsType[*command.Error](err)
	if ok && failed.ExitCode > 0 && failed.ExitCode != engineFailed {
		return &ExitError{Code: failed.ExitCode, Tail: end.String()}
	}
	if ok {
		failed.Stderr = withoutUsage(failed.Stderr)
	}
	return err
}

// removalWait is how long it takes until a container that could not be removed is tried again.
const removalWait = 100 * time.Millisecond

// runContainer runs the program that starts the container called name, and ends it with ctx. A program with a daemon is
// ended by the removal of its container: if it were killed the daemon might yet make the container, after all removals.
func (c *CLI) runContainer(ctx context.Context, name string, cmd command.Cmd) error {
	if !c.store.dialect.hasDaemon() {
		return command.Run(ctx, cmd)
	}
	longer, cancel := withGracePeriod(ctx, cleanupTime)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- command.Run(longer, cmd) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	for {
		if err := c.store.removeContainers(ctx, name); err != nil {
			c.opts.Log.Debug("cannot remove the container yet", "container", name, "error", err)
		}
		select {
		case err := <-ended:
			return err
		case <-time.After(removalWait):
		}
	}
}

// usage is what docker says after an error of `run`, which would pass for its last words.
var usage = regexp.MustCompile(`\s*\n(?:See|Run) 'docker [a-z ]*--help'.*\s*$`)

func withoutUsage(said string) string { return usage.ReplaceAllString(said, "") }

// runArgs is the command line of a job's container. A signal must end the engine's program rather than be handed to the
// script, which as process 1 would not notice it; removeContainers then ends the script.
func (c *CLI) runArgs(job Job, name, script string) []string {
	args := []string{
		"run", "--rm", "--name=" + name, "--label=" + runLabel + "=" + c.opts.RunID,
		"--pull=never", "--network=none", "--cap-drop=all", "--security-opt=no-new-privileges",
		"--log-driver=none", "--sig-proxy=false",
	}
	args = append(args, c.store.dialect.runFlags()...)
	inputs := maps.Clone(job.Inputs)
	if inputs == nil {
		inputs = map[string]string{}
	}
	inputs[scriptInput] = script
	for _, in := range sortedKeys(inputs) {
		args = append(args, "--volume="+inputs[in]+":/input/"+in+":ro,Z")
	}
	args = append(args, "--volume="+job.Output+":/output:Z",
		"--workdir=/", "--entrypoint=/bin/sh", job.Image, "-c", inOneStream, "sh", jobScript)
	return append(args, job.Args...)
}

// writeScript puts the script where the engine can see it; the directory is the caller's to remove.
func (c *CLI) writeScript(text string) (dir string, err error) {
	dir, err = os.MkdirTemp(c.opts.TempDir, "script-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the script: %w", err)
	}
	// Whoever the container runs as has to be able to read it, and only that.
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "job.sh"), []byte(text), 0o600),
		os.Chmod(filepath.Join(dir, "job.sh"), 0o444),
		os.Chmod(dir, 0o755),
	)
	if err != nil {
		return "", fmt.Errorf("write the script: %w", errors.Join(err, os.RemoveAll(dir)))
	}
	return dir, nil
}

// removeContainers removes containers in whatever state they are, also when ctx is over.
func (s *store) removeContainers(ctx context.Context, names ...string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	for {
		err := command.Run(ctx, s.command(append(s.dialect.removeContainer(), names...)...))
		if err == nil {
			return nil
		}
		var said string
		if failed, ok := errors.AsType[*command.Error](err); ok {
			said = strings.ToLower(failed.Stderr)
		}
		switch {
		case strings.Contains(said, "no such container"): // older dockers call it an error
			return nil
		case !strings.Contains(said, "already in progress"): // docker's, for --rm
			return fmt.Errorf("remove container: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove container: %w", err)
		case <-time.After(removalWait):
		}
	}
}

func (j Job) validate() error {
	if !validJob.MatchString(j.Name) {
		return errors.New("its name is not made of letters, digits, dots and dashes")
	}
	if _, err := parseReference(j.Image); err != nil {
		return err
	}
	for name, dir := range j.Inputs {
		if !validInput.MatchString(name) || name == scriptInput {
			return fmt.Errorf("input %q: not a name an input can have", name)
		}
		if err := checkDirectory(dir); err != nil {
			return fmt.Errorf("input %s: %w", name, err)
		}
	}
	if err := checkDirectory(j.Output); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	return nil
}

// checkDirectory refuses what --volume would read as something else: a relative path names a volume, and a colon ends
// the path.
func checkDirectory(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("directory %q: not an absolute path", path)
	}
	if strings.ContainsAny(path, ":\n") {
		return fmt.Errorf("directory %q: container engines cannot mount a path with a colon or a line break", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: not a directory", path)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
