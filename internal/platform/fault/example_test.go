package fault_test

import (
	"errors"
	"fmt"

	"neuron-kmod/internal/platform/fault"
)

// A hint travels with its error and stays out of the error's text; whoever shows the error to the user asks for it.
func ExampleWrap() {
	refused := errors.New("registry refuses the credentials")
	err := fault.Wrap(refused, "log in with `podman login quay.io`")
	err = fmt.Errorf("push the image: %w", err)

	fmt.Println("error:", err)
	fmt.Println("hint:", fault.Of(err))
	fmt.Println("cause:", errors.Is(err, refused))
	// Output:
	// error: push the image: registry refuses the credentials
	// hint: log in with `podman login quay.io`
	// cause: true
}

// A report that has one line for a failure shows both.
func ExampleText() {
	err := fault.Wrap(errors.New("no region is set"), "set AWS_REGION")
	fmt.Println(fault.Text(err))
	// Output: no region is set (set AWS_REGION)
}
