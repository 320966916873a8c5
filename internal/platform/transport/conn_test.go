package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// deadlines records until when a connection may be silent.
type deadlines struct {
	net.Conn
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }
func (d *deadlines) SetDeadline(t time.Time) error      { d.read, d.write = t, t; return nil }
func (d *deadlines) Write(p []byte) (int, error)        { return len(p), nil }

// A read that waits for the answer to a long upload is put off by every write of it.
func TestQuietWhileSending(t *testing.T) {
	d := &deadlines{}
	q := &timedConn{Conn: d, limit: time.Hour}
	if _, err := q.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(d.read); left < 50*time.Minute || !d.write.Equal(d.read) {
		t.Errorf("reads may wait for %v, want an hour", left)
	}
}

// A connection that carries nothing is given up; one on which something comes is not.
func TestQuiet(t *testing.T) {
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	q := &timedConn{Conn: near, limit: 20 * time.Millisecond}
	if _, err := q.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: error %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if _, err := q.Write(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write: error %v, want %v", err, os.ErrDeadlineExceeded)
	}
	go func() { _, _ = io.Copy(far, far) }() // ends with far
	for range 3 {
		if _, err := q.Write([]byte("x")); err != nil {
			t.Fatalf("Write: %v", err)
		}
		if _, err := q.Read(make([]byte, 1)); err != nil {
			t.Fatalf("Read: %v", err)
		}
	}
}
