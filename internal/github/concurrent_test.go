package github

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	api "github.com/google/go-github/v89/github"
	"golang.org/x/sync/errgroup"

	"neuron-kmod/test/lab/fakegithub"
)

// R7.3: a run that goes on at any request of another one and is done before that one continues: both succeed, and the
// state is the same as with one.
func TestSyncDuringAnother(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			requests, unharmed := unharmed(t, name)
			for n := 1; n <= requests; n++ {
				w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
				s.before(t, w)
				w.during(t, n, s.want)
				if _, err := w.sync(t, s.want); err != nil {
					t.Errorf("with another at request %d: %v", n, err)
				}
				if diff := cmp.Diff(unharmed, w.Snapshot(repository)); diff != "" {
					t.Errorf("with another at request %d:\n%s", n, diff)
				}
			}
		})
	}
}

// R7.3: when the other one wants something else, what one of them wants is there in the end, and nothing besides.
func TestSyncDuringAnotherThatDiffers(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			requests, mine := unharmed(t, name)
			other := s.want
			other.Body = "other notes"
			other.Assets = append([]Asset{file("source.tar.gz", "other source")}, other.Assets...)
			other.Assets = append(other.Assets[:2], other.Assets[3:]...) // without the first source
			theirs := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
			s.before(t, theirs)
			if _, err := theirs.sync(t, other); err != nil {
				t.Fatal(err)
			}
			for n := 1; n <= requests; n++ {
				w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
				s.before(t, w)
				w.during(t, n, other)
				if _, err := w.sync(t, s.want); err != nil {
					t.Errorf("with another at request %d: %v", n, err)
				}
				got := w.Snapshot(repository)
				if diff := cmp.Diff(mine, got); diff != "" && !cmp.Equal(theirs.Snapshot(repository), got) {
					t.Errorf("with another at request %d:\n%s", n, diff)
				}
			}
		})
	}
}

// during has a run made at request n of what comes next.
func (w *world) during(t *testing.T, n int, want Release) {
	t.Helper()
	w.Forget()
	w.SetHook(func(i int, _ *http.Request) {
		if i != n {
			return
		}
		w.SetHook(nil)
		if _, err := w.sync(t, want); err != nil {
			t.Errorf("the other one at request %d: %v", n, err)
		}
	})
}

// R7.3: runs side by side, as they come.
func TestSyncConcurrently(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			_, unharmed := unharmed(t, name)
			for range 10 {
				w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
				s.before(t, w)
				var runs errgroup.Group
				for range 3 {
					c := w.as(t, w.options())
					runs.Go(func() error {
						_, err := c.Sync(t.Context(), s.want)
						return err
					})
				}
				if err := runs.Wait(); err != nil {
					t.Error(err)
				}
				// One that is done does not see what another one leaves after that; the next run does.
				w.mustTidy(t, s.want, unharmed)
			}
		})
	}
}

// A release that is deleted while a run looks at it is created anew.
func TestSyncVanished(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	want := wanted("notes", "busybox", "source")
	w.mustSync(t, want, Change{Create, tag})
	w.Forget()
	w.SetHook(func(n int, _ *http.Request) {
		if n == 2 {
			w.SetHook(nil)
			w.deleteAll(t)
		}
	})
	w.mustSync(t, want, Change{Create, tag})
	if diff := cmp.Diff(holds(want), w.Snapshot(repository)); diff != "" {
		t.Error(diff)
	}
}

// What is to be removed and is gone already is no trouble.
func TestSyncGone(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	in := api.CreateReleaseRequest{TagName: tag, Body: new(unfinished), Draft: new(true)}
	if _, _, err := w.as(t, w.options()).api.Repositories.CreateRelease(t.Context(), "example", "neuron-kmod", in); err != nil {
		t.Fatal(err)
	}
	w.SetHook(func(_ int, r *http.Request) {
		if r.Method == http.MethodDelete {
			w.SetHook(nil)
			w.deleteAll(t)
		}
	})
	w.mustSync(t, wanted("notes", "busybox", "source"), Change{Create, tag}, Change{Remove, tag + " (draft)"})
	if len(w.waits) != 0 {
		t.Errorf("started over: %s", w.logged())
	}
}

// deleteAll deletes all releases, as a person does.
func (w *world) deleteAll(t *testing.T) {
	t.Helper()
	c := w.as(t, w.options()).api.Repositories
	list, _, err := c.ListReleases(t.Context(), "example", "neuron-kmod", nil)
	if err != nil {
		t.Error(err)
	}
	for _, r := range list {
		if _, err := c.DeleteRelease(t.Context(), "example", "neuron-kmod", r.ID); err != nil {
			t.Error(err)
		}
	}
}
