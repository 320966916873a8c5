package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

type typed struct{}

func (typed) Error() string   { return "typed" }
func (typed) FaultKind() Kind { return Invalid }

// R8.1: the outermost kind counts, wherever it was set; texts and causes stay.
func TestKindOf(t *testing.T) {
	cause := errors.New("cause")
	for name, tt := range map[string]struct {
		err  error
		want Kind
	}{
		"none":               {cause, Service},
		"marked":             {fmt.Errorf("read: %w", AsUsage(cause)), Usage},
		"outermost":          {AsIncomplete(fmt.Errorf("some: %w", AsPrerequisite(cause))), Incomplete},
		"of a type":          {fmt.Errorf("parse: %w", typed{}), Invalid},
		"over a type":        {AsUsage(typed{}), Usage},
		"first of joined":    {errors.Join(cause, AsPrerequisite(cause), AsUsage(cause)), Prerequisite},
		"denied":             {&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}, Prerequisite},
		"denied, and marked": {AsUsage(&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}), Usage},
		"with advice":        {Wrap(AsInvalid(cause), "mend it"), Invalid},
	} {
		if got := KindOf(tt.err); got != tt.want {
			t.Errorf("%s: kind %d, want %d", name, got, tt.want)
		}
	}
	if err := AsUsage(cause); !errors.Is(err, cause) || err.Error() != "cause" || AsUsage(nil) != nil {
		t.Errorf("%v", err)
	}
}
