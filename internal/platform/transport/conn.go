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
	return &timedConn{Conn: c, limit: silence}, nil
}

// timedConn is a connection whose reads and writes fail after limit without progress. A write puts off the reads'
// deadline as well: while a body is sent, no answer is due.
type timedConn struct {
	net.Conn
	limit time.Duration
}

func (c *timedConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *timedConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
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
