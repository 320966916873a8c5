package driver

import (
	"fmt"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// Pin is the digest that a version's package must have.
type Pin struct {
	Digest string // as rpm.Proof has it
	Place  string // where it is written, for people
}

// PinError is a package that is signed as it should be, but is not the pinned one.
type PinError struct {
	Pin     Pin
	Version version.Driver
	Got     string // the package's digest
}

// FaultKind tells that no service has failed.
func (e *PinError) FaultKind() fault.Kind { return fault.Incomplete }

func (e *PinError) Error() string {
	return fmt.Sprintf("the package of driver %s has the digest %s, but %s pins %s",
		e.Version, e.Got, e.Pin.Place, e.Pin.Digest)
}
