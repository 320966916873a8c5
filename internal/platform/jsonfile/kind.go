package jsonfile

import "neuron-kmod/internal/platform/fault"

// FaultKind implements fault.KindOf: what is wrong in a file is the file's.
func (e *Error) FaultKind() fault.Kind { return fault.Invalid }
