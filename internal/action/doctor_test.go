package action

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/internal/oci/identity"
	"neuron-kmod/internal/platform/fault"
)

// checkupWith is a checkup whose AWS identity is known to be that.
func checkupWith(id *identity.Identity, err error) *checkup {
	return &checkup{request: DoctorRequest{Target: "quay.io/me/kmod"}, session: &session{caller: &caller{id: id, err: err}}}
}

// R1.2: a check that fails hides no other; what another check is the reason for says so; each is bounded in time.
func TestDoctorSteps(t *testing.T) {
	noKeys := &identity.CredentialError{Err: errors.New("the keys are wrong")}
	x := checkupWith(nil, noKeys)
	ends := func(err error) func(context.Context, doctor.Check) (doctor.Check, error) {
		return func(ctx context.Context, c doctor.Check) (doctor.Check, error) {
			if end, ok := ctx.Deadline(); !ok || time.Until(end) > checkTime {
				t.Error("a check without an end")
			}
			c.State, c.Name = doctor.OK, c.Name+" (HOST)"
			return c, err
		}
	}
	met, notMet := func() string { return "" }, func() string { return "podman does not work" }
	tests := []struct {
		step *step
		want outcome
	}{
		{&step{group: "g", name: "works", unmet: met, run: ends(nil)}, outcome{doctor.Check{Group: "g", Name: "works (HOST)", State: doctor.OK}, false}},
		{
			&step{group: "g", name: "fails", unmet: nil, run: ends(fault.Wrap(errors.New("broken"), "mend it"))},
			outcome{doctor.Check{Group: "g", Name: "fails (HOST)", State: doctor.Failed, Detail: "broken", Hint: "mend it"}, false},
		},
		{
			&step{group: "g", name: "depends", unmet: notMet, run: nil},
			outcome{doctor.Check{Group: "g", Name: "depends", State: doctor.Skipped, Detail: "not tried: podman does not work"}, false},
		},
		{
			&step{group: "g", name: "needs AWS", unmet: nil, run: ends(fmt.Errorf("log in: %w", noKeys))},
			outcome{doctor.Check{Group: "g", Name: "needs AWS (HOST)", State: doctor.Skipped, Detail: "not tried: there is no AWS identity"}, true},
		},
		{
			&step{group: "g", name: "is slow", unmet: nil, run: ends(fmt.Errorf("get: %w", context.DeadlineExceeded))},
			outcome{doctor.Check{
				Group: "g", Name: "is slow (HOST)", State: doctor.Failed, Detail: "get: context deadline exceeded",
				Hint: "there was no answer within 2m0s: check the network and the proxy settings (HTTPS_PROXY, NO_PROXY)",
			}, false},
		},
	}
	var steps []*step
	for _, tt := range tests {
		steps = append(steps, tt.step)
	}
	for i, got := range x.runAll(t.Context(), steps) {
		if got != tests[i].want {
			t.Errorf("%s: got %+v, want %+v", tests[i].step.name, got, tests[i].want)
		}
	}
}

// R1.2: checks that wait for the network do so at the same time, a few at once, until the run is stopped or their time is over.
func TestDoctorStepsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		var begun atomic.Int64
		wait := step{group: "g", name: "n", run: func(ctx context.Context, c doctor.Check) (doctor.Check, error) {
			begun.Add(1)
			<-ctx.Done()
			return c, context.Cause(ctx)
		}}
		var steps []*step
		for range 3 * parallelChecks {
			one := wait
			steps = append(steps, &one)
		}
		done := make(chan []outcome)
		go func() { done <- checkupWith(nil, nil).runAll(ctx, steps) }()
		synctest.Wait()
		if begun.Load() != parallelChecks {
			t.Errorf("%d checks at once, want %d", begun.Load(), parallelChecks)
		}
		time.Sleep(checkTime) // on the bubble's clock
		synctest.Wait()
		if begun.Load() != 2*parallelChecks {
			t.Errorf("%d checks after the first ones' time, want %d", begun.Load(), 2*parallelChecks)
		}
		cancel(errors.New("interrupted (SIGINT)"))
		for i, got := range <-done {
			want := "not done within 2m0s"
			if i >= parallelChecks {
				want = "interrupted (SIGINT)"
			}
			if got.check.State != doctor.Failed || got.check.Detail != want {
				t.Errorf("check %d: %+v", i, got)
			}
		}
	})
}

// R1.3: an AWS identity is a failure only where a build cannot do without: registries of Amazon's work with the logins
// of other places, and ECR Public can be read without any.
func TestDoctorAWS(t *testing.T) {
	me := &identity.Identity{
		ARN: "arn:aws:iam::123456789012:user/me", Account: "123456789012", Region: "us-west-2", Source: "profile work",
		Expires: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
	}
	none := fault.Wrap(&identity.CredentialError{Err: identity.ErrNone}, "give some")
	wrong := fault.Wrap(&identity.CredentialError{Err: errors.New("expired")}, "get new ones")
	tests := []struct {
		name   string
		id     *identity.Identity
		err    error
		needed bool
		state  doctor.State
		detail string
		hint   string
	}{
		{"nobody asked", nil, nil, false, doctor.Skipped, "not needed for target quay.io/me/kmod", ""},
		{"none, and it does without", nil, none, false, doctor.Skipped, "not needed for target quay.io/me/kmod", ""},
		{"none, and it is needed", nil, none, true, doctor.Failed, "there are no AWS credentials", "give some"},
		{"wrong, and it does without", nil, wrong, false, doctor.Warning, "not needed, and it does not work: expired", "get new ones"},
		{"wrong, and it is needed", nil, wrong, true, doctor.Failed, "expired", "get new ones"},
		{"it works", me, nil, false, doctor.OK, "arn:aws:iam::123456789012:user/me, account 123456789012, region us-west-2", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := checkupWith(tt.id, tt.err).checkAWS([]outcome{{}, {noAWS: tt.needed}})
			if c.State != tt.state || c.Detail != tt.detail || c.Hint != tt.hint {
				t.Errorf("%+v", c)
			}
			if ok := tt.state == doctor.OK; ok != (c.Source == me.Source && c.Identity == me.ARN && c.ValidUntil != nil && c.ValidUntil.Equal(me.Expires)) {
				t.Errorf("%+v", c)
			}
		})
	}
}
