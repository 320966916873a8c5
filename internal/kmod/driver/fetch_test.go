package driver

import (
	"bytes"
	"context"
	"errors"
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

	"neuron-kmod/internal/platform/fault"
)

// repository serves one package as a real web server does, with validators and ranges, and lets a test
// answer in its place.
type repository struct {
	*httptest.Server
	content []byte
	etag    string

	mu       sync.Mutex
	requests []http.Header
	// fault may answer the n-th request, counted from 0, and reports whether it did.
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

// newFetcher makes one whose waits are recorded and do not happen.
func newFetcher(t *testing.T, repo *repository) (*Fetcher, *[]time.Duration) {
	var waits []time.Duration
	return &Fetcher{
		HTTP: repo.Client(), Source: repo.URL + "/yum/", Cache: filepath.Join(t.TempDir(), "cache"),
		wait: func(ctx context.Context, d time.Duration) error { waits = append(waits, d); return ctx.Err() },
	}, &waits
}

// nothingLeft checks that a failed download left nothing, not even the lock's file.
func nothingLeft(t *testing.T, cache string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("left behind: %s", e.Name())
	}
}

// R3.1, R9.1: one download, checked and kept; the next run asks nothing.
func TestFetch(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	repo := newRepository(t, packRPM(t, "2.24.7.0", "xz", sourceFiles()))
	f, _ := newFetcher(t, repo)
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
		if there, err := os.ReadDir(f.Cache); len(there) != 1 || err != nil {
			t.Errorf("in the cache: %v, %v; want the package alone", there, err)
		}
	}
	if len(repo.requests) != 1 {
		t.Errorf("%d requests, want 1", len(repo.requests))
	}
}

// R3.1, R8.1: what is not the package is an error that says so, and stays nowhere.
func TestFetchRefused(t *testing.T) {
	status := func(code int) func(int, http.ResponseWriter, *http.Request) bool {
		return func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
	}
	body := func(b []byte) func(int, http.ResponseWriter, *http.Request) bool {
		return func(_ int, w http.ResponseWriter, _ *http.Request) bool { _, err := w.Write(b); return err == nil }
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
		{"a web page", body(page), `begins with "<!DOCTYPE html>`, "a proxy or a login page"},
		{"an empty answer", body(nil), "is not an RPM", "a proxy or a login page"},
		{"another version", body(packRPM(t, "2.24.8.0", "gzip", sourceFiles())), `version "2.24.8.0"`, "proxy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			repo := newRepository(t, nil)
			repo.fault = tt.fault
			f, _ := newFetcher(t, repo)
			_, err := f.Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(fault.Of(err), tt.advice) {
				t.Errorf("got %v, advice %q; want %q and %q", err, fault.Of(err), tt.want, tt.advice)
			}
			if len(repo.requests) != 1 {
				t.Errorf("%d requests, want 1", len(repo.requests))
			}
			nothingLeft(t, f.Cache)
		})
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
		_, _ = io.WriteString(w, "the beginning") // the client hangs up
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
	nothingLeft(t, f.Cache)
}

// R3.1: a directory of packages is used in place.
func TestFetchFolder(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	folder := t.TempDir()
	path := filepath.Join(folder, FileName(v))
	f := &Fetcher{Source: folder}

	_, err := f.Fetch(t.Context(), v)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(fault.Of(err), "none") {
		t.Errorf("an empty directory: %v, %q", err, fault.Of(err))
	}
	if err := os.WriteFile(filepath.Join(folder, "aws-neuronx-dkms-2.20.0.0.noarch.rpm"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fetch(t.Context(), v); !strings.Contains(fault.Of(err), "aws-neuronx-dkms-2.20.0.0.noarch.rpm") {
		t.Errorf("another version there: %v, %q", err, fault.Of(err))
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
		t.Errorf("no directory: %v", err)
	}
}

// R10.2: a source that cannot be is refused before any request, without quoting a password.
func TestFetchBadSource(t *testing.T) {
	for source, want := range map[string]string{
		"file:///srv/rpms":                      "neither an https URL nor a directory",
		"ftp://example.com/":                    "neither an https URL nor a directory",
		"https://":                              "neither an https URL nor a directory",
		"https://me:hush@example.com/":          "not supported",
		"https://example.com/?token=hush":       "not supported",
		"https://me:hush@example.com:port%zz/x": "not a URL",
		"ftp://me:hush@example.com/":            "neither an https URL nor a directory",
	} {
		_, err := (&Fetcher{Source: source}).Fetch(t.Context(), mustDriver(t, "2.24.7.0"))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v", source, err)
		}
	}
}
