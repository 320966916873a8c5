// Package limit bounds what is read from outside: a file or an answer that is larger than expected is an error, never
// memory or disk without end.
package limit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// ReadFile returns the content of the file at path, which has at most most bytes; else a *TooLargeError. Its errors
// name the file.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := ReadAll(f, most)
	if _, ok := errors.AsType[*TooLargeError](err); ok {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if err != nil {
		return nil, err // the system's, which names the file
	}
	return data, nil
}

// ReadAll returns what r holds, if that is at most most bytes; else a *TooLargeError. With an error of r it returns
// what it read before that.
func ReadAll(r io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return data, err
	}
	if int64(len(data)) > most {
		return nil, &TooLargeError{Limit: most}
	}
	return data, nil
}

// TooLargeError reports that there was more to read than is accepted.
type TooLargeError struct{ Limit int64 } // in bytes

func (e *TooLargeError) Error() string { return fmt.Sprintf("larger than %d bytes", e.Limit) }

// Reader reads from R until Left bytes have been read; the next byte is the error Exceeded. It also ends with the cause
// of ctx once that is done. Several Readers may share one Left, from one goroutine at a time.
type Reader struct {
	Ctx      context.Context
	R        io.Reader
	Left     *int64
	Exceeded error
}

// Read implements io.Reader.
func (l *Reader) Read(p []byte) (int, error) {
	if l.Ctx.Err() != nil {
		return 0, context.Cause(l.Ctx)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if *l.Left <= 0 {
		n, err := l.R.Read(p[:1])
		if n > 0 {
			return 0, l.Exceeded
		}
		return 0, err
	}
	n, err := l.R.Read(p[:min(int64(len(p)), *l.Left)])
	*l.Left -= int64(n)
	return n, err
}

// Body returns body cut off after most bytes, for a library that reads all of it: it then sees an answer that breaks
// off.
func Body(body io.ReadCloser, most int64) io.ReadCloser {
	return &limitedBody{io.LimitReader(body, most), body}
}

type limitedBody struct {
	limited io.Reader
	body    io.Closer
}

// Read implements io.Reader.
func (b *limitedBody) Read(p []byte) (int, error) { return b.limited.Read(p) }

// Close implements io.Closer.
func (b *limitedBody) Close() error { return b.body.Close() }
