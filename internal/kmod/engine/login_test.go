package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

// R1.3: each attempt to pull has credentials that were brought up to date just before it, in the file that
// the engine reads; an image that is there needs none.
func TestPullLogin(t *testing.T) {
	f, _ := newFake(t, "podman")
	auth := filepath.Join(f.dir, "config.json")
	var before [][]string // what was run since the last Login
	c := f.cli(t, "podman", "1", func(o *Options) {
		o.AuthFile = auth
		o.Login = func(context.Context) error {
			before = append(before, verbs(f.argv(t)))
			return os.WriteFile(auth, []byte(`{"auths":{}}`), 0o600)
		}
	})
	reset := outcome{Code: 125, Stderr: "Error: read: connection reset by peer\n"}
	f.next(t, "pull", reset, reset)
	_, err := c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	if diff := cmp.Diff([][]string{{"image"}, {"pull"}, {"pull"}}, before); diff != "" {
		t.Errorf("calls before each Login (-want +got):\n%s", diff)
	}
	last := f.argv(t)
	if len(last) != 1 || last[0][0] != "pull" || flag(last[0], "--authfile") != "FAKE/config.json" {
		t.Errorf("calls after the last Login: %q, want a pull with the auth file", last)
	}
	before = nil
	_, err = c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	if len(before) != 0 {
		t.Errorf("Login for an image that is there, after %q", before)
	}
}

func verbs(argv [][]string) []string {
	var all []string
	for _, args := range argv {
		all = append(all, args[0])
	}
	return all
}

// R1.3, R8.1: without credentials nothing is pulled or tried again, and no other image is to be blamed, not even
// where the error looks like one of the engine's: a credential helper is a command as well.
func TestPullLoginFails(t *testing.T) {
	helper := &command.Error{Args: []string{"docker-credential-x"}, ExitCode: 1, Stderr: "connection reset by peer", Err: errors.New("exit status 1")}
	for name, failure := range map[string]error{"a service": errors.New("the token has expired"), "a helper": helper} {
		t.Run(name, func(t *testing.T) {
			f, _ := newFake(t, "podman")
			logins := 0
			c := f.cli(t, "podman", "1", func(o *Options) {
				o.Login = func(context.Context) error {
					logins++
					return fault.Wrap(failure, "log in again")
				}
			})
			_, err := c.Acquire(t.Context(), dtk, nil)
			if _, ok := errors.AsType[*PullError](err); ok || !errors.Is(err, failure) || !strings.Contains(err.Error(), "credentials") {
				t.Errorf("got %v, want one of credentials that wraps %v and is no *PullError", err, failure)
			}
			if fault.Of(err) != "log in again" {
				t.Errorf("the hint is %q", fault.Of(err))
			}
			if logins != 1 {
				t.Errorf("%d logins, want 1", logins)
			}
			for _, verb := range verbs(f.argv(t)) {
				if verb == "pull" {
					t.Error("it pulled")
				}
			}
			if left := f.markers(t); len(left) != 0 {
				t.Errorf("markers left: %v", left)
			}
		})
	}
}

// R1.3, R8.2: of several pulls one logs in at a time; those that wait stop with the run, and so does Login.
func TestLoginSerialised(t *testing.T) {
	_, c := newFake(t, "podman")
	synctest.Test(t, func(t *testing.T) {
		c.loginSlot = make(chan struct{}, 1) // the bubble knows only its own
		proceed := make(chan struct{})
		entered := make(chan struct{}, 3)
		c.opts.Login = func(ctx context.Context) error {
			entered <- struct{}{}
			select {
			case <-proceed:
				return nil
			case <-ctx.Done():
				return errors.New("it was told to stop")
			}
		}
		cause := errors.New("interrupted")
		ctx, stop := context.WithCancelCause(t.Context())
		results := make(chan error, 3)
		for range 3 {
			go func() { results <- c.login(ctx) }()
		}
		synctest.Wait()
		if n := len(entered); n != 1 {
			t.Errorf("%d logins at the same time, want 1", n)
		}
		proceed <- struct{}{}
		if err := <-results; err != nil {
			t.Errorf("the first login: %v", err)
		}
		synctest.Wait()
		if n := len(entered); n != 2 {
			t.Errorf("%d logins began by now, want 2", n)
		}
		stop(cause)
		for range 2 {
			if err := <-results; !errors.Is(err, cause) {
				t.Errorf("got %v, want %v", err, cause)
			}
		}
		if n := len(entered); n != 2 {
			t.Errorf("%d logins in all, want 2: the run had ended", n)
		}
	})
}
