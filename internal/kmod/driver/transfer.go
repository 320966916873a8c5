package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

const (
	maxRequests = 8 // of one download, each after a body that broke off
	firstWait   = time.Second
	longestWait = 30 * time.Second
)

// transfer is one download into a file. A body that breaks off is resumed where the server allows it, on
// condition that the file there is still the same (RFC 9110, 13.1.5 and 14.2); else it starts again.
type transfer struct {
	fetcher *Fetcher
	url     *url.URL
	version version.Driver
	file    *os.File

	done      int64  // bytes in file
	total     int64  // of the whole, -1 if the server has not told
	validator string // for If-Range; "" if the server gave none that will do
}

// errBroken is a body that ended too early; another request can get the rest.
var errBroken = errors.New("the connection broke off")

// run downloads the whole file, with as many requests as it takes up to maxRequests.
func (t *transfer) run(ctx context.Context) error {
	for n, wait := 1, firstWait; ; n, wait = n+1, min(2*wait, longestWait) {
		err := t.request(ctx)
		if err == nil || !errors.Is(err, errBroken) || ctx.Err() != nil {
			return err
		}
		if n == maxRequests {
			return fault.Wrap(fmt.Errorf("%w (%d times)", err, n), "try again later, or download the package by other means and name its folder as the driver source")
		}
		t.fetcher.log().Warn("the download broke off and goes on", "url", t.url.String(), "bytes", t.done, "reason", err)
		if err := t.fetcher.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// request makes one request for what is missing and writes what comes.
func (t *transfer) request(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url.String(), nil)
	if err != nil {
		return err
	}
	// A transport that asks for gzip by itself hides the length, and ranges would be of other bytes.
	req.Header.Set("Accept-Encoding", "identity")
	if t.done > 0 && t.validator != "" {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.done))
		req.Header.Set("If-Range", t.validator)
	}
	resp, err := t.fetcher.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // it is only read from
	whole, err := t.begin(resp)
	if whole || err != nil {
		return err
	}
	return t.receive(resp.Body)
}

// begin reads a response's head and puts the file where the body goes on. whole means that nothing is
// missing.
func (t *transfer) begin(resp *http.Response) (whole bool, err error) {
	switch resp.StatusCode {
	case http.StatusOK:
		t.total = resp.ContentLength
		t.validator = validator(resp.Header)
		if err := t.restart(); err != nil {
			return false, err
		}
	case http.StatusPartialContent:
		from, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || from != t.done {
			return false, errors.Join(fmt.Errorf("%s: a range that was not asked for: %w", t.url, errBroken), t.restart())
		}
		t.total = total
	case http.StatusRequestedRangeNotSatisfiable:
		if resp.Header.Get("Content-Range") == fmt.Sprintf("bytes */%d", t.done) {
			return true, nil // the length that was announced at first was too long
		}
		return false, errors.Join(fmt.Errorf("%s: %s: %w", t.url, resp.Status, errBroken), t.restart())
	default:
		return false, t.refused(resp.StatusCode)
	}
	if t.total > t.fetcher.maxBytes() {
		return false, tooLarge(t.fetcher.maxBytes())
	}
	return false, nil
}

// restart empties the file: what is in it does not belong to what comes next.
func (t *transfer) restart() error {
	t.done = 0
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return t.file.Truncate(0)
}

// receive appends the body to the file.
func (t *transfer) receive(body io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		if t.done+int64(n) > t.fetcher.maxBytes() {
			return tooLarge(t.fetcher.maxBytes())
		}
		if _, err := t.file.Write(buf[:n]); err != nil {
			return err
		}
		t.done += int64(n)
		if n > 0 && t.fetcher.Progress != nil {
			t.fetcher.Progress(t.done, t.total)
		}
		if err == io.EOF {
			return t.ended()
		}
		if err != nil {
			return fmt.Errorf("%s: %w after %d bytes: %w", t.url, errBroken, t.done, err)
		}
	}
}

// ended reports whether a body that ended in order is the whole.
func (t *transfer) ended() error {
	if t.total >= 0 && t.done < t.total {
		return fmt.Errorf("%s: %w after %d of %d bytes", t.url, errBroken, t.done, t.total)
	}
	return nil
}

// refused explains a status that no other request will change. The client has done its retries by now.
func (t *transfer) refused(status int) error {
	err := fmt.Errorf("%s: the server answered %d %s", t.url, status, http.StatusText(status))
	switch {
	// AWS's repository is a bucket that may answer 403 for what is not there.
	case status == http.StatusNotFound, status == http.StatusGone, status == http.StatusForbidden:
		return fault.Wrap(err, fmt.Sprintf("is there a driver %s? versions have four numbers, such as 2.24.7.0; "+
			"the release notes of aws-neuronx-dkms list them: https://awsdocs-neuron.readthedocs-hosted.com", t.version))
	case status == http.StatusTooManyRequests, status >= 500:
		return fault.Wrap(err, "the server is busy or down: try again later")
	}
	return err
}

// validator returns what identifies this very content in If-Range: a strong entity tag, else a date.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}

// contentRange reads "bytes FROM-TO/TOTAL"; TOTAL is -1 where it is "*".
func contentRange(s string) (from, total int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, whole, ok := strings.Cut(s, "/")
	if !ok {
		return 0, 0, false
	}
	first, _, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, false
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0, 0, false
	}
	if whole == "*" {
		return from, -1, true
	}
	total, err = strconv.ParseInt(whole, 10, 64)
	return from, total, err == nil && total >= from
}

// pause waits, unless ctx is done first.
func (f *Fetcher) pause(ctx context.Context, d time.Duration) error {
	if f.wait != nil {
		return f.wait(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
