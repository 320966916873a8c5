// Package jsonfile reads small JSON files that people edit, strictly: whatever is not exactly what the reader asked for
// is an error that names file, line and column and how to mend it. It knows JSON and nothing of what the files mean.
//
// Every input is hostile: size, depth and number of values are bounded.
package jsonfile

import (
	"errors"
	"fmt"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/limit"
)

// Bounds of a file. The largest real one has a few hundred entries and 100 kB.
const (
	MaxSize   = 16 << 20 // bytes
	maxDepth  = 32       // lists and objects inside one another
	maxValues = 1 << 17  // of all kinds: bounds memory to about 50 MB
)

// Position is a place in a file. Line and Column are 1-based; columns count characters, as editors do.
type Position struct {
	File         string
	Line, Column int
}

// String returns file:line:column, the form that editors and CI annotations understand.
func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Errorf returns an *Error at p.
func (p Position) Errorf(format string, args ...any) error {
	return &Error{Position: p, Msg: fmt.Sprintf(format, args...)}
}

// Error is what is wrong with a file, where, and how to mend it.
type Error struct {
	Position Position
	Msg      string
}

// Error returns "file:line:column: message".
func (e *Error) Error() string { return e.Position.String() + ": " + e.Msg }

// FaultKind implements fault.KindOf: what is wrong in a file is the file's.
func (e *Error) FaultKind() fault.Kind { return fault.Invalid }

// ReadFile returns the bytes of the file at path, for Parse. It never reads more than MaxSize; a larger file is an
// *Error. Errors of the file system wrap theirs, so errors.Is(err, fs.ErrNotExist) works. It may block where path is
// not a regular file.
func ReadFile(path string) ([]byte, error) {
	data, err := limit.ReadFile(path, MaxSize)
	if _, ok := errors.AsType[*limit.TooLargeError](err); ok {
		return nil, tooLarge(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	return data, nil
}

func tooLarge(name string) error {
	start := Position{File: name, Line: 1, Column: 1}
	return start.Errorf("the file is larger than %d MiB: this cannot be the right one", MaxSize>>20)
}
