package transport

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"neuron-kmod/internal/platform/fault"
)

// answers is a server that answers the n-th request with the n-th function, and all further ones with the last.
func answers(t *testing.T, do ...http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		do[min(int(n.Add(1)), len(do))-1](w, r)
	}))
	t.Cleanup(s.Close)
	return s, &n
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); fmt.Fprint(w, code) }
}

// later answers with code and asks to come back after a while.
func later(code int, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", retryAfter)
		status(code)(w, r)
	}
}

// hangUp breaks the connection with a reset.
func hangUp(w http.ResponseWriter, _ *http.Request) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func newTest(t *testing.T, o Options) *http.Client {
	t.Helper()
	if o.MinWait == 0 {
		o.MinWait, o.MaxWait = time.Millisecond, 3*time.Millisecond
	}
	if o.Retries == 0 {
		o.Retries = 3
	}
	rt, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: rt}
}

// R6.2, R8.1: what is repeated, and what is not.
func TestRetry(t *testing.T) {
	ok := status(http.StatusOK)
	tests := map[string]struct {
		method string
		server []http.HandlerFunc
		want   int // status, 0 for an error
		n      int64
	}{
		"fine":                   {"GET", []http.HandlerFunc{ok}, 200, 1},
		"429":                    {"GET", []http.HandlerFunc{status(429), ok}, 200, 2},
		"429 with Retry-After":   {"GET", []http.HandlerFunc{later(429, "0"), ok}, 200, 2},
		"429 for a year":         {"GET", []http.HandlerFunc{later(429, "31536000"), ok}, 429, 1},
		"429 for ages":           {"GET", []http.HandlerFunc{later(429, "99999999999999999999"), ok}, 429, 1},
		"503 for a year":         {"GET", []http.HandlerFunc{later(503, "31536000"), ok}, 503, 1},
		"500 for a year":         {"GET", []http.HandlerFunc{later(500, "31536000"), ok}, 500, 1},
		"502 for a year":         {"GET", []http.HandlerFunc{later(502, "31536000"), ok}, 502, 1},
		"504 for a year":         {"PUT", []http.HandlerFunc{later(504, "31536000"), ok}, 504, 1},
		"500 with Retry-After":   {"GET", []http.HandlerFunc{later(500, "0"), ok}, 200, 2},
		"500":                    {"GET", []http.HandlerFunc{status(500), ok}, 200, 2},
		"501":                    {"GET", []http.HandlerFunc{status(501), ok}, 501, 1},
		"502, 503, 504":          {"GET", []http.HandlerFunc{status(502), status(503), status(504), ok}, 200, 4},
		"500 for ever":           {"GET", []http.HandlerFunc{status(500)}, 500, 4},
		"404":                    {"GET", []http.HandlerFunc{status(404), ok}, 404, 1},
		"401":                    {"GET", []http.HandlerFunc{status(401), ok}, 401, 1},
		"reset":                  {"GET", []http.HandlerFunc{hangUp, hangUp, ok}, 200, 3},
		"reset for ever":         {"GET", []http.HandlerFunc{hangUp}, 0, 4},
		"PUT and 500":            {"PUT", []http.HandlerFunc{status(500), ok}, 200, 2},
		"PUT and reset":          {"PUT", []http.HandlerFunc{hangUp, ok}, 200, 2},
		"POST and 429":           {"POST", []http.HandlerFunc{status(429), ok}, 200, 2},
		"POST and 503":           {"POST", []http.HandlerFunc{status(503), ok}, 200, 2},
		"POST and 500, not safe": {"POST", []http.HandlerFunc{status(500), ok}, 500, 1},
		"PATCH and reset, same":  {"PATCH", []http.HandlerFunc{hangUp, ok}, 0, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, n := answers(t, tt.server...)
			var body io.Reader
			if tt.method != "GET" {
				body = strings.NewReader("text")
			}
			req, err := http.NewRequestWithContext(t.Context(), tt.method, s.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			resp, err := newTest(t, Options{}).Do(req)
			if err == nil {
				got = resp.StatusCode
				if text, err := io.ReadAll(resp.Body); err != nil || string(text) != fmt.Sprint(got) {
					t.Errorf("body %q, %v", text, err)
				}
				resp.Body.Close()
			}
			if got != tt.want || n.Load() != tt.n {
				t.Errorf("status %d (%v) after %d requests, want %d after %d", got, err, n.Load(), tt.want, tt.n)
			}
		})
	}
}

// R6.2: a body is sent whole every time, and opened only as often as it is sent.
func TestRetryBody(t *testing.T) {
	text := strings.Repeat("layer", 100_000)
	var got []string
	read := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			data, err := io.ReadAll(r.Body)
			if err != nil || r.ContentLength != int64(len(text)) {
				t.Errorf("length %d, %v", r.ContentLength, err)
			}
			got = append(got, string(data))
			w.WriteHeader(code)
		}
	}
	s, _ := answers(t, read(500), read(503), read(201))
	opened, closed := 1, atomic.Int64{}
	open := func() io.ReadCloser { return &closing{strings.NewReader(text), &closed} }
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL, open())
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(text))
	req.GetBody = func() (io.ReadCloser, error) { opened++; return open(), nil }
	resp, err := newTest(t, Options{}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(got) != 3 || got[0] != text || got[1] != text || got[2] != text {
		t.Errorf("%d bodies, want three whole ones", len(got))
	}
	if opened != 3 || closed.Load() < 3 {
		t.Errorf("opened %d times and closed %d times, want 3", opened, closed.Load())
	}
}

type closing struct {
	io.Reader
	n *atomic.Int64
}

func (c *closing) Close() error { c.n.Add(1); return nil }

// A body that cannot be had again is sent once.
func TestNoRetryWithoutBody(t *testing.T) {
	s, n := answers(t, status(503))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL, io.NopCloser(strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := newTest(t, Options{}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n.Load() != 1 {
		t.Errorf("%d requests, want 1", n.Load())
	}
}

// R8.2: waiting ends with the context.
func TestRetryCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, n := answers(t, func(w http.ResponseWriter, r *http.Request) { later(429, "200")(w, r); cancel() })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newTest(t, Options{}).Do(req); !errors.Is(err, context.Canceled) || n.Load() != 1 {
		t.Errorf("error %v after %d requests, want %v after 1", err, n.Load(), context.Canceled)
	}
}

// R10.2: nothing goes over a network in the clear.
func TestPlainHTTP(t *testing.T) {
	sent := false
	base := roundTripper(func(*http.Request) (*http.Response, error) { sent = true; return nil, errors.New("sent") })
	for address, want := range map[string]bool{
		"http://localhost:5000/v2/": true, "http://127.0.0.1/": true, "http://127.8.9.1:80/": true, "http://[::1]:5000/": true, "http://a.localhost/": true,
		"https://10.0.0.1/": true, "https://registry.test/": true,
		"http://10.0.0.1:5000/v2/": false, "http://192.168.0.1/": false, "http://registry.test/": false, "http://localhost.test/": false, "http://127.0.0.1.test/": false, "http://[fe80::1]/": false,
	} {
		sent = false
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = newTest(t, Options{Base: base}).Do(req)
		if sent != want || errors.Is(err, ErrPlainHTTP) == want {
			t.Errorf("%s: sent %v (%v), want %v", address, sent, err, want)
		}
		if !want && fault.Of(err) == "" {
			t.Errorf("%s: no advice", address)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// R6.1: a private CA is trusted if it is named, and only then.
func TestCAFile(t *testing.T) {
	s := httptest.NewTLSServer(status(200))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	resp, err := newTest(t, Options{CAFile: file}).Get(s.URL)
	if err != nil {
		t.Fatalf("with the CA: %v", err)
	}
	resp.Body.Close()
	if _, err := newTest(t, Options{}).Get(s.URL); err == nil || strings.Contains(err.Error(), "attempts") {
		t.Errorf("without the CA: error %v, want one at the first attempt", err)
	}
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{CAFile: file}); err == nil || !strings.Contains(err.Error(), file) || fault.Of(err) == "" {
		t.Errorf("a file without certificates: error %v", err)
	}
	if _, err := New(Options{CAFile: file + "x"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: error %v", err)
	}
}

// R10.2: neither the log nor an error has a query or a header in it.
func TestNoSecretsInLog(t *testing.T) {
	var log bytes.Buffer
	s, _ := answers(t, status(500), hangUp)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/path?token=hunter2", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer hunter2")
	rt, err := New(Options{MinWait: time.Millisecond, MaxWait: time.Millisecond, Retries: 2, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	_, err = rt.RoundTrip(req)
	if err == nil || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want a reset", err)
	}
	if text := log.String() + err.Error(); strings.Contains(text, "hunter2") || !strings.Contains(text, "path=/path") || !strings.Contains(text, "500 Internal") {
		t.Errorf("log and error: %s", text)
	}
}

// Redirects are the client's business, which knows what may follow them.
func TestRedirectIsLeftAlone(t *testing.T) {
	s, n := answers(t, http.RedirectHandler("/elsewhere", http.StatusTemporaryRedirect).ServeHTTP)
	rt, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusTemporaryRedirect || n.Load() != 1 {
		t.Fatalf("%v, %v after %d requests", resp, err, n.Load())
	}
	resp.Body.Close()
}

func TestUserAgent(t *testing.T) {
	var got []string
	s, _ := answers(t, func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Header.Get("User-Agent")) })
	client := newTest(t, Options{UserAgent: "neuron-kmod/1"})
	for _, theirs := range []string{"", "other/2"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if theirs != "" {
			req.Header.Set("User-Agent", theirs)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if len(got) != 2 || got[0] != "neuron-kmod/1" || got[1] != "neuron-kmod/1 other/2" {
		t.Errorf("User-Agent %q", got)
	}
}

// Requests go through the proxy that is named.
func TestProxy(t *testing.T) {
	var asked string
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.Method + " " + r.RequestURI }))
	t.Cleanup(proxy.Close)
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := newTest(t, Options{Retries: -1, Proxy: http.ProxyURL(address)})
	if resp, err := client.Get("https://registry.test/v2/"); err == nil {
		resp.Body.Close()
	}
	if asked != "CONNECT registry.test:443" {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

// R8.1, R10.2: a proxy that refuses is told from a server that does, at once, and its password from the rest.
func TestProxyRefuses(t *testing.T) {
	for code, advice := range map[int]string{http.StatusProxyAuthRequired: "USER:PASSWORD", http.StatusForbidden: "NO_PROXY"} {
		asked := 0
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.WriteHeader(code)
		}))
		t.Cleanup(proxy.Close)
		address, err := url.Parse(proxy.URL)
		if err != nil {
			t.Fatal(err)
		}
		address.User = url.UserPassword("me", "hunter2")
		client := newTest(t, Options{Retries: 3, MinWait: time.Millisecond, Proxy: http.ProxyURL(address)})
		resp, err := client.Get("https://registry.test/v2/")
		if err == nil {
			resp.Body.Close()
			t.Fatal("no error")
		}
		text := err.Error()
		if !errors.Is(err, ErrProxy) || errors.Is(err, errProxyLogin) != (code == http.StatusProxyAuthRequired) || !strings.Contains(text, fmt.Sprintf("registry.test:443: %s answers %d", address.Host, code)) || !strings.Contains(fault.Of(err), advice) {
			t.Errorf("error %v, advice %q", err, fault.Of(err))
		}
		if strings.Contains(text+fault.Of(err), "hunter2") || asked != 1 {
			t.Errorf("asked %d times: %v", asked, err)
		}
	}
}
