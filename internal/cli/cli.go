// Package cli is the command line. A command turns flags into a request of package action, has package report render
// the result, and turns an error into an exit code. It is the only package that writes to stdout.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	xterm "golang.org/x/term"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/github"
	"neuron-kmod/internal/platform/config"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/progress"
)

// Streams are the process's own: its arguments without the program's name, its standard streams and its environment.
type Streams struct {
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string // "" for a variable that is not set
}

// Main runs the command line and returns the process's exit code. A signal reaches it as the cancellation of ctx with
// the cause Interrupted.
func Main(ctx context.Context, s Streams) int {
	a := &app{stdin: s.Stdin, stdout: s.Stdout, stderr: progress.NewOutput(s.Stderr), live: isTerminal(s.Stderr)}
	a.settings, a.environment = config.FromEnvironment(s.Getenv)
	a.workflow = &github.Workflow{Out: io.Discard, Summary: a.settings.StepSummary, Outputs: a.settings.StepOutputs}
	if a.settings.Actions {
		a.workflow.Out = a.stderr
	}
	cmd := newRoot(a)
	cmd.SetArgs(s.Args)
	cmd.SetOut(s.Stdout)
	cmd.SetErr(a.stderr)
	err := cmd.ExecuteContext(ctx)
	var signal Interrupted
	if err != nil && errors.As(context.Cause(ctx), &signal) && !errors.As(err, new(Interrupted)) {
		err = fmt.Errorf("%w: %w", signal, err) // by itself it may say no more than "context canceled"
	}
	if a.groups != nil {
		a.groups.Close()
	}
	if err != nil {
		a.report(err)
	}
	return exitCode(ctx, err)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && xterm.IsTerminal(int(f.Fd()))
}

// app is what all commands share: the settings of the environment, the common flags and the streams.
type app struct {
	settings    config.Settings
	environment error // what is wrong with the environment; version and help do without it

	caFile    string
	logFormat string
	verbose   bool
	quiet     bool

	stdin  io.Reader
	stdout io.Writer
	stderr *progress.Output
	live   bool // stderr is a terminal
	log    *slog.Logger

	workflow *github.Workflow // says nothing outside GitHub Actions
	groups   *github.Log      // nil outside GitHub Actions, and where the log is JSON
}

// env is what the use cases run in.
func (a *app) env() action.Env {
	return action.Env{
		Settings: a.settings, CAFile: a.caFile, Version: buildVersion(), Log: a.log, Mask: a.workflow.Mask,
		Progress: func() *progress.Progress { return progress.NewProgress(a.stderr, a.live && !a.quiet, a.log) },
	}
}

func newRoot(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "neuron-kmod",
		Short: "Publish AWS Neuron kernel modules for OpenShift",
		Long: strings.TrimSpace(`
neuron-kmod compiles the AWS Neuron driver for every kernel that a set of
OpenShift releases boots, inside the Driver Toolkit of those releases. It
publishes one small image per driver and kernel for the Kernel Module
Management (KMM) operator.

Exit codes: 0 all done; 1 some builds failed or some releases are unresolved
(the rest was done); 2 usage; 3 the matrix or the catalogue is not valid;
4 a tool or a credential is missing; 5 a service failed after retries;
130 and 143 interrupted.`),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fault.AsUsage(fault.Wrap(fmt.Errorf("there is no command %q", args[0]), "see `neuron-kmod --help`"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.setLog(); err != nil {
				return err
			}
			if a.environment != nil && cmd.Annotations[anyEnvironment] == "" {
				return fault.AsUsage(a.environment)
			}
			return nil
		},
	}
	f := cmd.PersistentFlags()
	f.StringVar(&a.caFile, "ca-file", "", "also trust the certificate authorities in this PEM `file`")
	f.StringVar(&a.logFormat, "log-format", "text", "`format` of the log on stderr: text or json")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log every step")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "log only warnings and errors")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fault.AsUsage(fault.Wrap(err, "see `"+c.CommandPath()+" --help`"))
	})
	cmd.AddCommand(newBuild(a), newCatalog(a), newDoctor(a), newImages(a), newManifest(a), newPlan(a), newRelease(a),
		newResolve(a), newVerify(a), newVersion(a))
	return cmd
}

// anyEnvironment marks a command that tells itself what is wrong with the environment.
const anyEnvironment = "any environment"

func (a *app) setLog() error {
	level := slog.LevelInfo
	switch {
	case a.verbose && a.quiet:
		return fault.AsUsage(errors.New("--verbose and --quiet exclude each other"))
	case a.verbose:
		level = slog.LevelDebug
	case a.quiet:
		level = slog.LevelWarn
	}
	options := &slog.HandlerOptions{Level: level}
	switch a.logFormat {
	case "json":
		a.log = slog.New(slog.NewJSONHandler(a.stderr, options))
	case "text":
		if a.settings.Actions {
			a.groups = github.NewLog(a.workflow, level)
			a.log = slog.New(a.groups)
			break
		}
		if a.live { // interactive: omit timestamps
			options.ReplaceAttr = dropTime
		}
		a.log = slog.New(slog.NewTextHandler(a.stderr, options))
	default:
		return fault.AsUsage(fault.Wrap(errors.New("--log-format is "+a.logFormat), "use text or json"))
	}
	return nil
}

func dropTime(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) == 0 && attr.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return attr
}

// checkOutput refuses formats that a command does not have.
func checkOutput(output string, formats ...string) error {
	if !slices.Contains(formats, output) {
		return fault.AsUsage(fault.Wrap(fmt.Errorf("--output is %q", output), "use "+strings.Join(formats, " or ")))
	}
	return nil
}

// exactly checks the number of arguments and says what they mean.
func exactly(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fault.AsUsage(fault.Wrap(errors.New(cmd.CommandPath()+" takes "+what), "see `"+cmd.CommandPath()+" --help`"))
		}
		return nil
	}
}
