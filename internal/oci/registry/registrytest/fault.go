package registrytest

import (
	"io"
	"net/http"
	"strings"
)

// Fault is something that goes wrong with requests.
type Fault struct {
	Method string // of the requests that it hits; "" means any
	Path   string // a part of their path; "" means any
	Skip   int    // how many of them pass before the first is hit
	Times  int    // how many are hit; 0 means all

	Status     int             // answer with this status; 0 means to break the connection instead
	RetryAfter string          // header of that answer
	After      int64           // break the connection after so many bytes of the body, of the answer or of an upload
	Hit        chan<- struct{} // is sent to for the requests that are hit, as far as it has room

	seen int
}

// Break makes the server fail. Of several faults that fit a request the oldest counts.
func (s *Server) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Mend ends all faults.
func (s *Server) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault returns the fault that hits r, nil if none does.
func (s *Server) fault(r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if (f.Method != "" && f.Method != r.Method) || !strings.Contains(r.URL.Path, f.Path) {
			continue
		}
		f.seen++
		if f.seen > f.Skip && (f.Times == 0 || f.seen <= f.Skip+f.Times) {
			return f
		}
	}
	return nil
}

func (s *Server) fail(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := s.fault(r)
		if f != nil {
			select {
			case f.Hit <- struct{}{}:
			default:
			}
		}
		switch {
		case f == nil:
			next.ServeHTTP(w, r)
		case f.Status != 0:
			if f.RetryAfter != "" {
				w.Header().Set("Retry-After", f.RetryAfter)
			}
			problem(w, f.Status, "UNKNOWN", "made to fail by a test")
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			next.ServeHTTP(&breaking{ResponseWriter: w, left: f.After}, r)
		default:
			_, _ = io.CopyN(io.Discard, r.Body, f.After)
			hangUp(w)
		}
	})
}

// breaking lets so many bytes of a body through, then breaks the connection.
type breaking struct {
	http.ResponseWriter
	left int64
}

func (b *breaking) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p[:min(int64(len(p)), b.left)])
	if b.left -= int64(n); b.left > 0 || err != nil {
		return n, err
	}
	if f, ok := b.ResponseWriter.(http.Flusher); ok {
		f.Flush() // what the other side is to get before the end
	}
	hangUp(b.ResponseWriter)
	panic(http.ErrAbortHandler)
}

// hangUp breaks the connection of a request with a reset where it can.
func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if c, _, err := h.Hijack(); err == nil {
			if c, ok := c.(*conn); ok {
				c.reset()
				return
			}
			c.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}
