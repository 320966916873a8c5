package driver

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/transport"
)

// breakOff announces the content with these headers, sends some of it and resets the connection.
func breakOff(t *testing.T, w http.ResponseWriter, header string, body []byte) bool {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return true
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n%s", header, body); err != nil {
		t.Error(err)
	}
	return true
}

// R8.1: a body that breaks off is resumed if the server can, on condition that it is the same file, and
// started again if not.
func TestFetchResume(t *testing.T) {
	good := packRPM(t, "2.24.7.0", "gzip", sourceFiles())
	half := len(good) / 2
	whole := func(more string) string {
		return fmt.Sprintf("200 OK\r\nContent-Length: %d%s", len(good), more)
	}
	tests := []struct {
		name   string
		first  string // the head of the first answer, which breaks off half way
		etag   string // of what is there by then
		second func(w http.ResponseWriter, r *http.Request) bool
		ranged string // the Range of the second request
		waits  []time.Duration
	}{
		{name: "resumed", first: whole("\r\nETag: \"one\""), etag: `"one"`, ranged: fmt.Sprintf("bytes=%d-", half)},
		{name: "resumed by date", first: whole("\r\nLast-Modified: Mon, 02 Jan 2006 15:04:05 GMT"), ranged: fmt.Sprintf("bytes=%d-", half),
			second: func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("If-Range") != "Mon, 02 Jan 2006 15:04:05 GMT" {
					t.Errorf("If-Range: %q", r.Header.Get("If-Range"))
				}
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", half, len(good)-1, len(good)))
				w.WriteHeader(http.StatusPartialContent)
				_, err := w.Write(good[half:])
				return err == nil
			}},
		{name: "another file by now", first: whole("\r\nETag: \"old\""), etag: `"new"`, ranged: fmt.Sprintf("bytes=%d-", half)},
		{name: "no validator", first: whole(""), etag: `"one"`, ranged: ""},
		{name: "a weak validator", first: whole("\r\nETag: W/\"one\""), etag: `"one"`, ranged: ""},
		{name: "the server ignores ranges", first: whole("\r\nETag: \"one\""), ranged: fmt.Sprintf("bytes=%d-", half),
			second: func(w http.ResponseWriter, _ *http.Request) bool { _, err := w.Write(good); return err == nil }},
		{name: "another range than asked for", first: whole("\r\nETag: \"one\""), etag: `"one"`, ranged: fmt.Sprintf("bytes=%d-", half),
			second: func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(good)-1, len(good)))
				w.WriteHeader(http.StatusPartialContent)
				_, err := w.Write(good)
				return err == nil
			}, waits: []time.Duration{time.Second, 2 * time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			repo := newRepository(t, good)
			repo.etag = tt.etag
			repo.fault = func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 0 {
					return breakOff(t, w, tt.first, good[:half])
				}
				return n == 1 && tt.second != nil && tt.second(w, r)
			}
			f, waits := newFetcher(t, repo)
			p, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(p.Path); err != nil || !bytes.Equal(got, good) {
				t.Errorf("other content (%v)", err)
			}
			if got := repo.requests[1].Get("Range"); got != tt.ranged {
				t.Errorf("second request: Range %q, want %q", got, tt.ranged)
			}
			if tt.waits == nil {
				tt.waits = []time.Duration{time.Second}
			}
			if diff := cmp.Diff(tt.waits, *waits); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// R8.1: a length that was announced wrong does not matter if the file is whole, and fails if it is not.
func TestFetchWrongLength(t *testing.T) {
	good := packRPM(t, "2.24.7.0", "gzip", sourceFiles())
	answer := func(length int) func(int, http.ResponseWriter, *http.Request) bool {
		return func(n int, w http.ResponseWriter, _ *http.Request) bool {
			return n == 0 && breakOff(t, w, fmt.Sprintf("200 OK\r\nETag: \"one\"\r\nContent-Length: %d", length), good)
		}
	}
	t.Run("too long", func(t *testing.T) {
		repo := newRepository(t, good)
		repo.fault = answer(len(good) + 100)
		f, _ := newFetcher(t, repo)
		if _, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0")); err != nil {
			t.Error(err)
		}
		if len(repo.requests) != 2 {
			t.Errorf("%d requests, want 2", len(repo.requests))
		}
	})
	t.Run("too short", func(t *testing.T) {
		repo := newRepository(t, good)
		repo.fault = answer(len(good) - 100)
		f, _ := newFetcher(t, repo)
		_, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
		if err == nil || !strings.Contains(err.Error(), "is not the package") {
			t.Errorf("got %v", err)
		}
		nothingLeft(t, f.Cache)
	})
}

// R8.1: a server that breaks off every time is given up after a bounded number of requests, each after a
// longer wait.
func TestFetchGivesUp(t *testing.T) {
	good := packRPM(t, "2.24.7.0", "gzip", sourceFiles())
	repo := newRepository(t, good)
	repo.fault = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		return breakOff(t, w, fmt.Sprintf("200 OK\r\nContent-Length: %d", len(good)), good[:10])
	}
	f, waits := newFetcher(t, repo)
	_, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
	if err == nil || !strings.Contains(err.Error(), "broke off") || fault.Of(err) == "" {
		t.Errorf("got %v, advice %q", err, fault.Of(err))
	}
	if len(repo.requests) != maxRequests {
		t.Errorf("%d requests", len(repo.requests))
	}
	want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
	for i := range want {
		want[i] *= time.Second
	}
	if diff := cmp.Diff(want, *waits); diff != "" {
		t.Error(diff)
	}
	nothingLeft(t, f.Cache)
}

// R9.2: a package that is larger than the bound is not downloaded first to be found so.
func TestFetchTooLarge(t *testing.T) {
	tests := []struct {
		name  string
		fault func(int, http.ResponseWriter, *http.Request) bool
	}{
		{"announced", func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			return breakOff(t, w, "200 OK\r\nContent-Length: 1000000000", nil)
		}},
		{"without an end", func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			sent, block := 0, make([]byte, 1<<20)
			for ; sent < 100; sent++ {
				if _, err := w.Write(block); err != nil {
					return true // the client hung up
				}
			}
			t.Errorf("%d MiB were taken", sent)
			return true
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			repo := newRepository(t, nil)
			repo.fault = tt.fault
			f, _ := newFetcher(t, repo)
			f.MaxBytes = 20000
			_, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
			if err == nil || !strings.Contains(err.Error(), "larger than 20000 bytes") {
				t.Errorf("got %v", err)
			}
			repo.Close() // waits for the answer to end
			if len(repo.requests) != 1 {
				t.Errorf("%d requests, want 1", len(repo.requests))
			}
			nothingLeft(t, f.Cache)
		})
	}
}

// R8.1: with the program's own transport, a server that is busy for a moment does not matter.
func TestFetchBusyServer(t *testing.T) {
	repo := newRepository(t, packRPM(t, "2.24.7.0", "gzip", sourceFiles()))
	repo.fault = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		switch n {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			return breakOff(t, w, "200 OK\r\nETag: \"one\"\r\nContent-Length: 5000", repo.content[:100])
		case 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return n < 4
	}
	f, _ := newFetcher(t, repo)
	retrying, err := transport.New(transport.Options{MinWait: time.Microsecond, MaxWait: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	f.HTTP = &http.Client{Transport: retrying}
	if _, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0")); err != nil {
		t.Fatal(err)
	}
	if len(repo.requests) != 5 || repo.requests[4].Get("Range") != "bytes=100-" {
		t.Errorf("%d requests, the last %v", len(repo.requests), repo.requests[len(repo.requests)-1])
	}
}

func TestContentRange(t *testing.T) {
	for s, want := range map[string][2]int64{"bytes 5-9/10": {5, 10}, "bytes 0-0/*": {0, -1}} {
		from, total, ok := contentRange(s)
		if !ok || from != want[0] || total != want[1] {
			t.Errorf("%q: %d, %d, %v", s, from, total, ok)
		}
	}
	for _, s := range []string{"", "bytes", "bytes 5", "bytes 5-9", "bytes */10", "bytes 5-9/x", "bytes 9-9/5", "items 5-9/10"} {
		if _, _, ok := contentRange(s); ok {
			t.Errorf("%q is taken", s)
		}
	}
}
