package fault_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"neuron-kmod/internal/platform/fault"
)

// R8.1: errors reach a person with troubleshooting guidance.
func TestOf(t *testing.T) {
	base := errors.New("broken")
	inner := fault.Wrap(base, "inner advice")
	tests := map[string]struct {
		err  error
		want string
	}{
		"nil":            {nil, ""},
		"no advice":      {base, ""},
		"direct":         {inner, "inner advice"},
		"below fmt wrap": {fmt.Errorf("reading: %w", inner), "inner advice"},
		"outermost wins": {fault.Wrap(fmt.Errorf("reading: %w", inner), "outer advice"), "outer advice"},
		"empty is none":  {fault.Wrap(inner, ""), "inner advice"},
		"joined":         {errors.Join(base, inner, fault.Wrap(base, "last")), "inner advice"},
		"join in a wrap": {fmt.Errorf("all: %w", errors.Join(base, inner)), "inner advice"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := fault.Of(tt.err); got != tt.want {
				t.Errorf("Of = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWrapKeepsTheError(t *testing.T) {
	if err := fault.Wrap(nil, "advice"); err != nil {
		t.Errorf("Wrap(nil) = %v, want nil", err)
	}
	cause := &fs.PathError{Op: "open", Path: "f", Err: fs.ErrNotExist}
	err := fault.Wrap(cause, "create it")
	if err.Error() != cause.Error() {
		t.Errorf("text = %q, want %q", err, cause)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("errors.Is does not see the cause")
	}
	if got, ok := errors.AsType[*fs.PathError](err); !ok || got != cause {
		t.Error("errors.As does not see the cause")
	}
}

func TestText(t *testing.T) {
	err := errors.New("no way to the host")
	if got := fault.Text(err); got != "no way to the host" {
		t.Errorf("without advice: %q", got)
	}
	if got := fault.Text(fault.Wrap(err, "check the network")); got != "no way to the host (check the network)" {
		t.Errorf("with advice: %q", got)
	}
	if got := fault.Text(nil); got != "" {
		t.Errorf("of nil: %q", got)
	}
}
