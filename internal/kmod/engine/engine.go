// Package engine runs a job in a container and builds images with an engine of its user's: podman, or docker through
// the same command line. It knows nothing of kernels, drivers or what a script does.
//
// A job has named input directories and one output directory, never bind mounts, so that an engine which has to stream
// them somewhere else fits behind the same methods. What an engine leaves behind is the engine's to remove: containers,
// the images it pulled, and what a killed run left of both.
package engine

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/platform/command"
)

// Info describes a working engine.
type Info struct {
	Name     string // "podman" or "docker"
	Path     string // of the program that was found
	Version  string // as the engine says it, "4.3.1"
	Rootless bool   // it runs without root's rights
	Storage  string // the directory that holds images and containers, "" if the engine does not say
}

// Job is a script to run in a container of its own, without network and without privileges.
type Job struct {
	Name   string            // for the reader, in the container's name: letters, digits, dots, dashes and underscores
	Image  string            // a reference that a Lease holds
	Script string            // the text of a shell script; /bin/sh of the image runs it
	Args   []string          // the script's arguments
	Inputs map[string]string // name -> absolute path of a directory, seen read-only at /input/<name>
	Output string            // absolute path of a directory, seen at /output: the one place that outlives the job
	Limits Limits
	Log    io.Writer // what the script writes to stdout and stderr, in order; nil discards
}

// Limits bounds a job. A zero field is no bound.
type Limits struct {
	Time time.Duration // wall time
}

// BuildSpec is an image to build.
type BuildSpec struct {
	Context       string            // absolute path of the directory that COPY reads
	Containerfile string            // absolute path of the Containerfile
	Args          map[string]string // build arguments; never a secret
	Labels        map[string]string // added to the image's
	Platform      string            // "linux/amd64"
	Timestamp     *time.Time        // time of everything that the build makes; nil is now
	Out           string            // absolute path of the OCI archive to write; must not exist
	Log           io.Writer         // what the engine says; nil discards

	// Bases holds every image that a FROM line names. The line must name it literally: podman 4 does not find a base
	// behind an ARG. A nil image is leased for the build, which pulls it if it is absent; any other is lent to the engine,
	// so that nothing is pulled and the build has the very image that its caller has checked.
	Bases map[string]v1.Image
}

// ErrTimeout is wrapped by the error of a job that Limits.Time ended.
var ErrTimeout = errors.New("the time limit is over")

// ExitError is a job whose script ended with a status other than 0.
type ExitError struct {
	Code int    // 137 and the like: 128 + the signal that ended it
	Tail string // the last 8 KiB of what it wrote
}

func (e *ExitError) Error() string { return fmt.Sprintf("the script ended with status %d", e.Code) }

// PullError is an image that could not be pulled, for a reason that another image may not have. A full disk or an
// untrusted certificate is none.
type PullError struct {
	Image        string
	NotFound     bool // the registry answers, and does not have it
	Unauthorized bool // the registry wants credentials, or others
	Err          error
}

// Error names the image, what the matter is where that is known, and what the engine said.
func (e *PullError) Error() string {
	said := fmt.Sprint(e.Err)
	if failed, ok := errors.AsType[*command.Error](e.Err); ok && failed.Said() != "" {
		said = strings.TrimPrefix(failed.Said(), "Error: ")
	}
	switch {
	case e.NotFound:
		said = "the registry does not have it: " + said
	case e.Unauthorized:
		said = "the registry refuses access: " + said
	}
	return fmt.Sprintf("pull %s: %s", e.Image, said)
}

func (e *PullError) Unwrap() error { return e.Err }
