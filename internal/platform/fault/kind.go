package fault

import (
	"errors"
	"io/fs"
)

// Kind says whose business an error is. It decides the exit code. The place that knows sets it: whoever wraps an error
// with a kind knows more than what is inside, so the outermost kind counts.
type Kind int

const (
	Service      Kind = iota // a service failed after retries; so does whatever has no kind
	Incomplete               // something failed or is missing; the rest was done, and the result has been told
	Usage                    // the command line asks for something that is not there
	Invalid                  // the matrix or the catalogue cannot be used
	Prerequisite             // a tool, a credential or a permission is missing
)

// marked is an error with a kind. Its text is the wrapped error's.
type marked struct {
	err  error
	kind Kind
}

func (m *marked) Error() string   { return m.err.Error() }
func (m *marked) Unwrap() error   { return m.err }
func (m *marked) FaultKind() Kind { return m.kind }

// Mark returns err with a kind. errors.Is and errors.As see through it. A nil err stays nil.
func Mark(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return &marked{err: err, kind: kind}
}

// AsIncomplete marks err as Incomplete.
func AsIncomplete(err error) error { return Mark(Incomplete, err) }

// AsUsage marks err as Usage.
func AsUsage(err error) error { return Mark(Usage, err) }

// AsInvalid marks err as Invalid.
func AsInvalid(err error) error { return Mark(Invalid, err) }

// AsPrerequisite marks err as Prerequisite.
func AsPrerequisite(err error) error { return Mark(Prerequisite, err) }

// KindOf returns the outermost kind in err: that of Mark, or of an error type that has a method FaultKind. Of joined
// errors the first that has one counts. An error without any is Prerequisite where the system denied a permission, else
// Service.
func KindOf(err error) Kind {
	if k, ok := errors.AsType[interface {
		error
		FaultKind() Kind
	}](err); ok {
		return k.FaultKind()
	}
	if errors.Is(err, fs.ErrPermission) {
		return Prerequisite
	}
	return Service
}
