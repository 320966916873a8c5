package transport

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// The wait grows, is bounded, and a server's word counts for more.
func TestWait(t *testing.T) {
	a := &attempts{
		req: httptest.NewRequest(http.MethodGet, "https://registry.test/v2/", nil),
		log: slog.New(slog.DiscardHandler),
	}
	for n := range 40 {
		full := min(DefaultMaxWait, DefaultMinWait<<min(n, 10))
		if got := a.wait(DefaultMinWait, DefaultMaxWait, n, nil); got < full/2 || got > full {
			t.Errorf("wait %d = %v, want between %v and %v", n, got, full/2, full)
		}
	}
	resp := &http.Response{Header: http.Header{"Retry-After": {"77"}}}
	if got := a.wait(DefaultMinWait, DefaultMaxWait, 0, resp); got != 77*time.Second {
		t.Errorf("wait = %v, want 77 s", got)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		want time.Duration
		ok   bool
	}{
		"":                              {0, false},
		"0":                             {0, true},
		" 120 ":                         {2 * time.Minute, true},
		"-1":                            {0, false},
		"1.5":                           {0, false},
		"soon":                          {0, false},
		"99999999999999999999":          {1<<63 - 1, true},
		"Fri, 02 Jan 2026 03:05:05 GMT": {time.Minute, true},
		"Fri, 02 Jan 2026 03:00:00 GMT": {0, true},
		"Fri, 02 Jan 9999 03:00:00 GMT": {1<<63 - 1, true},
	}
	for value, tt := range tests {
		got, ok := retryAfter(http.Header{"Retry-After": {value}}, now)
		if got != tt.want || ok != tt.ok {
			t.Errorf("retryAfter(%q) = %v, %v; want %v, %v", value, got, ok, tt.want, tt.ok)
		}
	}
}

// Whatever a server says, the wait is not negative.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "0", "120", "-1", "9223372036854775807", "Fri, 02 Jan 2026 03:05:05 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"} {
		f.Add(seed)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		if got, ok := retryAfter(http.Header{"Retry-After": {value}}, now); got < 0 || (!ok && got != 0) {
			t.Errorf("retryAfter(%q) = %v, %v", value, got, ok)
		}
	})
}
