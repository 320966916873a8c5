package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"neuron-kmod/internal/platform/limit"
)

// maxRequests bounds how often one server is asked, each time after a body that broke off. Such a download starts
// again: an archive that is made when it is asked for need not be the same twice, so that it cannot go on.
const maxRequests = 3

// errBroken is a body that ended too early.
var errBroken = errors.New("the connection broke off")

// fetch downloads what is at a URL and checks that it is the version's source.
func (b *BusyBox) fetch(ctx context.Context, url, version string) (contents, error) {
	data, err := b.get(ctx, url)
	if err != nil {
		return nil, err
	}
	if want := busyBoxDigests[url]; want != "" {
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:]); got != want {
			return nil, fmt.Errorf("it has the SHA-256 %s, not %s (%s)", got, want, beginning(data))
		}
	}
	return readBusyBox(ctx, data, version, busyBoxLimits)
}

// get downloads what is at a URL, with as many requests as it takes up to maxRequests.
func (b *BusyBox) get(ctx context.Context, url string) (data []byte, err error) {
	for range maxRequests {
		data, err = b.request(ctx, url)
		if !errors.Is(err, errBroken) || ctx.Err() != nil {
			return data, err
		}
	}
	return nil, fmt.Errorf("%w (%d times)", err, maxRequests)
}

func (b *BusyBox) request(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	// A transport that asks for gzip by itself would unpack the archive.
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := b.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() // it is only read from
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if resp.ContentLength > busyBoxLimits.download {
		return nil, errTooLarge
	}
	data, err := limit.ReadAll(resp.Body, busyBoxLimits.download)
	if _, ok := errors.AsType[*limit.TooLargeError](err); ok {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("%w after %d bytes: %w", errBroken, len(data), err)
	}
	return data, nil
}
