package limit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadAll(t *testing.T) {
	for _, tt := range []struct {
		size, most int
		tooLarge   bool
	}{
		{0, 0, false}, {1, 0, true}, {9, 10, false}, {10, 10, false}, {11, 10, true},
	} {
		data, err := ReadAll(strings.NewReader(strings.Repeat("x", tt.size)), int64(tt.most))
		e, tooLarge := errors.AsType[*TooLargeError](err)
		if tooLarge != tt.tooLarge || !tooLarge && (err != nil || len(data) != tt.size) {
			t.Errorf("%d bytes of at most %d: got %d, %v", tt.size, tt.most, len(data), err)
		}
		if tooLarge && (data != nil || e.Limit != int64(tt.most)) {
			t.Errorf("%d bytes of at most %d: got %d bytes beside the error, whose limit is %d",
				tt.size, tt.most, len(data), e.Limit)
		}
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if _, err := ReadFile(path, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
	if err := os.WriteFile(path, []byte("ten bytes."), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadFile(path, 10); err != nil || string(data) != "ten bytes." {
		t.Errorf("got %q, %v", data, err)
	}
	if _, err := ReadFile(path, 9); err == nil || !strings.Contains(err.Error(), path+": larger than 9 bytes") {
		t.Errorf("the error is %v", err)
	}
}

// Two readers share what is left: what one has read, the other cannot.
func TestReaderShared(t *testing.T) {
	exceeded := errors.New("exceeded")
	left := int64(10)
	reader := func(text string) *Reader {
		return &Reader{Ctx: t.Context(), R: strings.NewReader(text), Left: &left, Exceeded: exceeded}
	}
	if data, err := io.ReadAll(reader("123456")); err != nil || string(data) != "123456" || left != 4 {
		t.Errorf("got %q, %v, and %d bytes are left", data, err, left)
	}
	if data, err := io.ReadAll(reader("1234")); err != nil || string(data) != "1234" || left != 0 {
		t.Errorf("just as much as is left: got %q, %v, and %d bytes are left", data, err, left)
	}
	if data, err := io.ReadAll(reader("")); err != nil || len(data) != 0 {
		t.Errorf("nothing of nothing left: got %q, %v", data, err)
	}
	if data, err := io.ReadAll(reader("1")); !errors.Is(err, exceeded) || len(data) != 0 {
		t.Errorf("one byte too many: got %q, %v", data, err)
	}
}

func TestReaderStops(t *testing.T) {
	cause := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	left := int64(10)
	r := &Reader{Ctx: ctx, R: strings.NewReader("123456"), Left: &left, Exceeded: errors.New("exceeded")}
	if n, err := r.Read(make([]byte, 2)); n != 2 || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
	cancel(cause)
	if n, err := r.Read(make([]byte, 2)); n != 0 || !errors.Is(err, cause) {
		t.Errorf("after the end of its context: %d bytes, %v", n, err)
	}
}

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

func TestBody(t *testing.T) {
	answer := &closer{Reader: bytes.NewReader([]byte("0123456789"))}
	body := Body(answer, 4)
	if data, err := io.ReadAll(body); err != nil || string(data) != "0123" {
		t.Errorf("got %q, %v", data, err)
	}
	if err := body.Close(); err != nil || !answer.closed {
		t.Errorf("closed: %v, %v", answer.closed, err)
	}
}
