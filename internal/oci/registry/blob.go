package registry

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Sizes of the pieces that a blob is read in. A reader that stops in the middle of a blob has caused the server to
// send at most LargestPiece more than it read.
//
// Closing a plain download early is not enough: measured on a loopback connection, a server had written 3.9 MB into
// socket buffers when the reader had read the first 0.3 MB and closed the connection (BenchmarkKernels of package
// toolkit), and with HTTP/2 Go's client accepts 4 MiB a stream unread. Pieces of 512 KiB cost a request each, which
// with a latency of 20 ms still makes 25 MB/s.
const (
	firstPiece   = 128 << 10
	LargestPiece = 512 << 10
)

// Blob reads a blob from its beginning, in growing pieces, and not much further than it is asked to. A transfer that
// breaks is resumed where it broke. At the end, if it gets there, the digest is checked. It is for one goroutine.
type Blob struct {
	ctx    context.Context
	client *http.Client
	url    string
	desc   v1.Descriptor
	hash   hash.Hash

	pos    int64         // of the next byte
	piece  int64         // size of the next piece
	body   io.ReadCloser // of the open piece, nil if none is
	left   int64         // bytes of the open piece that were not read yet
	breaks int           // in a row, without a byte of progress
	pauses []time.Duration
}

// Blob returns a reader of the blob that d describes. It makes no request for the blob before the first Read; reading
// blocks on the network until ctx ends. The caller closes it.
func (c *Client) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (*Blob, error) {
	s, err := c.pullSession(ctx, repo)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, c.classify(ctx, repo, err))
	}
	hasher, err := v1.Hasher(d.Digest.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	b := &Blob{
		ctx: ctx, client: s.client, desc: d, hash: hasher, piece: firstPiece, pauses: c.resume,
		url: repoURL(repo, "blobs/"+d.Digest.String()).String(),
	}
	if d.Size <= LargestPiece {
		b.piece = d.Size
	}
	return b, nil
}

// wholeBlob is Blob for reading to the end: the whole blob is requested at once, and after a break the rest of it.
func (c *Client) wholeBlob(ctx context.Context, repo name.Repository, d v1.Descriptor) (*Blob, error) {
	b, err := c.Blob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	b.piece = d.Size
	return b, nil
}

// Read implements io.Reader.
func (b *Blob) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for b.pos < b.desc.Size {
		n, err := b.readPiece(p)
		b.hash.Write(p[:n])
		if n > 0 {
			b.breaks = 0
			return n, nil
		}
		if err := b.waitAfterBreak(err); err != nil {
			return 0, fmt.Errorf("blob %s at byte %d: %w", b.desc.Digest, b.pos, Classify(err))
		}
	}
	if got := fmt.Sprintf("%x", b.hash.Sum(nil)); got != b.desc.Digest.Hex {
		return 0, fmt.Errorf("blob %s has other content: its digest is %s:%s",
			b.desc.Digest, b.desc.Digest.Algorithm, got)
	}
	return 0, io.EOF
}

// Close ends the transfer without waiting for what was not read.
func (b *Blob) Close() error {
	if b.body == nil {
		return nil
	}
	err := b.body.Close()
	b.body = nil
	return err
}

// readPiece reads from the open piece, opening the next one if none is open.
func (b *Blob) readPiece(p []byte) (int, error) {
	if b.body == nil {
		if err := b.open(); err != nil {
			return 0, err
		}
	}
	n, err := b.body.Read(p[:min(int64(len(p)), b.left)])
	b.pos += int64(n)
	b.left -= int64(n)
	switch {
	case b.left == 0:
		b.piece = min(2*b.piece, LargestPiece)
		b.Close()
	case err != nil:
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		b.Close()
		return n, &brokenError{err: err}
	}
	return n, nil
}

// brokenError is a transfer that began and ended too early, as opposed to one that did not begin.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// waitAfterBreak waits a moment and returns nil if err is a break after which the transfer can be resumed. A request
// that failed as a whole is not: the transport has repeated it already.
func (b *Blob) waitAfterBreak(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*brokenError](err); !ok || b.ctx.Err() != nil || b.breaks == len(b.pauses) {
		return err
	}
	b.breaks++
	return sleep(b.ctx, b.pauses[b.breaks-1])
}

// open requests the next piece.
func (b *Blob) open() error {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, b.url, nil)
	if err != nil {
		return err
	}
	end := min(b.pos+b.piece, b.desc.Size) - 1
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.pos, end))
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		resp.Body.Close()
		return err
	}
	b.body = resp.Body
	if resp.StatusCode == http.StatusPartialContent {
		b.left = end + 1 - b.pos
		got := resp.Header.Get("Content-Range")
		if !strings.HasPrefix(got, fmt.Sprintf("bytes %d-%d/", b.pos, end)) {
			b.Close()
			return fmt.Errorf("asked for %s, got %.100q", req.Header.Get("Range"), got)
		}
		return nil
	}
	// This server does not support ranges and sends the whole blob: what was read before is skipped.
	b.left = b.desc.Size - b.pos
	if _, err := io.CopyN(io.Discard, b.body, b.pos); err != nil {
		b.Close()
		return &brokenError{err: err}
	}
	return nil
}
