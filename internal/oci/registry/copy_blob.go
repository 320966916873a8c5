package registry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// blobCopy is a blob on its way from one target to another. It is streamed: memory holds no more of it than one piece.
type blobCopy struct {
	desc     v1.Descriptor
	from     Target
	sent     *atomic.Int64 // bytes that were sent, those of broken attempts included
	progress func(int64)   // is called with bytes that were sent; a negative number takes back those sent in vain

	mu      sync.Mutex
	upload  *blobUpload // the latest attempt
	readErr error       // the first reason why the original could not be read
}

// open starts reading the original from its beginning. It ends an earlier attempt, whose bytes no longer count.
func (b *blobCopy) open(ctx context.Context) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	content, err := b.from.store().openBlob(ctx, b.desc)
	if err != nil {
		cancel()
		b.setReadError(err)
		return nil, err
	}
	u := &blobUpload{blob: b, content: content, cancel: cancel}
	b.mu.Lock()
	earlier := b.upload
	b.upload = u
	b.mu.Unlock()
	if n := earlier.end(); n != 0 {
		b.progress(-n)
	}
	return u, nil
}

// settle ends the copy: progress then has the whole blob if it is at the target, and nothing of it if it is not.
func (b *blobCopy) settle(arrived bool) {
	b.mu.Lock()
	u := b.upload
	b.mu.Unlock()
	rest := -u.end()
	if arrived {
		rest += b.desc.Size
	}
	if rest != 0 {
		b.progress(rest)
	}
}

// setReadError records the first reason why the original could not be read.
func (b *blobCopy) setReadError(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.readErr == nil {
		b.readErr = err
	}
}

// readError returns why the original could not be read, nil if it could.
func (b *blobCopy) readError() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.readErr
}

// blobUpload is one attempt at sending a blob. net/http may close a body while it is being read; this one allows that.
type blobUpload struct {
	blob   *blobCopy
	cancel context.CancelFunc // ends a read that blocks

	mu      sync.Mutex
	content io.ReadCloser
	read    int64 // bytes
	closed  atomic.Bool
}

// Read implements io.Reader.
func (u *blobUpload) Read(buf []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed.Load() {
		return 0, fs.ErrClosed
	}
	n, err := u.content.Read(buf)
	if n > 0 {
		u.read += int64(n)
		u.blob.sent.Add(int64(n))
		u.blob.progress(int64(n))
	}
	if err != nil && !errors.Is(err, io.EOF) && !u.closed.Load() {
		u.blob.setReadError(err)
	}
	return n, err
}

// Close implements io.Closer.
func (u *blobUpload) Close() error {
	if u.closed.Swap(true) {
		return nil
	}
	u.cancel()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.content.Close()
}

// end closes an attempt, which may be nil, and returns how many bytes it has read.
func (u *blobUpload) end() int64 {
	if u == nil {
		return 0
	}
	_ = u.Close() // of a reader, whose errors Read has returned
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.read
}

// streamedLayer is a blob as go-containerregistry uploads it: the part of a v1.Layer that an upload asks for. The blob
// may be a configuration as well.
type streamedLayer struct {
	blob *blobCopy
	ctx  context.Context // the methods of v1.Layer have none
}

var errStreamed = errors.New("a blob that is copied is not unpacked")

func (l *streamedLayer) Digest() (v1.Hash, error)             { return l.blob.desc.Digest, nil }
func (l *streamedLayer) Size() (int64, error)                 { return l.blob.desc.Size, nil }
func (l *streamedLayer) MediaType() (types.MediaType, error)  { return l.blob.desc.MediaType, nil }
func (l *streamedLayer) Compressed() (io.ReadCloser, error)   { return l.blob.open(l.ctx) }
func (l *streamedLayer) DiffID() (v1.Hash, error)             { return v1.Hash{}, errStreamed }
func (l *streamedLayer) Uncompressed() (io.ReadCloser, error) { return nil, errStreamed }
