package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// longestRetryAfter is the longest pause a server may ask for. One that wants more gets its answer passed on at
// once: the user has to decide whether to wait for an hour.
const longestRetryAfter = 5 * time.Minute

// retry repeats requests. The loop is retryablehttp's; what is repeated, when, and with which body is ours,
// because its own policy waits for as long as a server says, follows redirects and holds bodies in memory.
type retry struct {
	base             http.RoundTripper
	retries          int
	minWait, maxWait time.Duration
	log              *slog.Logger
}

// RoundTrip implements http.RoundTripper. The answer of the last attempt is returned as it came, so that callers see
// the status and body of a server that kept failing.
func (r *retry) RoundTrip(req *http.Request) (*http.Response, error) {
	hasBody := req.Body != nil && req.Body != http.NoBody
	if r.retries < 0 || (hasBody && req.GetBody == nil) {
		return r.base.RoundTrip(req)
	}
	again, err := rewindable(req)
	if err != nil {
		return nil, err
	}
	run := &attempts{req: req, log: r.log}
	client := &retryablehttp.Client{
		HTTPClient:   &http.Client{Transport: r.base, CheckRedirect: leaveRedirect},
		RetryWaitMin: r.minWait,
		RetryWaitMax: r.maxWait,
		RetryMax:     r.retries,
		CheckRetry:   run.again,
		Backoff:      run.wait,
		ErrorHandler: unwrapAnswer,
	}
	return client.Do(again)
}

// leaveRedirect hands a redirect to the caller's client, which knows whether credentials may follow.
func leaveRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// unwrapAnswer returns what the last attempt brought. net/http's client has put the URL with its query into err;
// the caller's client does so again, so it is taken off here.
func unwrapAnswer(resp *http.Response, err error, n int) (*http.Response, error) {
	if err == nil {
		return resp, nil
	}
	if resp != nil {
		resp.Body.Close()
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if n > 1 {
		err = fmt.Errorf("after %d attempts: %w", n, err)
	}
	return nil, err
}

// attempts is one request and what became of it so far.
type attempts struct {
	req  *http.Request
	last error
	log  *slog.Logger
}

// again reports whether to repeat the request.
//
// GET, HEAD, PUT, DELETE mean the same however often they are sent, so any trouble of the network or the server
// repeats them. POST and PATCH may have had their effect, so they are repeated only where they surely had none:
// the connection did not come about, or the server said it is too busy. Their callers know how to start over.
func (a *attempts) again(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	a.last = err
	if err != nil {
		op, _ := errors.AsType[*net.OpError](err)
		notConnected := op != nil && op.Op == "dial" // before anything could have been sent
		return !permanent(err) && (a.idempotent() || notConnected), nil
	}
	if asked, _ := retryAfter(resp.Header, time.Now()); asked > longestRetryAfter {
		return false, nil
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true, nil
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return a.idempotent(), nil
	}
	return false, nil
}

func (a *attempts) idempotent() bool {
	return a.req.Method != http.MethodPost && a.req.Method != http.MethodPatch
}

// wait returns the pause before attempt n+2: what the server asks for, else minWait doubled n times and spread
// over half of it, so that many clients do not come back together.
func (a *attempts) wait(low, high time.Duration, n int, resp *http.Response) time.Duration {
	pause := min(high, low<<min(n, 16))
	pause -= rand.N(pause/2 + 1)
	if resp != nil {
		if asked, ok := retryAfter(resp.Header, time.Now()); ok {
			pause = max(asked, low)
		}
	}
	why := "connection failed"
	if resp != nil {
		why = resp.Status
	} else if e, ok := errors.AsType[*url.Error](a.last); ok {
		why = e.Err.Error()
	}
	a.log.Warn("repeating a request", "method", a.req.Method, "host", a.req.URL.Host, "path", a.req.URL.Path,
		"reason", why, "wait", pause.Round(time.Millisecond))
	return pause
}

// permanent reports whether err would be the same next time.
func permanent(err error) bool {
	if errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, ErrPlainHTTP) || errors.Is(err, ErrProxy) {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsNotFound
	}
	return false
}

// rewindable returns req in a form whose body can be had again. The first attempt gets the body that req came with;
// each further one a new body, opened only when it is read: opening one may mean a request to another server.
func rewindable(req *http.Request) (*retryablehttp.Request, error) {
	out := &retryablehttp.Request{Request: req.Clone(req.Context())}
	if req.Body == nil || req.Body == http.NoBody {
		return out, nil
	}
	calls := 0
	err := out.SetBody(retryablehttp.ReaderFunc(func() (io.Reader, error) {
		calls++
		switch calls {
		case 1: // SetBody looks for a length and closes what it got
			return io.LimitReader(nil, 0), nil
		case 2:
			return req.Body, nil
		default:
			return &lateBody{open: req.GetBody}, nil
		}
	}))
	out.ContentLength = req.ContentLength // SetBody has overwritten it
	return out, err
}

// lateBody is a body that is opened by its first read.
type lateBody struct {
	open func() (io.ReadCloser, error)
	body io.ReadCloser
}

func (b *lateBody) Read(p []byte) (int, error) {
	if b.body == nil {
		body, err := b.open()
		if err != nil {
			return 0, err
		}
		b.body = body
	}
	return b.body.Read(p)
}

// Close closes the body if it was opened.
func (b *lateBody) Close() error {
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}
