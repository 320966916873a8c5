package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/github"
	"neuron-kmod/internal/oci/identity"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/jsonfile"
	"neuron-kmod/internal/platform/transport"
	"neuron-kmod/internal/release"
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

// Interrupted is the cancellation cause with which main stops a run on a signal.
type Interrupted struct{ Terminate bool }

func (i Interrupted) Error() string {
	if i.Terminate {
		return "terminated (SIGTERM)"
	}
	return "interrupted (SIGINT)"
}

// incomplete ends a command whose result has been printed already.
type incomplete struct{ error }

func (i incomplete) Unwrap() error { return i.error }

// usage marks an error as the caller's: exit code 2.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// prerequisite marks a missing tool or credential: exit code 4.
type prerequisite struct{ error }

func (p prerequisite) Unwrap() error { return p.error }

func exitCode(ctx context.Context, err error) int {
	var (
		interrupted Interrupted
		position    *jsonfile.Error
		config      invalid
		use         usage
		pre         prerequisite
		part        incomplete
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &interrupted), errors.As(context.Cause(ctx), &interrupted):
		if interrupted.Terminate {
			return exitTerminated
		}
		return exitInterrupted
	case errors.As(err, &part), errors.As(err, new(*release.SourceGoneError)):
		return exitIncomplete
	case errors.As(err, &pre), errors.As(err, new(*identity.CredentialError)), errors.As(err, new(*github.CredentialError)), transport.IsProxyLogin(err):
		return exitPrerequisite
	case errors.As(err, &use), registry.Is404(err), errors.As(err, new(*name.ErrBadName)):
		return exitUsage
	case errors.As(err, &position), errors.As(err, &config):
		return exitConfig
	case registry.IsUnauthorized(err), errors.Is(err, fs.ErrPermission):
		return exitPrerequisite
	}
	return exitService
}

// invalid marks a matrix or catalogue that cannot be used: exit code 3.
type invalid struct{ error }

func (i invalid) Unwrap() error { return i.error }

// report prints an error and what to do about it: as a log line where the log
// is JSON, as an annotation in GitHub Actions.
func (a *app) report(err error) {
	if a.log != nil && a.logFormat == "json" {
		a.log.Error(err.Error(), "hint", fault.Of(err))
		return
	}
	text := strings.TrimSpace(err.Error())
	if h := fault.Of(err); h != "" {
		text += "\nhint: " + h
	}
	if a.Actions {
		a.workflow.Error("neuron-kmod", text)
		return
	}
	fmt.Fprintf(a.stderr, "neuron-kmod: %s\n", text)
}
