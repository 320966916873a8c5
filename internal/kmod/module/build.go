// Package module makes the kernel module and knows what is in one: a compile is one engine job, and what comes out is
// inspected before anybody relies on it. It does not know where the source or the toolkit come from, nor what an image
// is.
package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// Name is the module's, as modprobe knows it.
const Name = "neuron"

// noHeaders is build-module.sh's exit status for just that.
const noHeaders = 3

// ErrNoHeaders is wrapped by the error of a compile in a toolkit that is for another kernel.
var ErrNoHeaders = errors.New("the Driver Toolkit image has no headers for this kernel")

// Compile is a module to make.
type Compile struct {
	Driver  version.Driver
	Kernel  kernel.Version
	Toolkit string        // the Driver Toolkit image, which a lease holds
	Script  string        // the text of build-module.sh
	Source  string        // absolute path of the directory with the source, patched for Kernel; not written to
	Output  string        // absolute path of an empty directory, which gets opt/lib/modules/<kernel>/...
	Jobs    int           // compilers at once, at least 1
	Timeout time.Duration // of the whole compile; 0 is no limit
	Log     io.Writer     // everything that is said meanwhile; nil discards
}

// Built is a module that was made and inspected.
type Built struct {
	Dir    string // Compile.Output: holds opt/lib/modules/<kernel>/ and nothing else
	Module string // path of the .ko in it
	Info   Info
}

// Runner runs jobs in containers.
type Runner interface {
	Run(ctx context.Context, job engine.Job) error
}

// Build compiles the module and checks that it is the one that was asked for: the driver's version, the kernel's
// vermagic. It blocks for as long as the compile takes. A compile that fails is a *CompileError; a module that is not
// the one asked for is a *WrongModuleError.
func Build(ctx context.Context, r Runner, c Compile) (*Built, error) {
	if c.Script == "" || c.Jobs < 1 || c.Driver.IsZero() || c.Kernel == (kernel.Version{}) {
		return nil, fmt.Errorf("compile driver %s for kernel %s: a script, a number of jobs, a driver and a "+
			"kernel are needed", c.Driver, c.Kernel)
	}
	built, err := build(ctx, r, c)
	if err != nil {
		return nil, fmt.Errorf("compile driver %s for kernel %s: %w", c.Driver, c.Kernel, err)
	}
	return built, nil
}

func build(ctx context.Context, r Runner, c Compile) (*Built, error) {
	said := &errorFinder{}
	log := io.Writer(said)
	if c.Log != nil {
		log = io.MultiWriter(c.Log, said)
	}
	err := r.Run(ctx, engine.Job{
		Name:   "compile-" + c.Driver.String() + "-" + c.Kernel.Tag(),
		Image:  c.Toolkit,
		Script: c.Script,
		Args:   []string{c.Driver.String(), c.Kernel.String(), strconv.Itoa(c.Jobs)},
		Inputs: map[string]string{"source": c.Source},
		Output: c.Output,
		Limits: engine.Limits{Time: c.Timeout},
		Log:    log,
	})
	if err != nil {
		return nil, explain(err, said.first())
	}
	info, err := inspectOutput(c.Output, c.Kernel)
	if err != nil {
		return nil, err
	}
	if err := info.Check(c.Driver, c.Kernel); err != nil {
		return nil, err
	}
	return &Built{Dir: c.Output, Module: filepath.Join(c.Output, filepath.FromSlash(modulePath(c.Kernel))),
		Info: info}, nil
}

// explain makes a failed compile of a job that failed; what the engine itself could not do stays as it is.
func explain(err error, first string) error {
	if errors.Is(err, engine.ErrTimeout) {
		return fault.Wrap(err, "give the compile more time, or compile fewer modules at once")
	}
	exit, ok := errors.AsType[*engine.ExitError](err)
	if !ok {
		return err
	}
	failed := &CompileError{FirstError: first, Tail: exit.Tail, Err: err}
	if exit.Code == noHeaders {
		failed.Err = fmt.Errorf("%w: %w", ErrNoHeaders, err)
		return fault.Wrap(failed, "the catalogue names the wrong kernel for this Driver Toolkit image, or the wrong image")
	}
	return failed
}

// CompileError is a compile that failed.
type CompileError struct {
	FirstError string // the first line that says what is wrong, "" if none does
	Tail       string // the end of the log
	Err        error  // wraps *engine.ExitError, and ErrNoHeaders where that is why
}

func (e *CompileError) Error() string {
	if e.FirstError == "" {
		return e.Err.Error()
	}
	return e.FirstError
}

func (e *CompileError) Unwrap() error { return e.Err }
