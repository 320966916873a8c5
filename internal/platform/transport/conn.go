package transport

import (
	"context"
	"net"
	"strings"
	"time"
)

// silence is how long a connection may carry nothing in either direction while a transfer is on. Registries
// answer the end of an upload only when they have hashed it, hence minutes and not seconds.
const silence = 3 * time.Minute

// dial opens a connection that fails when it has been silent for too long.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &quiet{Conn: c, limit: silence}, nil
}

// quiet is a connection whose reads and writes fail after limit without progress. A write puts off the reads'
// deadline as well: while a body is sent, no answer is due.
type quiet struct {
	net.Conn
	limit time.Duration
}

func (q *quiet) Read(p []byte) (int, error) {
	if err := q.SetReadDeadline(time.Now().Add(q.limit)); err != nil {
		return 0, err
	}
	return q.Conn.Read(p)
}

func (q *quiet) Write(p []byte) (int, error) {
	if err := q.SetDeadline(time.Now().Add(q.limit)); err != nil {
		return 0, err
	}
	return q.Conn.Write(p)
}

// IsLoopback reports whether host (a name or an address without a port) is this machine by its name alone: no look-up
// is made, so a name that merely resolves to 127.0.0.1 does not count.
func IsLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
