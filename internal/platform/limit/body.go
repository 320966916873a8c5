package limit

import "io"

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
