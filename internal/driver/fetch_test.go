package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-retryablehttp"

	"neuron-kmod/internal/hint"
)

// repository serves one package as a real web server does, with validators and ranges, and lets a test
// answer in its place.
type repository struct {
	*httptest.Server
	content []byte
	etag    string

	mu       sync.Mutex
	requests []http.Header
	// fault may answer the n-th request, counted from 0, and tells whether it did.
	fault func(n int, w http.ResponseWriter, r *http.Request) bool
}

func newRepository(t *testing.T, content []byte) *repository {
	repo := &repository{content: content, etag: `"one"`}
	repo.Server = httptest.NewServer(repo)
	t.Cleanup(repo.Close)
	return repo
}

func (s *repository) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	n := len(s.requests)
	s.requests = append(s.requests, r.Header)
	s.mu.Unlock()
	if s.fault != nil && s.fault(n, w, r) {
		return
	}
	if r.URL.Path != "/yum/aws-neuronx-dkms-2.24.7.0.noarch.rpm" {
		http.NotFound(w, r)
		return
	}
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
}

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

// fetcher is one whose waits are recorded and do not happen.
func newFetcher(t *testing.T, repo *repository) (*Fetcher, *[]time.Duration) {
	var waits []time.Duration
	return &Fetcher{
		HTTP: repo.Client(), Source: repo.URL + "/yum/", Cache: filepath.Join(t.TempDir(), "cache"),
		wait: func(ctx context.Context, d time.Duration) error { waits = append(waits, d); return ctx.Err() },
	}, &waits
}

// onlyLock checks that a failed download left nothing but the lock's file.
func onlyLock(t *testing.T, cache string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".lock") {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

// R3.1, R9.1: one download, checked and kept; the next run asks nothing.
func TestFetch(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	repo := newRepository(t, packRPM(t, "2.24.7.0", "xz", sourceFiles()))
	f, _ := newFetcher(t, repo)
	var done, total int64
	f.Progress = func(d, t int64) { done, total = d, t }
	for range 2 {
		path, err := f.Fetch(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(f.Cache, "aws-neuronx-dkms-2.24.7.0.noarch.rpm"); path != want {
			t.Errorf("got %s, want %s", path, want)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, repo.content) {
			t.Errorf("other content (%v)", err)
		}
	}
	if size := int64(len(repo.content)); done != size || total != size {
		t.Errorf("progress ended at %d of %d, want %d", done, total, size)
	}
	if len(repo.requests) != 1 {
		t.Errorf("%d requests, want 1", len(repo.requests))
	}
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
			path, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, good) {
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
		onlyLock(t, f.Cache)
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
	if err == nil || !strings.Contains(err.Error(), "broke off") || hint.Of(err) == "" {
		t.Errorf("got %v, advice %q", err, hint.Of(err))
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
	onlyLock(t, f.Cache)
}

// R8.1: a connection that goes silent is given up and resumed.
func TestFetchStall(t *testing.T) {
	good := packRPM(t, "2.24.7.0", "gzip", sourceFiles())
	repo := newRepository(t, good)
	repo.fault = func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 0 {
			return false
		}
		w.Header().Set("ETag", repo.etag)
		w.Header().Set("Content-Length", fmt.Sprint(len(good)))
		if _, err := w.Write(good[:100]); err != nil {
			t.Error(err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
		return true
	}
	f, _ := newFetcher(t, repo)
	var log bytes.Buffer
	f.Log = slog.New(slog.NewTextHandler(&log, nil))
	f.stall = 50 * time.Millisecond
	if _, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0")); err != nil {
		t.Fatal(err)
	}
	if got := repo.requests[1].Get("Range"); got != "bytes=100-" {
		t.Errorf("second request: Range %q", got)
	}
	if !strings.Contains(log.String(), "nothing came for 50ms") {
		t.Errorf("log: %s", log.String())
	}
}

// R3.1, R8.1: what is not the package is an error that says so, and stays nowhere.
func TestFetchRefused(t *testing.T) {
	status := func(code int) func(int, http.ResponseWriter, *http.Request) bool {
		return func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
	}
	body := func(b []byte, chunked bool) func(int, http.ResponseWriter, *http.Request) bool {
		return func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			if !chunked {
				w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			}
			w.Write(b) // the client may hang up
			return true
		}
	}
	page := []byte("<!DOCTYPE html><html><title>Log in</title>" + strings.Repeat(" ", 200) + "</html>")
	tests := []struct {
		name         string
		fault        func(int, http.ResponseWriter, *http.Request) bool
		want, advice string
	}{
		{"not there", status(404), "404 Not Found", "is there a driver 2.24.7.0? versions have four numbers"},
		{"a bucket without listing", status(403), "403 Forbidden", "versions have four numbers"},
		{"gone", status(410), "410 Gone", "versions have four numbers"},
		{"broken", status(500), "500 Internal Server Error", "try again later"},
		{"too many requests", status(429), "429 Too Many Requests", "try again later"},
		{"a redirect to nowhere", status(304), "304 Not Modified", ""},
		{"a web page", body(page, false), `begins with "<!DOCTYPE html>`, "a proxy or a login page"},
		{"an empty answer", body(nil, false), "is not an RPM", "a proxy or a login page"},
		{"another version", body(packRPM(t, "2.24.8.0", "gzip", sourceFiles()), false), `version "2.24.8.0"`, "proxy"},
		{"too large", body(make([]byte, 20001), false), "larger than 20000 bytes", ""},
		{"too large, of unknown length", body(make([]byte, 200001), true), "larger than 20000 bytes", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			repo := newRepository(t, nil)
			repo.fault = tt.fault
			f, _ := newFetcher(t, repo)
			f.MaxBytes = 20000
			_, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(hint.Of(err), tt.advice) {
				t.Errorf("got %v, advice %q; want %q and %q", err, hint.Of(err), tt.want, tt.advice)
			}
			if len(repo.requests) != 1 {
				t.Errorf("%d requests, want 1", len(repo.requests))
			}
			onlyLock(t, f.Cache)
		})
	}
}

// R8.1: with a client that retries, a server that is busy for a moment does not matter.
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
	client := retryablehttp.NewClient()
	client.Logger, client.RetryWaitMin, client.RetryWaitMax = nil, time.Microsecond, time.Microsecond
	f.HTTP = client.StandardClient()
	if _, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0")); err != nil {
		t.Fatal(err)
	}
	if len(repo.requests) != 5 || repo.requests[4].Get("Range") != "bytes=100-" {
		t.Errorf("%d requests, the last %v", len(repo.requests), repo.requests[len(repo.requests)-1])
	}
}

// R3.1: a package in the cache that is not whole is fetched again.
func TestFetchDamagedCache(t *testing.T) {
	good := packRPM(t, "2.24.7.0", "gzip", sourceFiles())
	for name, damaged := range map[string][]byte{
		"truncated": good[:len(good)-5], "empty": {}, "a page": []byte("<html>"), "another": packRPM(t, "2.24.8.0", "gzip", sourceFiles()),
	} {
		t.Run(name, func(t *testing.T) {
			repo := newRepository(t, good)
			f, _ := newFetcher(t, repo)
			var log bytes.Buffer
			f.Log = slog.New(slog.NewTextHandler(&log, nil))
			if err := os.MkdirAll(f.Cache, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(f.Cache, "aws-neuronx-dkms-2.24.7.0.noarch.rpm")
			if err := os.WriteFile(path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
			if err != nil || got != path {
				t.Fatalf("got %s, %v", got, err)
			}
			if content, err := os.ReadFile(path); err != nil || !bytes.Equal(content, good) {
				t.Errorf("not replaced (%v)", err)
			}
			if !strings.Contains(log.String(), "fetched again") {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

// R9.2: runs that want the same package at the same time download it once.
func TestFetchConcurrent(t *testing.T) {
	repo := newRepository(t, packRPM(t, "2.24.7.0", "zstd", sourceFiles()))
	cache := filepath.Join(t.TempDir(), "cache")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			f := &Fetcher{HTTP: repo.Client(), Source: repo.URL + "/yum", Cache: cache}
			if _, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(repo.requests) != 1 {
		t.Errorf("%d requests, want 1", len(repo.requests))
	}
}

// R8.2: a download that is interrupted leaves nothing.
func TestFetchCancelled(t *testing.T) {
	repo := newRepository(t, packRPM(t, "2.24.7.0", "gzip", sourceFiles()))
	ctx, cancel := context.WithCancel(t.Context())
	repo.fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		io.WriteString(w, "the beginning") // the client hangs up
		cancel()
		<-r.Context().Done()
		return true
	}
	f, waits := newFetcher(t, repo)
	if _, err := f.Fetch(ctx, mustDriver(t, "2.24.7.0")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if len(*waits) > 0 {
		t.Errorf("waited %v", *waits)
	}
	onlyLock(t, f.Cache)
}

// R3.1: a folder of packages is used in place.
func TestFetchFolder(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	folder := t.TempDir()
	path := filepath.Join(folder, FileName(v))
	f := &Fetcher{Source: folder}

	_, err := f.Fetch(t.Context(), v)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(hint.Of(err), "none") {
		t.Errorf("an empty folder: %v, %q", err, hint.Of(err))
	}
	if err := os.WriteFile(filepath.Join(folder, "aws-neuronx-dkms-2.20.0.0.noarch.rpm"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fetch(t.Context(), v); !strings.Contains(hint.Of(err), "aws-neuronx-dkms-2.20.0.0.noarch.rpm") {
		t.Errorf("another version there: %v, %q", err, hint.Of(err))
	}
	if err := os.WriteFile(path, packRPM(t, "2.24.8.0", "gzip", sourceFiles()), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fetch(t.Context(), v); err == nil || !strings.Contains(err.Error(), `version "2.24.8.0"`) {
		t.Errorf("a file of the wrong name: %v", err)
	}
	if err := os.WriteFile(path, packRPM(t, "2.24.7.0", "gzip", sourceFiles()), 0o444); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Fetch(t.Context(), v); err != nil || got != path {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := (&Fetcher{Source: filepath.Join(folder, "nowhere")}).Fetch(t.Context(), v); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// R10.2: a source that cannot be is refused before any request, without quoting a password.
func TestFetchBadSource(t *testing.T) {
	for source, want := range map[string]string{
		"file:///srv/rpms":                      "neither an https URL nor a folder",
		"ftp://example.com/":                    "neither an https URL nor a folder",
		"https://":                              "neither an https URL nor a folder",
		"https://me:hush@example.com/":          "not supported",
		"https://example.com/?token=hush":       "not supported",
		"https://me:hush@example.com:port%zz/x": "not a URL",
		"ftp://me:hush@example.com/":            "neither an https URL nor a folder",
	} {
		_, err := (&Fetcher{Source: source}).Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v", source, err)
		}
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
