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

// blobCopy is a blob on its way from one place to another. It passes through: no more of it is in memory than one
// piece. It counts what is sent.
type blobCopy struct {
	desc  v1.Descriptor
	from  place
	sent  *atomic.Int64 // bytes that were sent, those of attempts that broke included
	moved func(int64)   // is told of bytes that have arrived, or with a negative number of such that have not after all

	mu      sync.Mutex
	current *passage // the attempt that counts
	counted int64    // what moved was told, in sum
	broken  error    // why the original could not be read
}

// open begins to read the original from its front. What an earlier attempt has sent counts no more.
func (b *blobCopy) open(ctx context.Context) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	content, err := b.from.blob(ctx, b.desc)
	if err != nil {
		cancel()
		b.fail(err)
		return nil, err
	}
	p := &passage{blob: b, content: content, cancel: cancel}
	b.mu.Lock()
	b.current = p
	back := b.counted
	b.counted = 0
	b.mu.Unlock()
	if back != 0 {
		b.moved(-back)
	}
	return p, nil
}

// fail notes the first reason why the original could not be read.
func (b *blobCopy) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken == nil {
		b.broken = err
	}
}

// failure returns why the original could not be read, nil if it could.
func (b *blobCopy) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}

// finish makes up for what was not counted because it did not have to be sent, or takes back what was sent in vain.
func (b *blobCopy) finish(arrived bool) {
	b.mu.Lock()
	b.current = nil
	rest := -b.counted
	if arrived {
		rest += b.desc.Size
	}
	b.counted += rest
	b.mu.Unlock()
	if rest != 0 {
		b.moved(rest)
	}
}

// passage is one attempt at sending a blob. net/http may close a body while it is being read, so it is safe for that.
type passage struct {
	blob   *blobCopy
	cancel context.CancelFunc // ends a read that blocks

	mu      sync.Mutex
	content io.ReadCloser
	closed  atomic.Bool
}

// Read implements io.Reader.
func (p *passage) Read(buf []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return 0, fs.ErrClosed
	}
	n, err := p.content.Read(buf)
	if n > 0 {
		p.count(int64(n))
	}
	if err != nil && !errors.Is(err, io.EOF) && !p.closed.Load() {
		p.blob.fail(err)
	}
	return n, err
}

func (p *passage) count(n int64) {
	b := p.blob
	b.sent.Add(n)
	b.mu.Lock()
	current := b.current == p
	if current {
		b.counted += n
	}
	b.mu.Unlock()
	if current {
		b.moved(n)
	}
}

// Close implements io.Closer.
func (p *passage) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.content.Close()
}

// layer returns the blob as go-containerregistry uploads it.
func (b *blobCopy) layer(ctx context.Context) v1.Layer { return &passingLayer{b, ctx} }

// passingLayer has as much of a layer as an upload asks for. That it is called a layer says nothing: the blob may be a
// configuration.
type passingLayer struct {
	*blobCopy
	ctx context.Context // v1.Layer has no place for one
}

func (l *passingLayer) Digest() (v1.Hash, error)             { return l.desc.Digest, nil }
func (l *passingLayer) Size() (int64, error)                 { return l.desc.Size, nil }
func (l *passingLayer) MediaType() (types.MediaType, error)  { return l.desc.MediaType, nil }
func (l *passingLayer) Compressed() (io.ReadCloser, error)   { return l.open(l.ctx) }
func (l *passingLayer) DiffID() (v1.Hash, error)             { return v1.Hash{}, errPassing }
func (l *passingLayer) Uncompressed() (io.ReadCloser, error) { return nil, errPassing }

var errPassing = errors.New("a blob that is copied is not looked into")
