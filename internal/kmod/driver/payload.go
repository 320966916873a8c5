package driver

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	rpmutils "github.com/sassoftware/go-rpmutils"
	"github.com/xi2/xz"

	"neuron-kmod/internal/platform/limit"
)

// limits bound what is unpacked of a package. The real driver has about 150 files and 2 MB.
type limits struct {
	entries int   // of any kind
	file    int64 // bytes of one file
	total   int64 // bytes of the uncompressed archive, whether they are kept or not
}

var defaultLimits = limits{entries: 5000, file: 32 << 20, total: 128 << 20}

// maxWindow bounds the memory that a compressed stream can ask for; it is what xz -9 asks.
const maxWindow = 64 << 20

// walk reads the payload from its beginning to its trailer and calls visit with each entry, its name as it stands in
// the archive. The reader that visit gets is valid until it returns; what it leaves is skipped.
//
// The library's own reader is not used: v0.4.0 gives no way to bound what it allocates for names and gaps (up to 4
// GiB), takes negative sizes, and reads zstd with one library under cgo and another one without.
func (r *rpmFile) walk(ctx context.Context, lim limits, visit func(entry, io.Reader) error) error {
	z, err := r.uncompressed()
	if err != nil {
		return fmt.Errorf("RPM payload: %w", err)
	}
	defer z.Close() // it is only read from
	left := lim.total
	archive := cpioReader{r: &limit.Reader{Ctx: ctx, R: z, Left: &left, Exceeded: errTooLarge}}
	for n := 1; ; n++ {
		e, body, err := archive.next()
		if err == io.EOF { //nolint:errorlint // the end; one that is wrapped is in the middle of an entry
			return nil
		}
		if err != nil {
			return fmt.Errorf("RPM payload: %w", err)
		}
		if n > lim.entries {
			return fmt.Errorf("RPM payload: it has more than %d entries", lim.entries)
		}
		if e.size > lim.file {
			return fmt.Errorf("RPM payload: %.200q is %d bytes, at most %d are taken", e.name, e.size, lim.file)
		}
		if err := visit(e, body); err != nil {
			return err
		}
	}
}

// uncompressed returns the payload's archive, which still has to be bounded.
func (r *rpmFile) uncompressed() (io.ReadCloser, error) {
	format, err := r.tag(rpmutils.PAYLOADFORMAT, "cpio")
	if err != nil {
		return nil, err
	}
	if format != "cpio" {
		return nil, fmt.Errorf("it is a %.20q archive, only cpio is read", format)
	}
	compressor, err := r.tag(rpmutils.PAYLOADCOMPRESSOR, "gzip")
	if err != nil {
		return nil, err
	}
	switch compressor {
	case "gzip":
		return gzip.NewReader(r.compressed())
	case "xz":
		z, err := xz.NewReader(r.compressed(), maxWindow)
		return io.NopCloser(z), err
	case "zstd":
		z, err := zstd.NewReader(r.compressed(), zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("it is compressed with %.20q; gzip, xz and zstd are read", compressor)
}

// tag returns a tag's one string, or a default where the header lacks it.
func (r *rpmFile) tag(tag int, absent string) (string, error) {
	if !r.header.HasTag(tag) {
		return absent, nil
	}
	return r.header.GetString(tag)
}

var errTooLarge = errors.New("it is larger uncompressed than this program takes")
