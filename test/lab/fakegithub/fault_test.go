package fakegithub

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-github/v89/github"
)

// A fault is for the requests it matches, as often as it says, before or after they take effect.
func TestFaults(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	c := w.client.Repositories
	create := func() error {
		_, _, err := c.CreateRelease(t.Context(), owner, repo, github.CreateReleaseRequest{TagName: "v1", Draft: new(true)})
		return err
	}
	there := func() int { return len(w.Snapshot(name).Releases) }

	w.SetFaults(Fault{
		Method: http.MethodPost, Path: regexp.MustCompile(`/releases$`), Skip: 1, Times: 1, Status: http.StatusBadGateway,
	})
	if err := create(); err != nil || there() != 1 {
		t.Errorf("the first: %v, %d releases", err, there())
	}
	if err := create(); there() != 1 {
		t.Errorf("%d releases after a fault", there())
	} else {
		expect(t, err, http.StatusBadGateway, "")
	}
	if err := create(); err != nil || there() != 2 {
		t.Errorf("after the fault: %v, %d releases", err, there())
	}
	w.SetFaults(Fault{Method: http.MethodPost, Times: 1, After: true})
	var refused *github.ErrorResponse
	if err := create(); err == nil || errors.As(err, &refused) || there() != 3 {
		t.Errorf("broken after the effect: %v, %d releases, want 3", err, there())
	}
	w.SetFaults(Fault{Method: http.MethodPost})
	for range 2 {
		if err := create(); err == nil || errors.As(err, &refused) || there() != 3 {
			t.Errorf("broken before the effect: %v, %d releases, want 3", err, there())
		}
	}
	w.SetFaults()
	if err := create(); err != nil {
		t.Error(err)
	}
}

// The record has every request with its answer, and the hook sees each before it takes effect.
func TestCalls(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	var seen []int
	w.SetHook(func(n int, _ *http.Request) { seen = append(seen, n, len(w.Snapshot(name).Releases)) })
	w.create(t, github.CreateReleaseRequest{TagName: "v1"})
	if _, _, err := w.client.Repositories.GetReleaseByTag(t.Context(), owner, repo, "v2"); err == nil {
		t.Error("v2 is there")
	}
	w.SetFaults(Fault{Method: http.MethodDelete, Times: 1})
	if _, err := w.client.Repositories.DeleteRelease(t.Context(), owner, repo, 1); err == nil {
		t.Error("no error from a broken connection")
	}
	const path = "/api/v3/repos/" + name + "/releases"
	want := []Call{{"POST", path, 201}, {"GET", path + "/tags/v2", 404}, {"DELETE", path + "/1", 0}}
	if got := w.Calls(); !slices.Equal(got, want) {
		t.Errorf("calls %v, want %v", got, want)
	}
	if got := w.Writes(); !slices.Equal(got, []Call{want[0], want[2]}) {
		t.Errorf("writes %v", got)
	}
	if got := w.Count("GET", regexp.MustCompile("/tags/")); got != 1 {
		t.Errorf("%d requests for a tag, want 1", got)
	}
	if !slices.Equal(seen, []int{1, 0, 2, 1, 3, 1}) {
		t.Errorf("the hook has seen numbers and releases %v", seen)
	}
	w.Forget()
	if got := w.Calls(); len(got) != 0 {
		t.Errorf("calls %v after Forget", got)
	}
}

// What has not changed since is not sent again, and not counted.
func TestNotModified(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	w.create(t, github.CreateReleaseRequest{TagName: "v1"})
	get := func(tag string) *http.Response {
		t.Helper()
		req, err := w.client.NewRequest(t.Context(), http.MethodGet, "repos/"+name+"/releases", nil)
		if err != nil {
			t.Fatal(err)
		}
		if req.Header.Set("Authorization", "Bearer "+w.token); tag != "" {
			req.Header.Set("If-None-Match", tag)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	first := get("")
	tag := first.Header.Get("Etag")
	if again := get(tag); tag == "" || again.StatusCode != http.StatusNotModified {
		t.Errorf("ETag %q, then %d", tag, again.StatusCode)
	}
	w.create(t, github.CreateReleaseRequest{TagName: "v2"})
	after := get(tag)
	if after.StatusCode != http.StatusOK || after.Header.Get("Etag") == tag {
		t.Errorf("after a change %d with ETag %q", after.StatusCode, after.Header.Get("Etag"))
	}
	if first.Header.Get("X-Ratelimit-Remaining") != "4998" || after.Header.Get("X-Ratelimit-Remaining") != "4996" {
		t.Errorf(
			"left were %s, then %s", first.Header.Get("X-Ratelimit-Remaining"), after.Header.Get("X-Ratelimit-Remaining"),
		)
	}
}

// R7.3: when an hour's requests are used up, everything is refused until the next.
func TestRateLimit(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := newWorld(t, Options{Now: func() time.Time { return at }}, Repository{})
	get := func() error {
		_, _, err := w.client.Repositories.ListReleases(t.Context(), owner, repo, nil)
		return err
	}
	reset := at.Add(time.Minute)
	w.SetRateLimit(1, reset)
	if err := get(); err != nil {
		t.Error(err)
	}
	var limited *github.RateLimitError
	if err := get(); !errors.As(err, &limited) || !limited.Rate.Reset.Equal(github.Timestamp{Time: reset}) {
		t.Errorf("error %v, want a rate limit until %v", err, reset)
	}
	at = reset
	if err := get(); err != nil {
		t.Error(err)
	}
}

// R7.3: the client knows what a secondary limit is, with and without a time.
func TestSecondaryLimit(t *testing.T) {
	w := newWorld(t, Options{}, Repository{})
	for _, status := range []int{http.StatusForbidden, http.StatusTooManyRequests} {
		for _, after := range []string{"7", ""} {
			w.SetFaults(SecondaryLimit(status, after))
			_, _, err := w.client.Repositories.ListReleases(t.Context(), owner, repo, nil)
			var limited *github.AbuseRateLimitError
			if !errors.As(err, &limited) ||
				(limited.RetryAfter != nil && *limited.RetryAfter == 7*time.Second) != (after == "7") {
				t.Errorf("%d, %q: %v", status, after, err)
			}
			if _, _, err := w.client.Repositories.ListReleases(t.Context(), owner, repo, nil); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		}
	}
}
