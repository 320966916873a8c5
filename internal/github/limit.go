package github

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	api "github.com/google/go-github/v89/github"
)

const (
	// longestWait bounds for how long one Client waits in all because GitHub says so: the releases of several drivers
	// share it. After that the user has to decide.
	longestWait = 15 * time.Minute
	// mostWaits bounds how often one request is sent again for that.
	mostWaits = 10
	// defaultWait is the first wait where GitHub does not say how long; it doubles each time.
	// https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#handle-rate-limit-errors-appropriately
	defaultWait = time.Minute
)

// call sends a request, and sends it again when GitHub has refused it because of a rate limit: it then had no effect.
// Errors are brief.
func (r *run) call(ctx context.Context, send func() error) error {
	for n := 0; ; n++ {
		err := send()
		wait, limited := rateLimit(err, n, time.Now())
		if !limited || n == mostWaits || !r.client.mayWait(wait) {
			return r.client.brief(err)
		}
		r.client.log.Warn("waiting for GitHub's rate limit", "wait", wait.Round(time.Second), "reason", r.client.brief(err))
		if err := r.client.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// mayWait takes a wait off what is left of the longest.
func (c *Client) mayWait(wait time.Duration) bool {
	if time.Duration(c.waited.Add(int64(wait))) <= longestWait {
		return true
	}
	c.waited.Add(-int64(wait))
	return false
}

// rateLimit reports whether err is a rate limit, and for how long to wait; n is how often it was waited already.
func rateLimit(err error, n int, now time.Time) (wait time.Duration, limited bool) {
	wait = defaultWait << min(n, 10)
	if e, ok := errors.AsType[*api.RateLimitError](err); ok {
		// The header has whole seconds, of a clock that may differ.
		if left := e.Rate.Reset.Sub(now); left > 0 {
			wait = left + time.Second
		}
		return wait, true
	}
	if e, ok := errors.AsType[*api.AbuseRateLimitError](err); ok {
		return retryAfter(e.Response, wait), true
	}
	if e, ok := errors.AsType[*api.ErrorResponse](err); ok {
		code, after := e.Response.StatusCode, e.Response.Header.Get("Retry-After")
		if code == http.StatusTooManyRequests || code == http.StatusForbidden && after != "" {
			return retryAfter(e.Response, wait), true
		}
	}
	return 0, false
}

// retryAfter is what Retry-After says; other if it says nothing, or not to wait.
func retryAfter(resp *http.Response, other time.Duration) time.Duration {
	seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31)
	if err != nil || seconds == 0 {
		return other
	}
	return time.Duration(seconds) * time.Second
}
