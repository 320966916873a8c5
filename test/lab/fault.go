package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is one thing that goes wrong, for the requests it matches.
type Fault struct {
	Method string         // empty matches all
	Path   *regexp.Regexp // of the URL's path; nil matches all
	Skip   int            // let that many matching requests pass first
	Times  int            // then go wrong so often; 0 is for ever

	Status     int    // answer with it: 404, 429, 500 ...
	RetryAfter string // with this header
	ResetAfter int64  // or: reset the connection after so many bytes of the answer's body (or at once, if Status is 0 too)
	Wait       func(context.Context)
	// Wait, if set, is called before anything else is done and may block: a test can hold a request there.
	// With neither Status nor Reset the request then goes on as usual.
	Reset bool
}

func (f *Fault) matches(r *http.Request) bool {
	return (f.Method == "" || f.Method == r.Method) && (f.Path == nil || f.Path.MatchString(r.URL.Path))
}

// Class says what a registry request is about.
type Class string

// The classes of requests. A download server has Other only.
const (
	Ping     Class = "ping"
	Tags     Class = "tags"
	Manifest Class = "manifest"
	Blob     Class = "blob"
	Upload   Class = "upload"
	Other    Class = "other"
)

func classOf(path string) Class {
	switch {
	case path == "/v2/" || path == "/v2":
		return Ping
	case !strings.HasPrefix(path, "/v2/"):
		return Other
	case strings.HasSuffix(path, "/tags/list"):
		return Tags
	case strings.Contains(path, "/manifests/"):
		return Manifest
	case strings.Contains(path, "/blobs/uploads/"):
		return Upload
	case strings.Contains(path, "/blobs/"):
		return Blob
	}
	return Other
}

// Count is how much was asked for of one kind.
type Count struct {
	Class    Class
	Method   string
	Requests int
	Bytes    int64 // of the answers' bodies, as far as they were sent
}

// Faults stands in front of a server: it counts what is asked for, and makes go wrong what it is told to.
// It is safe for concurrent use. The zero value lets everything pass.
type Faults struct {
	mu        sync.Mutex
	faults    []*Fault
	counts    map[[2]string]*Count
	readOnly  bool
	delay     time.Duration
	bandwidth int64
}

// Set replaces the faults.
func (f *Faults) Set(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
	for _, fault := range faults {
		f.faults = append(f.faults, &fault)
	}
}

// ReadOnly refuses whatever would change something with 405, as a registry in maintenance does.
func (f *Faults) ReadOnly(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readOnly = on
}

// Network sets how long each answer is delayed and how many bytes a second each connection carries; zero is
// no limit.
func (f *Faults) Network(delay time.Duration, bytesPerSecond int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay, f.bandwidth = delay, bytesPerSecond
}

// Counts returns what was asked for since the last Reset, sorted by class and method.
func (f *Faults) Counts() []Count {
	f.mu.Lock()
	defer f.mu.Unlock()
	var counts []Count
	for _, c := range f.counts {
		counts = append(counts, *c)
	}
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Method, b.Method))
	})
	return counts
}

// Total sums the counts of the given classes, or of all.
func (f *Faults) Total(classes ...Class) Count {
	var total Count
	for _, c := range f.Counts() {
		if len(classes) == 0 || slices.Contains(classes, c.Class) {
			total.Requests += c.Requests
			total.Bytes += c.Bytes
		}
	}
	return total
}

// Reset forgets the counts.
func (f *Faults) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts = nil
}

// count adds to the counts of a request's kind.
func (f *Faults) count(r *http.Request, requests int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := [2]string{string(classOf(r.URL.Path)), r.Method}
	if f.counts == nil {
		f.counts = map[[2]string]*Count{}
	}
	if f.counts[key] == nil {
		f.counts[key] = &Count{Class: Class(key[0]), Method: key[1]}
	}
	f.counts[key].Requests += requests
	f.counts[key].Bytes += bytes
}

// next is the fault that is due for a request, nil if none, and how the network is.
func (f *Faults) next(r *http.Request) (due *Fault, delay time.Duration, bandwidth int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readOnly && r.Method != http.MethodGet && r.Method != http.MethodHead {
		return &Fault{Status: http.StatusMethodNotAllowed}, 0, 0
	}
	for i, fault := range f.faults {
		if !fault.matches(r) {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		found := *fault
		if fault.Times > 0 {
			if fault.Times--; fault.Times == 0 {
				f.faults = slices.Delete(f.faults, i, i+1)
			}
		}
		return &found, f.delay, f.bandwidth
	}
	return nil, f.delay, f.bandwidth
}

// Wrap returns next behind the faults.
func (f *Faults) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.count(r, 1, 0)
		fault, delay, bandwidth := f.next(r)
		if !pause(r.Context(), delay) {
			return
		}
		out := &meter{ResponseWriter: w, r: r, faults: f, bandwidth: bandwidth, left: -1}
		if fault != nil {
			if fault.Wait != nil {
				fault.Wait(r.Context())
			}
			switch {
			case fault.Status != 0:
				if fault.RetryAfter != "" {
					w.Header().Set("Retry-After", fault.RetryAfter)
				}
				w.Header().Set("Content-Type", "application/json")
				out.WriteHeader(fault.Status)
				_, _ = fmt.Fprintf(out, `{"errors":[{"code":"LAB","message":"fault %d"}]}`, fault.Status)
				return
			case fault.ResetAfter > 0:
				out.left = fault.ResetAfter
			case fault.Reset:
				resetConnection(w)
				return
			}
		}
		next.ServeHTTP(out, r)
	})
}

// pause waits; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// meter counts, slows down and cuts the body of an answer.
type meter struct {
	http.ResponseWriter
	r         *http.Request
	faults    *Faults
	bandwidth int64
	left      int64 // until the connection is reset; -1 is never
}

// meterChunk is small against the limits that tests set.
const meterChunk = 16 << 10

func (m *meter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		chunk := p[:min(len(p), meterChunk)]
		if m.left >= 0 && int64(len(chunk)) > m.left {
			chunk = chunk[:m.left]
		}
		n, err := m.ResponseWriter.Write(chunk)
		m.faults.count(m.r, 0, int64(n))
		written += n
		if err != nil {
			return written, err
		}
		if m.left >= 0 {
			if m.left -= int64(n); m.left == 0 {
				m.Flush()
				resetConnection(m.ResponseWriter)
				return written, io.ErrClosedPipe
			}
		}
		if m.bandwidth > 0 && !pause(m.r.Context(), time.Duration(n)*time.Second/time.Duration(m.bandwidth)) {
			return written, m.r.Context().Err()
		}
		p = p[n:]
	}
	return written, nil
}

// Flush lets a reverse proxy stream.
func (m *meter) Flush() { _ = http.NewResponseController(m.ResponseWriter).Flush() }

// resetConnection ends a connection so that the other side sees a reset or a broken stream, not an end.
func resetConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: resets the stream
	}
	if tcp, ok := unwrapTCP(conn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// unwrapTCP is the TCP connection under TLS.
func unwrapTCP(conn net.Conn) (*net.TCPConn, bool) {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	return tcp, ok
}

// httpServer is an HTTP server on a loopback port that ends when it is closed.
type httpServer struct {
	Host   string
	server *http.Server
	done   chan error
}

// serveHTTP serves plain HTTP, or HTTPS with the authority's certificate if there is one.
func serveHTTP(ctx context.Context, ca *authority, handler http.Handler) (*httpServer, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &httpServer{
		Host:   l.Addr().String(),
		server: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, ErrorLog: silentLog},
		done:   make(chan error, 1),
	}
	s.server.BaseContext = func(net.Listener) context.Context { return ctx }
	if ca == nil {
		go func() { s.done <- s.server.Serve(l) }()
		return s, nil
	}
	if s.server.TLSConfig, err = ca.serverTLS(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	go func() { s.done <- s.server.ServeTLS(l, "", "") }()
	return s, nil
}

// Close ends the server and all its connections and waits.
func (s *httpServer) Close() error {
	err := s.server.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
