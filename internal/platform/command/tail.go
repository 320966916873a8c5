package command

import "strings"

// Tail is a writer that keeps the last bytes written to it. It is for one goroutine.
type Tail struct {
	most int
	buf  []byte
}

// NewTail returns a Tail that keeps at most most bytes.
func NewTail(most int) *Tail { return &Tail{most: most} }

// Write keeps the end of p and never fails.
func (t *Tail) Write(p []byte) (int, error) {
	n := len(p)
	if n > t.most {
		p = p[n-t.most:]
	}
	if over := len(t.buf) + len(p) - t.most; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

// String is the kept text, without a character that the cut has split.
func (t *Tail) String() string { return strings.ToValidUTF8(string(t.buf), "") }
