package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"neuron-kmod/internal/platform/fault"
)

// Exit codes. They are part of the command line and documented in docs/.
const (
	exitOK           = 0
	exitIncomplete   = 1   // some builds failed or some releases are unresolved; the rest was done
	exitUsage        = 2   // the command line asks for something that is not there
	exitConfig       = 3   // the matrix or the catalogue is not valid
	exitPrerequisite = 4   // a tool or a credential is missing
	exitService      = 5   // a service failed after retries
	exitInterrupted  = 130 // SIGINT
	exitTerminated   = 143 // SIGTERM
)

// codes are the exit codes of the kinds of errors.
var codes = map[fault.Kind]int{
	fault.Incomplete: exitIncomplete, fault.Usage: exitUsage, fault.Invalid: exitConfig,
	fault.Prerequisite: exitPrerequisite, fault.Service: exitService,
}

// Interrupted is the cancellation cause with which main stops a run on a signal.
type Interrupted struct{ Terminate bool }

func (i Interrupted) Error() string {
	if i.Terminate {
		return "terminated (SIGTERM)"
	}
	return "interrupted (SIGINT)"
}

func exitCode(ctx context.Context, err error) int {
	var signal Interrupted
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &signal) && !errors.As(context.Cause(ctx), &signal):
		return codes[fault.KindOf(err)]
	case signal.Terminate:
		return exitTerminated
	}
	return exitInterrupted
}

// report prints an error and what to do about it: as a log line where the log is JSON, as an annotation in GitHub
// Actions.
func (a *app) report(err error) {
	if a.log != nil && a.logFormat == "json" {
		a.log.Error(err.Error(), "hint", fault.Of(err))
		return
	}
	text := strings.TrimSpace(err.Error())
	if h := fault.Of(err); h != "" {
		text += "\nhint: " + h
	}
	if a.settings.Actions {
		a.workflow.Error("neuron-kmod", text)
		return
	}
	fmt.Fprintf(a.stderr, "neuron-kmod: %s\n", text)
}
