package github

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	api "github.com/google/go-github/v89/github"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/transport"
	"neuron-kmod/test/lab/fakegithub"
)

// R7.3: a new release is a draft, then has its assets, then is published; the second time nothing is written.
func TestSyncCreates(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	want := wanted("notes", "busybox", "source")
	w.mustSync(t, want, Change{Create, tag})
	if diff := cmp.Diff(holds(want), w.Snapshot(repository)); diff != "" {
		t.Error(diff)
	}
	var did []string
	id := regexp.MustCompile(`\d+`)
	for _, c := range w.Writes() {
		_, path, _ := strings.Cut(c.Path, repository)
		did = append(did, c.Method+" "+id.ReplaceAllString(path, "ID"))
	}
	if want := []string{"POST /releases", "POST /releases/ID/assets", "POST /releases/ID/assets", "PATCH /releases/ID"}; !slices.Equal(did, want) {
		t.Errorf("requests %q, want %q", did, want)
	}
	w.Forget()
	w.mustSync(t, want)
	if got := w.Writes(); len(got) != 0 || len(w.Calls()) != 2 {
		t.Errorf("with nothing to do: writes %v among %d requests, want none among 2", got, len(w.Calls()))
	}
}

// R7.3: only what differs is changed; what people have added stays.
func TestSyncChangesWhatDiffers(t *testing.T) {
	first := wanted("notes\n\n## Available Images\n", "busybox", "source")
	person := fakegithub.Asset{Name: "readme.txt", ContentType: "application/octet-stream", State: fakegithub.Uploaded, Size: 5, Digest: sum("hello")}
	tests := map[string]struct {
		then    Release
		changes []Change
		writes  int
	}{
		"nothing":      {then: first},
		"line endings": {then: wanted("notes  \r\n\t\r\n## Available Images", "busybox", "source")},
		"notes":        {then: wanted("more notes", "busybox", "source"), changes: []Change{{Edit, tag}}, writes: 1},
		"title": {
			then:    Release{Tag: tag, Name: "Better", Body: first.Body, Assets: first.Assets, Latest: true},
			changes: []Change{{Edit, tag}}, writes: 1,
		},
		"asset": {
			then:    wanted(first.Body, "busybox", "SOURCE"), // of the same size
			changes: []Change{{Replace, "source.tar.gz"}}, writes: 4,
		},
		"new asset": {
			then:    Release{Tag: tag, Name: first.Name, Body: first.Body, Assets: append(slices.Clone(first.Assets), file("third", "3")), Latest: true},
			changes: []Change{{Add, "third"}}, writes: 2,
		},
		"everything": {
			then:    wanted("more", "busybox 2", "source 2"),
			changes: []Change{{Replace, "busybox-1.36.1.tar.gz"}, {Replace, "source.tar.gz"}, {Edit, tag}}, writes: 9,
		},
	}
	for name, tt := range tests {
		for _, o := range []fakegithub.Options{{}, {NoDigests: true}} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, o, fakegithub.Repository{})
				w.mustSync(t, first, Change{Create, tag})
				if err := w.upload(t, person.Name, "hello"); err != nil {
					t.Fatal(err)
				}
				w.Forget()
				got, err := w.as(t, w.options()).Compare(t.Context(), tt.then)
				if diff := cmp.Diff(tt.changes, got.Changes); err != nil || diff != "" || got.URL == "" || len(w.Writes()) != 0 {
					t.Errorf("compare: %v, %q, %d writes\n%s", err, got.URL, len(w.Writes()), diff)
				}
				w.mustSync(t, tt.then, tt.changes...)
				if got := w.Writes(); len(got) != tt.writes {
					t.Errorf("%d writes %v, want %d", len(got), got, tt.writes)
				}
				want := tt.then
				if len(tt.changes) == 0 {
					want = first
				}
				state := holds(want, person)
				slices.SortFunc(state.Releases[0].Assets, func(a, b fakegithub.Asset) int { return strings.Compare(a.Name, b.Name) })
				if diff := cmp.Diff(state, w.Snapshot(repository)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// R7.3: without a release Compare says that there is one to create, and a public repository needs no token for it.
func TestCompareWithoutRelease(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	o := w.options()
	o.Token = ""
	got, err := w.as(t, o).Compare(t.Context(), wanted("n", "b", "s"))
	if diff := cmp.Diff(Outcome{Changes: []Change{{Create, tag}}}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// R7.3: half an upload under an asset's name, by whatever it was left, is replaced by the asset.
func TestSyncRepairsHalfUploads(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	want := wanted("notes", "busybox", "source")
	first := want
	first.Assets = want.Assets[:1]
	w.mustSync(t, first, Change{Create, tag})
	w.SetFaults(fakegithub.Fault{Method: http.MethodPost, Times: 1, Half: true, Status: http.StatusBadGateway})
	if err := w.upload(t, "source.tar.gz", "source"); err == nil {
		t.Fatal("the upload has succeeded")
	}
	w.mustSync(t, want, Change{Replace, "source.tar.gz"})
	if diff := cmp.Diff(holds(want), w.Snapshot(repository)); diff != "" {
		t.Error(diff)
	}
}

// R7.3: GitHub's trouble with a single request, before or after it took effect, is overcome within the run.
func TestSyncDespiteTrouble(t *testing.T) {
	want := wanted("notes", "busybox", "source")
	troubles := map[string]fakegithub.Fault{
		"broken before": {}, "broken after": {After: true},
		"502 before": {Status: 502}, "502 after": {Status: 502, After: true}, "502 and half an upload": {Status: 502, Half: true},
	}
	for name, fault := range troubles {
		t.Run(name, func(t *testing.T) {
			for n := range 4 {
				w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
				fault.Times = 1
				writes := 0
				w.SetHook(func(_ int, r *http.Request) {
					if r.Method != http.MethodGet {
						if writes++; writes == n+1 {
							w.SetFaults(fault)
						}
					}
				})
				if _, err := w.sync(t, want); err != nil {
					t.Fatalf("at write %d: %v", n+1, err)
				}
				if diff := cmp.Diff(holds(want), w.Snapshot(repository)); diff != "" {
					t.Errorf("at write %d:\n%s", n+1, diff)
				}
				if len(w.waits) != 1 || !strings.Contains(w.logged(), "looking at the release again") {
					t.Errorf("at write %d: waits %v, log %s", n+1, w.waits, w.logged())
				}
			}
		})
	}
}

// Trouble that stays ends the run, with advice, after a bounded number of attempts.
func TestSyncGivesUp(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	w.SetFaults(fakegithub.Fault{Method: http.MethodPost, Status: http.StatusBadGateway})
	_, err := w.sync(t, wanted("n", "b", "s"))
	if err == nil || !strings.Contains(err.Error(), "GitHub answers 502") || !strings.Contains(fault.Of(err), "githubstatus.com") {
		t.Errorf("error %v, advice %q", err, fault.Of(err))
	}
	if got := len(w.Writes()); got != rounds || len(w.waits) != rounds-1 {
		t.Errorf("%d writes and %d waits, want %d and %d", got, len(w.waits), rounds, rounds-1)
	}
}

// What cannot be read, or changes while it is sent, does not get into an asset's place.
func TestSyncBadContent(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	first := wanted("notes", "busybox", "source")
	w.mustSync(t, first, Change{Create, tag})
	then := wanted("notes", "busybox", "something else")
	contents := map[string]func() (io.ReadCloser, error){
		"other content": file("", "something elsX").Open,
		"too short":     file("", "something").Open,
		"unreadable":    func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(errors.New("bad disk"))), nil },
		"missing":       func() (io.ReadCloser, error) { return nil, errors.New("no such file") },
	}
	for name, open := range contents {
		t.Run(name, func(t *testing.T) {
			then.Assets[1].Open = open
			if _, err := w.sync(t, then); err == nil || !strings.Contains(err.Error(), "replace source.tar.gz: ") {
				t.Errorf("error %v", err)
			}
			w.mustTidy(t, first, holds(first))
		})
	}
}

// Contents are closed after each attempt to send them.
func TestSyncClosesContents(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	w.SetFaults(fakegithub.Fault{Path: regexp.MustCompile("/assets$"), Times: 1, Status: http.StatusBadGateway})
	want := wanted("notes", "busybox", "source")
	var opened, closed atomic.Int32
	open := want.Assets[0].Open
	want.Assets[0].Open = func() (io.ReadCloser, error) {
		opened.Add(1)
		content, err := open()
		return closer{content, &closed}, err
	}
	w.mustSync(t, want, Change{Create, tag}, Change{Remove, tag + " (draft)"})
	if opened.Load() != 2 || closed.Load() != 2 {
		t.Errorf("opened %d times, closed %d times; want 2 and 2", opened.Load(), closed.Load())
	}
}

type closer struct {
	io.Reader
	closed *atomic.Int32
}

func (c closer) Close() error { c.closed.Add(1); return nil }

// R7.3: a person's draft for the tag stays; one that a run has left is removed.
func TestSyncDrafts(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	for _, body := range []string{"my own notes", unfinished} {
		in := api.CreateReleaseRequest{TagName: tag, Body: &body, Draft: new(true)}
		if _, _, err := w.as(t, w.options()).api.Repositories.CreateRelease(t.Context(), "example", "neuron-kmod", in); err != nil {
			t.Fatal(err)
		}
	}
	want := wanted("notes", "busybox", "source")
	w.mustSync(t, want, Change{Create, tag}, Change{Remove, tag + " (draft)"})
	state := holds(want)
	state.Releases = append(state.Releases, fakegithub.Release{Tag: tag, Body: "my own notes", Draft: true})
	if diff := cmp.Diff(state, w.Snapshot(repository)); diff != "" {
		t.Error(diff)
	}
}

// A driver that is not the newest does not become the repository's latest release.
func TestSyncNotLatest(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	want := wanted("notes", "busybox", "source")
	want.Latest = false
	w.mustSync(t, want, Change{Create, tag})
	if diff := cmp.Diff(holds(want), w.Snapshot(repository)); diff != "" {
		t.Error(diff)
	}
}

// R7.3: an immutable release is created like any other. Its notes can change; that its assets cannot is said before
// anything is written.
func TestSyncImmutable(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{Immutable: true})
	w.mustSync(t, wanted("notes", "busybox", "source"), Change{Create, tag})
	w.mustSync(t, wanted("more notes", "busybox", "source"), Change{Edit, tag})
	w.Forget()
	_, err := w.sync(t, wanted("other notes", "busybox", "other"))
	if !errors.Is(err, ErrImmutable) || !strings.Contains(fault.Of(err), "turn off immutable releases") || len(w.Writes()) != 0 {
		t.Errorf("error %v, advice %q, writes %v", err, fault.Of(err), w.Writes())
	}
}

// R7.3: a repository with more than a page of releases.
func TestSyncManyReleases(t *testing.T) {
	w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
	want := wanted("notes", "busybox", "source")
	w.mustSync(t, want, Change{Create, tag})
	for range 101 {
		in := api.CreateReleaseRequest{TagName: "other", Draft: new(true)}
		if _, _, err := w.as(t, w.options()).api.Repositories.CreateRelease(t.Context(), "example", "neuron-kmod", in); err != nil {
			t.Fatal(err)
		}
	}
	w.mustSync(t, want)
}

// R7.3: through the program's own transport, which repeats what is safe to repeat.
func TestSyncThroughTransport(t *testing.T) {
	w := newWorld(t, fakegithub.Options{NoDigests: true}, fakegithub.Repository{})
	rt, err := transport.New(transport.Options{UserAgent: "neuron-kmod", MinWait: time.Nanosecond, MaxWait: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	w.client = &http.Client{Transport: rt}
	w.mustSync(t, wanted("notes", "busybox", "source"), Change{Create, tag})
	w.SetFaults(
		fakegithub.Fault{Method: http.MethodGet, Times: 2, Status: http.StatusBadGateway}, fakegithub.Fault{Method: http.MethodGet, Times: 1},
		fakegithub.Fault{Method: http.MethodDelete, Times: 1, After: true}, fakegithub.Fault{Method: http.MethodPost, Times: 1, Status: http.StatusServiceUnavailable},
	)
	want := wanted("more notes", "busybox", "SOURCE")
	if _, err := w.sync(t, want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(holds(want), w.Snapshot(repository)); diff != "" {
		t.Error(diff)
	}
	if len(w.waits) != 1 { // for the upload, whose body the transport cannot send again
		t.Errorf("started over %d times: %s", len(w.waits), w.logged())
	}
}
