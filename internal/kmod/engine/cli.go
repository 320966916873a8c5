package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"time"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

const (
	// runLabel marks a run's containers.
	runLabel = "neuron-kmod.run"
	// localPrefix begins the name of everything of a run: containers, and images in the engine's store.
	localPrefix = "neuron-kmod-"
	// cleanupTime bounds one removal, which also runs after its caller was cancelled.
	cleanupTime = time.Minute
)

// Options say which engine to use and for which run.
type Options struct {
	Program  string // "podman" or "docker", or the path of a program of that name
	StateDir string // directory that all runs of this user share; made if absent
	TempDir  string // the run's own directory, for scripts, archives, and layers while they arrive
	RunID    string // the run's workspace ID: marks what belongs to the run
	// AuthFile holds registry credentials in config.json form; "" leaves them to the engine. Docker reads only a file of
	// that very name.
	AuthFile string
	// Login brings AuthFile up to date; nil leaves it as it is. It is called before each attempt to pull, never twice at
	// the same time, and may block on the network until ctx ends. What it leaves has to be good for one attempt, which may
	// take an hour; and it has to replace the file in one step, because another pull may be reading it. Its error ends the
	// pull: it is no *PullError, since another image would need the same credentials.
	Login func(ctx context.Context) error
	// CAFile is a PEM file with certificates to trust besides the system's while pulling; "" is none. It is podman's
	// alone: docker's daemon reads only its own, and Check says so.
	CAFile    string
	Platform  string        // of the images to pull, "linux/amd64"; "" is the machine's
	RetryWait time.Duration // before a failed pull's first retry, doubled for each further one; 0 is 2 s
	Log       *slog.Logger  // nil discards
}

// CLI is an engine behind a command line. It is safe for concurrent use.
type CLI struct {
	opts      Options
	store     *store
	owner     *owner
	serial    atomic.Int64  // numbers containers and builds within the run
	loginSlot chan struct{} // holds one value while Login runs
}

// store is what an engine has on this machine, images and containers, reached through its program.
type store struct {
	program string
	dialect dialect
	log     *slog.Logger
}

// command is one call of the engine's program.
func (s *store) command(args ...string) command.Cmd {
	return command.Cmd{Name: s.program, Args: args}
}

// programs are the engines that New knows.
var programs = []string{"podman", "docker"}

// validRunID is the form of a workspace's ID: it ends up in names of containers and images.
var validRunID = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// New returns the engine that o asks for. It runs nothing; Check does.
func New(o Options) (*CLI, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.RetryWait == 0 {
		o.RetryWait = 2 * time.Second
	}
	if !validRunID.MatchString(o.RunID) {
		return nil, fmt.Errorf("container engine: run ID %q: want lower case letters and digits", o.RunID)
	}
	if o.StateDir == "" || o.TempDir == "" {
		return nil, errors.New("container engine: it needs a directory for its state and the run's own directory")
	}
	c := &CLI{opts: o, store: &store{program: o.Program, log: o.Log}, loginSlot: make(chan struct{}, 1)}
	c.owner = &owner{dir: filepath.Join(o.StateDir, "engines"), run: o.RunID, engine: c.store.engineName()}
	switch filepath.Base(o.Program) {
	case "podman":
		c.store.dialect = podman{}
	case "docker":
		if o.AuthFile != "" && filepath.Base(o.AuthFile) != "config.json" {
			return nil, fmt.Errorf("container engine: docker reads credentials only from a file called config.json, not %s",
				o.AuthFile)
		}
		c.store.dialect = &docker{program: o.Program, uid: os.Getuid(), gid: os.Getgid()}
	default:
		return nil, fault.Wrap(fmt.Errorf("container engine %q is not known", o.Program), "use podman or docker")
	}
	return c, nil
}

// localName is a name that nothing else of this machine has, for a container or an image of this run.
func (c *CLI) localName(what string) string {
	return fmt.Sprintf("%s%s-%d-%s", localPrefix, c.opts.RunID, c.serial.Add(1), what)
}
