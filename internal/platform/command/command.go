// Package command runs external programs: a context, a program, an argument slice, never a shell string.
//
// Whatever is passed as an argument ends up in error texts and in the process table, so secrets have no
// place there. The package knows nothing of what it runs.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// maxOutput bounds what Output keeps in memory.
	maxOutput = 64 << 20
	// maxStderr bounds the end of stderr that an Error carries.
	maxStderr = 4 << 10
	// maxShown bounds the command line in an Error's text.
	maxShown = 200
	// killAfter is how long a cancelled program may take to end by itself.
	killAfter = 10 * time.Second
)

// ErrTooMuchOutput is wrapped by the error of Output when a program writes more than it may.
var ErrTooMuchOutput = errors.New("more than 64 MiB of output")

// Cmd is one program to run.
type Cmd struct {
	Name   string    // a name to look up in PATH, or a path
	Args   []string  // without the program's name; never a secret
	Dir    string    // working directory; empty is the caller's
	Env    []string  // KEY=value, added to the parent's environment
	Stdin  io.Reader // nil is no input
	Stdout io.Writer // nil discards
	Stderr io.Writer // nil discards; if it is Stdout, both streams keep their order

	grace time.Duration // killAfter, if zero
}

// Error is a program that could not be started, failed or was stopped.
type Error struct {
	Args     []string // the program and its arguments
	ExitCode int      // -1: it did not start, or a signal ended it
	Stderr   string   // the last 4 KiB of what it wrote to stderr
	Err      error    // *exec.ExitError, exec.ErrNotFound, the context's cause ...
}

// Error names the program and what it was given, cut to 200 bytes, the failure, and the last line that
// the program said about it.
func (e *Error) Error() string {
	line := strings.Join(e.Args, " ")
	if len(line) > maxShown {
		line = strings.ToValidUTF8(line[:maxShown], "") + "..."
	}
	msg := fmt.Sprintf("%s: %v", line, e.Err)
	if said := e.Said(); said != "" {
		msg += ": " + said
	}
	return msg
}

// Said is the last line that the program wrote to stderr, without space around it.
func (e *Error) Said() string {
	said := strings.TrimSpace(e.Stderr)
	return strings.TrimSpace(said[strings.LastIndexByte(said, '\n')+1:])
}

func (e *Error) Unwrap() error { return e.Err }

// Run runs c and waits for it to end. When ctx is done the program gets SIGTERM, and after 10 seconds it
// and everything in its process group gets SIGKILL. An error is always an *Error. A program that is not
// installed is errors.Is(err, exec.ErrNotFound); a run that ctx ended wraps the context's cause, whatever
// the program's exit status was.
func Run(ctx context.Context, c Cmd) error {
	keep := NewTail(maxStderr)
	cmd := c.prepare(ctx, keep)

	release := holdThread()
	defer release()
	err := cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		// The group outlives its leader while children are left in it. ESRCH means there are none.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if err == nil { // it was not told to end, or exec would say so
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	failed := &Error{
		Args:     append([]string{c.Name}, c.Args...),
		ExitCode: -1,
		Stderr:   keep.String(),
		Err:      err,
	}
	if cmd.ProcessState != nil {
		failed.ExitCode = cmd.ProcessState.ExitCode()
	}
	return failed
}

// prepare makes the exec.Cmd of c: in a process group of its own, so that a Ctrl-C at the terminal
// reaches it only as the cancellation of ctx, and what it says is copied to keep.
func (c Cmd) prepare(ctx context.Context, keep *Tail) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	cmd.Dir = c.Dir
	if len(c.Env) > 0 {
		cmd.Env = append(cmd.Environ(), c.Env...)
	}
	cmd.Stdin, cmd.Stdout = c.Stdin, c.Stdout
	switch {
	case c.Stderr == nil:
		cmd.Stderr = keep
	case sameWriter(c.Stdout, c.Stderr):
		// One writer, one pipe: exec then never writes to it from two goroutines.
		cmd.Stdout = io.MultiWriter(c.Stderr, keep)
		cmd.Stderr = cmd.Stdout
	default:
		cmd.Stderr = io.MultiWriter(c.Stderr, keep)
	}
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = c.grace
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = killAfter
	}
	return cmd
}

// Output runs c as Run does and returns its standard output, at most 64 MiB of it: a program that writes
// more is stopped and the error wraps ErrTooMuchOutput. c.Stdout is not used.
func Output(ctx context.Context, c Cmd) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &boundedBuffer{left: maxOutput, full: func() { cancel(ErrTooMuchOutput) }}
	c.Stdout = out
	if err := Run(ctx, c); err != nil {
		return nil, err
	}
	return out.buf.Bytes(), nil
}

// boundedBuffer keeps what is written to it until it is full.
type boundedBuffer struct {
	buf  bytes.Buffer
	left int
	full func()
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if len(p) > b.left {
		b.full()
		return 0, ErrTooMuchOutput
	}
	b.left -= len(p)
	return b.buf.Write(p)
}

// sameWriter reports whether a and b are one writer. Writers of types that cannot be compared are not.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a == b
}
