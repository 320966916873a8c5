// Package rpm opens RPM packages and proves who signed them.
//
// A package is hostile until Verify has accepted it: every size that it states is bounded before it is believed, and no
// more of it is parsed than the proof needs. The package knows nothing of what is packed.
package rpm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	rpmutils "github.com/sassoftware/go-rpmutils"

	"neuron-kmod/internal/platform/limit"
)

// Package is an RPM package whose headers have been checked and read. Its methods may be called concurrently.
type Package struct {
	// Header has the tags of the main header, which a good signature covers, and those of the signature header, which
	// nothing covers.
	Header *rpmutils.RpmHeader

	file    io.ReaderAt
	header  int64 // where the main header begins
	payload int64 // where the payload begins
	size    int64 // of the whole file
}

// Read reads the headers of the package in a file of that size. Their shape is checked before the library sees them.
// The Package reads from the file, which is to stay open and unchanged.
func Read(file io.ReaderAt, size int64) (*Package, error) {
	header, payload, err := checkHeaders(file, size)
	if err != nil {
		return nil, err
	}
	tags, err := rpmutils.ReadHeader(io.NewSectionReader(file, 0, payload))
	if err != nil {
		return nil, err
	}
	return &Package{Header: tags, file: file, header: header, payload: payload, size: size}, nil
}

// Payload is the payload as it lies in the file, compressed.
func (p *Package) Payload() *io.SectionReader {
	return io.NewSectionReader(p.file, p.payload, p.size-p.payload)
}

// Digest returns "sha256:" and 64 hexadecimal digits of the main header and the payload, which is all that can be
// signed: it names what a package holds, whoever has signed it and when.
func (p *Package) Digest(ctx context.Context) (string, error) {
	sum := sha256.New()
	if err := p.hashTo(ctx, sum, p.header, p.size); err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", sum.Sum(nil)), nil
}

var errGrown = errors.New("the file has grown")

// hashTo writes the file's bytes from one offset to another.
func (p *Package) hashTo(ctx context.Context, sum io.Writer, start, end int64) error {
	left := end - start
	r := &limit.Reader{Ctx: ctx, R: io.NewSectionReader(p.file, start, left), Left: &left, Exceeded: errGrown}
	n, err := io.Copy(sum, r)
	if err == nil && n != end-start {
		err = io.ErrUnexpectedEOF
	}
	return err
}
