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

// R8.1: a body that breaks off is asked for again, from its beginning, and what came of it stays nowhere.
func TestFetchBreaksOff(t *testing.T) {
	good := packRPM(t, "2.24.7.0", "gzip", sourceFiles())
	for name, head := range map[string]string{
		"with a length": fmt.Sprintf("200 OK\r\nContent-Length: %d\r\nETag: \"one\"", len(good)),
		"in chunks":     "200 OK\r\nTransfer-Encoding: chunked",
	} {
		t.Run(name, func(t *testing.T) {
			repo := newRepository(t, good)
			repo.fault = func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n > 1 {
					return false
				}
				body := bytes.Repeat([]byte("x"), len(good)/2)
				if strings.Contains(head, "chunked") {
					body = fmt.Appendf(nil, "%x\r\n%s", len(body), body)
				}
				return breakOff(t, w, head, body)
			}
			f, waits := newFetcher(t, repo)
			path, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, good) {
				t.Errorf("other content (%v)", err)
			}
			if diff := cmp.Diff([]time.Duration{time.Second, 2 * time.Second}, *waits); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// R8.1: a length that was announced wrong once does not matter; a package that is cut short by it fails.
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
	if len(repo.requests) != 5 {
		t.Errorf("%d requests, want 5", len(repo.requests))
	}
}
