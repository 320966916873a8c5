package limit_test

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
	"testing/iotest"

	"neuron-kmod/internal/platform/limit"
)

var errExceeded = errors.New("it is too much")

// R9.2: what is as long as the bound is read whole; the byte after it is the error.
func TestReader(t *testing.T) {
	for _, tt := range []struct {
		content string
		want    error
	}{{"", nil}, {"123", nil}, {"1234", nil}, {"12345", errExceeded}, {strings.Repeat("1", 100000), errExceeded}} {
		for name, r := range map[string]io.Reader{
			"at once":      strings.NewReader(tt.content),
			"by the byte":  iotest.OneByteReader(strings.NewReader(tt.content)),
			"with its EOF": iotest.DataErrReader(strings.NewReader(tt.content)),
		} {
			left := int64(4)
			got, err := io.ReadAll(&limit.Reader{Ctx: t.Context(), R: r, Left: &left, Exceeded: errExceeded})
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("%d bytes %s: error %v, want %v", len(tt.content), name, err, tt.want)
			}
			if want := tt.content[:min(4, len(tt.content))]; string(got) != want || left != int64(4-len(want)) {
				t.Errorf("%d bytes %s: read %q, %d left", len(tt.content), name, got, left)
			}
		}
	}
}

// An error of what is read from is no error of the bound, and an empty read asks for nothing.
func TestReaderOther(t *testing.T) {
	broken := errors.New("broken")
	left := int64(3)
	r := &limit.Reader{Ctx: t.Context(), Left: &left, Exceeded: errExceeded,
		R: io.MultiReader(strings.NewReader("123"), iotest.ErrReader(broken))}
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("an empty read: %d, %v", n, err)
	}
	if got, err := io.ReadAll(r); string(got) != "123" || !errors.Is(err, broken) {
		t.Errorf("read %q, %v; want the reader's own error", got, err)
	}
}

// R8.2: the cause of a context that is done ends the reading.
func TestReaderContext(t *testing.T) {
	cause := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	left := int64(10)
	r := &limit.Reader{Ctx: ctx, R: strings.NewReader("12345"), Left: &left, Exceeded: errExceeded}
	if n, err := r.Read(make([]byte, 2)); n != 2 || err != nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	cancel(cause)
	if n, err := r.Read(make([]byte, 2)); n != 0 || !errors.Is(err, cause) {
		t.Errorf("read %d bytes, %v; want the cause", n, err)
	}
}

// R9.2: several files may share one bound.
func TestReaderShared(t *testing.T) {
	left := int64(5)
	read := func(content string) (string, error) {
		r := &limit.Reader{Ctx: t.Context(), R: strings.NewReader(content), Left: &left, Exceeded: errExceeded}
		data, err := io.ReadAll(r)
		return string(data), err
	}
	if got, err := read("123"); got != "123" || err != nil {
		t.Errorf("the first: %q, %v", got, err)
	}
	if got, err := read("456"); got != "45" || !errors.Is(err, errExceeded) {
		t.Errorf("the second: %q, %v; want 2 bytes and the error", got, err)
	}
	if got, err := read(""); got != "" || err != nil {
		t.Errorf("nothing, with nothing left: %q, %v", got, err)
	}
}

func TestReadAll(t *testing.T) {
	for _, tt := range []struct {
		content  string
		most     int64
		tooLarge bool
	}{{"", 0, false}, {"1", 0, true}, {"123", 4, false}, {"1234", 4, false}, {"12345", 4, true}} {
		got, err := limit.ReadAll(strings.NewReader(tt.content), tt.most)
		e, tooLarge := errors.AsType[*limit.TooLargeError](err)
		if tooLarge != tt.tooLarge || !tooLarge && (err != nil || string(got) != tt.content) {
			t.Errorf("%d bytes of at most %d: %q, %v", len(tt.content), tt.most, got, err)
		}
		if tooLarge && (got != nil || e.Limit != tt.most) {
			t.Errorf("%d bytes of at most %d: got %q beside the error, whose limit is %d",
				len(tt.content), tt.most, got, e.Limit)
		}
	}
	broken := errors.New("broken")
	got, err := limit.ReadAll(io.MultiReader(strings.NewReader("12"), iotest.ErrReader(broken)), 4)
	if string(got) != "12" || !errors.Is(err, broken) {
		t.Errorf("broken off: %q, %v; want what came before", got, err)
	}
}

// Every error names the file, once.
func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := limit.ReadFile(path, 5); string(got) != "12345" || err != nil {
		t.Errorf("as long as the bound: %q, %v", got, err)
	}
	_, tooLarge := limit.ReadFile(path, 4)
	if _, ok := errors.AsType[*limit.TooLargeError](tooLarge); !ok {
		t.Errorf("longer: %v", tooLarge)
	}
	_, missing := limit.ReadFile(path+"2", 4)
	if !errors.Is(missing, fs.ErrNotExist) {
		t.Errorf("missing: %v", missing)
	}
	_, directory := limit.ReadFile(filepath.Dir(path), 4)
	for _, err := range []error{tooLarge, missing, directory} {
		if err == nil || strings.Count(err.Error(), filepath.Dir(path)) != 1 {
			t.Errorf("%v does not name the file once", err)
		}
	}
}

type closeRecorder struct {
	io.Reader
	closed bool
}

func (c *closeRecorder) Close() error { c.closed = true; return nil }

func TestBody(t *testing.T) {
	body := &closeRecorder{Reader: bytes.NewReader([]byte("12345"))}
	cut := limit.Body(body, 3)
	if got, err := io.ReadAll(cut); string(got) != "123" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if err := cut.Close(); err != nil || !body.closed {
		t.Errorf("closed %t, %v", body.closed, err)
	}
}
