// Package registrytest is a container registry for tests: go-containerregistry's in-process one behind layers that
// ask for credentials, page listings, break requests on demand and count what goes over the wire.
//
// It is a server on a loopback port, so that a test sees the requests and bytes that a real one would.
package registrytest

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
)

// Server is a registry. Its zero value is of no use; see New.
type Server struct {
	Host string // "127.0.0.1:PORT"
	URL  string
	TLS  *httptest.Server // the server itself, for its certificate

	pageSize int
	noRange  bool
	readOnly bool
	auth     authenticator

	noChallenge bool

	sent, received atomic.Int64
	mu             sync.Mutex
	requests       []string
	faults         []*Fault
}

// Option changes what New makes.
type Option func(*settings)

type settings struct {
	server *Server
	blobs  ggcr.BlobHandler
	tls    bool
}

// Paged makes listings end after n tags, with a link to the next page.
func Paged(n int) Option { return func(s *settings) { s.server.pageSize = n } }

// NoRange makes the server ignore Range, as plain file servers may.
func NoRange() Option { return func(s *settings) { s.server.noRange = true } }

// ReadOnly makes the server refuse every request that writes.
func ReadOnly() Option { return func(s *settings) { s.server.readOnly = true } }

// Blobs makes the server keep its blobs in h.
func Blobs(h ggcr.BlobHandler) Option { return func(s *settings) { s.blobs = h } }

// TLS makes the server speak https, with a certificate that no client trusts.
func TLS() Option { return func(s *settings) { s.tls = true } }

// New starts a registry that ends with the test.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := &Server{}
	set := &settings{server: s, blobs: ggcr.NewInMemoryBlobHandler()}
	for _, o := range opts {
		o(set)
	}
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithBlobHandler(set.blobs))
	srv := httptest.NewUnstartedServer(s.count(s.fail(s.authenticate(s.refuseWrites(s.page(s.dropRange(inner)))))))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Listener = &listener{srv.Listener, s}
	if set.tls {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	s.TLS, s.URL = srv, srv.URL
	_, s.Host, _ = strings.Cut(srv.URL, "://")
	return s
}

// Sent returns how many bytes the server has written to connections, headers included, whether or not they were read.
func (s *Server) Sent() int64 { return s.sent.Load() }

// Received returns how many bytes the server has read from connections.
func (s *Server) Received() int64 { return s.received.Load() }

// Requests returns the requests so far, as "METHOD PATH?QUERY", of which parts are contained in each.
func (s *Server) Requests(parts ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.requests), func(r string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(r, p) })
	})
}

// Forget resets requests and counters.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
	s.sent.Store(0)
	s.received.Store(0)
}

func (s *Server) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (s *Server) dropRange(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.noRange {
			r.Header.Del("Range")
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) refuseWrites(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.readOnly && r.Method != http.MethodGet && r.Method != http.MethodHead {
			problem(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is read-only")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// page splits listings. The in-process registry makes no link to the next page, and starts over after the last one.
func (s *Server) page(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.pageSize == 0 || !strings.HasSuffix(r.URL.Path, "/tags/list") {
			next.ServeHTTP(w, r)
			return
		}
		last := r.URL.Query().Get("last")
		r.URL.RawQuery = ""
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		var list struct {
			Name string   `json:"name"`
			Tags []string `json:"tags"`
		}
		if json.Unmarshal(answer.Body.Bytes(), &list) != nil || answer.Code != http.StatusOK {
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes())
			return
		}
		list.Tags = slices.DeleteFunc(list.Tags, func(tag string) bool { return tag <= last })
		if len(list.Tags) > s.pageSize {
			list.Tags = list.Tags[:s.pageSize]
			q := url.Values{"n": {strconv.Itoa(s.pageSize)}, "last": {list.Tags[s.pageSize-1]}}
			w.Header().Set("Link", "<"+r.URL.Path+"?"+q.Encode()+`>; rel="next"`)
		}
		_ = json.NewEncoder(w).Encode(list)
	})
}

// problem answers with an error as the distribution specification writes it.
func problem(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

// listener counts the bytes of its connections.
type listener struct {
	net.Listener
	server *Server
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{c, l.server}, nil
}

type conn struct {
	net.Conn
	server *Server
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.server.received.Add(int64(n))
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.server.sent.Add(int64(n))
	return n, err
}

// reset breaks the connection so that the other side sees a reset and no orderly end.
func (c *conn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}
