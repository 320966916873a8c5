package github

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	api "github.com/google/go-github/v89/github"

	"neuron-kmod/test/lab/fakegithub"
)

// scenarios are what a run may find and have to do.
var scenarios = map[string]struct {
	before func(t *testing.T, w *world)
	want   Release
}{
	"create": {
		before: func(*testing.T, *world) {},
		want:   wanted("notes", "busybox", "source"),
	},
	"change": {
		before: func(t *testing.T, w *world) {
			first := wanted("notes", "busybox", "source")
			w.mustSync(t, first, Change{Create, tag})
			w.SetFaults(fakegithub.Fault{Method: http.MethodPost, Times: 1, Half: true, Status: http.StatusBadGateway})
			if err := w.upload(t, "half", "half"); err == nil {
				t.Fatal("the upload has succeeded")
			}
			if err := w.upload(t, "readme.txt", "hello"); err != nil {
				t.Fatal(err)
			}
		},
		want: func() Release {
			r := wanted("more notes", "busybox", "source 2")
			r.Assets = append(r.Assets, file("half", "half"), file("third", "3"))
			return r
		}(),
	},
}

// end ends a run at its request n: that one, if after is set, still takes effect.
func (w *world) end(n int, after bool) {
	faults := []fakegithub.Fault{{Skip: n - 1}}
	if after {
		faults = []fakegithub.Fault{{Skip: n - 1, Times: 1, After: true}, {Skip: n - 1}}
	}
	w.SetFaults(faults...)
}

// R7.3: a run that ends at any request, before or after its effect, is finished by the next: the same state in the end
// as without. R8.2
func TestSyncKilled(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			requests, unharmed := unharmed(t, name)
			for n := 1; n <= requests; n++ {
				for _, after := range []bool{false, true} {
					w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
					s.before(t, w)
					w.watch(t)
					w.end(n, after)
					if _, err := w.sync(t, s.want); err == nil && !(after && n == requests) {
						t.Errorf("ended at %d, after %v: no error", n, after)
					}
					w.SetFaults()
					if _, err := w.sync(t, s.want); err != nil {
						t.Errorf("after the end at %d, after %v: %v", n, after, err)
					}
					if diff := cmp.Diff(unharmed, w.Snapshot(repository)); diff != "" {
						t.Errorf("ended at %d, after %v:\n%s", n, after, diff)
					}
				}
			}
		})
	}
}

// R7.3: and so is one that was ended twice.
func TestSyncKilledTwice(t *testing.T) {
	const name = "change"
	s := scenarios[name]
	requests, unharmed := unharmed(t, name)
	for first := 4; first <= requests; first++ {
		for second := 3; second <= requests; second++ {
			w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
			s.before(t, w)
			w.watch(t)
			for _, n := range []int{first, second} {
				w.end(n, true)
				_, _ = w.sync(t, s.want) // the second may have less to do than that
				w.SetFaults()
			}
			if _, err := w.sync(t, s.want); err != nil {
				t.Errorf("ended at %d and %d: %v", first, second, err)
			}
			if diff := cmp.Diff(unharmed, w.Snapshot(repository)); diff != "" {
				t.Errorf("ended at %d and %d:\n%s", first, second, diff)
			}
		}
	}
}

// unharmed tells how many requests a run needs that nothing happens to, and what is there then. An asset that is
// replaced may be missing for one request at most.
func unharmed(t *testing.T, scenario string) (requests int, state fakegithub.State) {
	t.Helper()
	s := scenarios[scenario]
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	s.before(t, w)
	missing := w.watch(t)
	w.Forget()
	if _, err := w.sync(t, s.want); err != nil {
		t.Fatal(err)
	}
	if *missing > 1 {
		t.Errorf("source.tar.gz was missing for %d requests", *missing)
	}
	requests, state = len(w.Calls()), w.Snapshot(repository)
	if len(state.Releases) != 1 || requests < 5 {
		t.Fatalf("%d requests, state %+v", requests, state)
	}
	return requests, state
}

// watch fails the test if at any request the content of an asset that was there is not there any more, nor its
// successor's, under any name; nor what people have added. It counts for how many requests it is not under its name.
func (w *world) watch(t *testing.T) (missing *int) {
	t.Helper()
	missing = new(int)
	before := w.Snapshot(repository)
	if len(before.Releases) == 0 {
		return missing
	}
	w.SetHook(func(n int, r *http.Request) {
		held, named := map[string]bool{}, map[string]bool{}
		for _, a := range w.Snapshot(repository).Releases[0].Assets {
			held[a.Digest] = true
			named[a.Name] = a.State == fakegithub.Uploaded
		}
		at := fmt.Sprintf("at request %d, %s %s", n, r.Method, r.URL.Path)
		if !held[sum("source")] && !(held[sum("source 2")] && named["source.tar.gz"]) {
			t.Errorf("%s: the source is lost", at)
		}
		if !named["busybox-1.36.1.tar.gz"] || !named["readme.txt"] {
			t.Errorf("%s: assets that are right, or somebody's, are not there: %v", at, named)
		}
		if !named["source.tar.gz"] {
			*missing++
		}
	})
	return missing
}

// R7.3: where a run has ended between putting an asset aside and putting its successor in its place, and the next run
// wants yet another one, the asset is back before that is uploaded.
func TestSyncRestoresFirst(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	w.mustSync(t, wanted("notes", "busybox", "source"), Change{Create, tag})
	c := w.as(t, w.options()).api.Repositories
	list, _, err := c.ListReleases(t.Context(), "example", "neuron-kmod", nil)
	if err != nil {
		t.Fatal(err)
	}
	to := api.UpdateReleaseAssetRequest{Name: new(temporaryName(kindOld, "source.tar.gz"))}
	if _, _, err := c.UpdateReleaseAsset(t.Context(), "example", "neuron-kmod", list[0].Assets[1].GetID(), to); err != nil {
		t.Fatal(err)
	}
	w.SetHook(func(_ int, r *http.Request) {
		if r.Method == http.MethodPost && w.Snapshot(repository).Releases[0].Assets[1].Name != "source.tar.gz" {
			t.Error("uploading while there is no asset")
		}
	})
	want := wanted("notes", "busybox", "source 2")
	w.mustSync(t, want, Change{Add, "source.tar.gz"})
	if diff := cmp.Diff(holds(want), w.Snapshot(repository)); diff != "" {
		t.Error(diff)
	}
}
