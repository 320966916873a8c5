package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A context with a grace period ends by itself, with that one's cause, and not before its grace is over.
func TestGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("interrupted")
		ctx, interrupt := context.WithCancelCause(t.Context())
		longer, cancel := withGracePeriod(ctx, time.Minute)
		defer cancel()
		interrupt(cause)
		began := time.Now()
		<-longer.Done()
		if waited := time.Since(began); waited != time.Minute || !errors.Is(context.Cause(longer), cause) {
			t.Errorf("ended after %s with %v", waited, context.Cause(longer))
		}
	})
}
