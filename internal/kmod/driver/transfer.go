package driver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/limit"
	"neuron-kmod/internal/version"
)

const (
	maxRequests = 8 // of one download, each after a body that broke off
	firstWait   = time.Second
	longestWait = 30 * time.Second
)

// errBroken is a body that ended too early; another request may get it whole.
var errBroken = errors.New("the connection broke off")

// transfer downloads a package into file, which is empty. A body that breaks off is asked for again from its beginning,
// up to maxRequests times: a package has some 266 kB. What fails before the body is the client's to retry.
func (f *Fetcher) transfer(ctx context.Context, u *url.URL, v version.Driver, file *os.File) error {
	for n, wait := 1, firstWait; ; n, wait = n+1, min(2*wait, longestWait) {
		data, err := f.request(ctx, u, v)
		if err == nil {
			_, err = file.Write(data)
			return err
		}
		if !errors.Is(err, errBroken) || ctx.Err() != nil {
			return err
		}
		if n == maxRequests {
			return fault.Wrap(fmt.Errorf("%w (%d times)", err, n),
				"try again later, or download the package by other means and name its directory as the driver source")
		}
		f.log().Warn("the download broke off and begins again", "url", u.String(), "reason", err)
		if err := f.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// request makes one request and returns the body. It fails with errBroken where that breaks off.
func (f *Fetcher) request(ctx context.Context, u *url.URL, v version.Driver) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity") // a transport that asks for gzip by itself hides the length
	resp, err := f.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() // it is only read from
	if resp.StatusCode != http.StatusOK {
		return nil, refused(u, v, resp.StatusCode)
	}
	if resp.ContentLength > f.maxBytes() {
		return nil, tooLarge(f.maxBytes())
	}
	data, err := limit.ReadAll(resp.Body, f.maxBytes())
	if _, ok := errors.AsType[*limit.TooLargeError](err); ok {
		return nil, tooLarge(f.maxBytes())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w after %d bytes: %w", u, errBroken, len(data), err)
	}
	return data, nil
}

// refused explains a status that no other request will change. The client has done its retries by now.
func refused(u *url.URL, v version.Driver, status int) error {
	err := fmt.Errorf("%s: the server answered %d %s", u, status, http.StatusText(status))
	switch {
	// AWS's repository is a bucket that may answer 403 for what is not there.
	case status == http.StatusNotFound, status == http.StatusGone, status == http.StatusForbidden:
		return fault.Wrap(err, fmt.Sprintf("is there a driver %s? versions have four numbers, such as 2.24.7.0; "+
			"the release notes of aws-neuronx-dkms list them: https://awsdocs-neuron.readthedocs-hosted.com", v))
	case status == http.StatusTooManyRequests, status >= 500:
		return fault.Wrap(err, "the server is busy or down: try again later")
	}
	return err
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
