package hint_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"neuron-kmod/internal/hint"
)

// R8.1: errors reach a person with troubleshooting guidance.
func TestOf(t *testing.T) {
	base := errors.New("broken")
	inner := hint.Wrap(base, "inner advice")
	tests := map[string]struct {
		err  error
		want string
	}{
		"nil":            {nil, ""},
		"no advice":      {base, ""},
		"direct":         {inner, "inner advice"},
		"below fmt wrap": {fmt.Errorf("reading: %w", inner), "inner advice"},
		"outermost wins": {hint.Wrap(fmt.Errorf("reading: %w", inner), "outer advice"), "outer advice"},
		"empty is none":  {hint.Wrap(inner, ""), "inner advice"},
		"joined":         {errors.Join(base, inner, hint.Wrap(base, "last")), "inner advice"},
		"join in a wrap": {fmt.Errorf("all: %w", errors.Join(base, inner)), "inner advice"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := hint.Of(tt.err); got != tt.want {
				t.Errorf("Of = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWrapKeepsTheError(t *testing.T) {
	if err := hint.Wrap(nil, "advice"); err != nil {
		t.Errorf("Wrap(nil) = %v, want nil", err)
	}
	cause := &fs.PathError{Op: "open", Path: "f", Err: fs.ErrNotExist}
	err := hint.Wrap(cause, "create it")
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
	if got := hint.Text(err); got != "no way to the host" {
		t.Errorf("without advice: %q", got)
	}
	if got := hint.Text(hint.Wrap(err, "check the network")); got != "no way to the host (check the network)" {
		t.Errorf("with advice: %q", got)
	}
	if got := hint.Text(nil); got != "" {
		t.Errorf("of nil: %q", got)
	}
}
