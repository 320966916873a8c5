package driver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// The parts of a "new ASCII" cpio archive, the one form rpm writes for files below 4 GiB.
// https://man.freebsd.org/cgi/man.cgi?query=cpio&sektion=5
const (
	cpioHeaderSize = 110
	cpioMaxName    = 4096
	cpioTrailer    = "TRAILER!!!"
)

// The kinds of an entry, in the upper bits of its mode.
const (
	kindMask = 0o170000
	kindDir  = 0o040000
	kindFile = 0o100000
)

// entry is one member of an archive. Nothing in it has been checked beyond its form.
type entry struct {
	name  string
	mode  uint32
	links uint32
	size  int64 // below 4 GiB
}

func (e entry) kind() uint32 { return e.mode & kindMask }

// cpioReader reads an archive in order. It allocates no more than a name's bound, whatever a header claims.
type cpioReader struct {
	r    io.Reader
	body *io.LimitedReader // the rest of the current entry's body
	pad  int64             // after the body
}

// next skips the rest of the current entry and returns the next one with its body. It returns io.EOF at the archive's
// trailer and nowhere else: an archive that just ends is io.ErrUnexpectedEOF.
func (c *cpioReader) next() (entry, io.Reader, error) {
	if c.body != nil {
		if err := c.skip(c.body.N + c.pad); err != nil {
			return entry{}, nil, err
		}
	}
	header := make([]byte, cpioHeaderSize)
	if err := c.fill(header); err != nil {
		return entry{}, nil, err
	}
	e, nameSize, err := parseCPIOHeader(header)
	if err != nil {
		return entry{}, nil, err
	}
	name := make([]byte, nameSize)
	if err := c.fill(name); err != nil {
		return entry{}, nil, err
	}
	if bytes.IndexByte(name, 0) != len(name)-1 {
		return entry{}, nil, errors.New("cpio: a name does not end where its header says")
	}
	e.name = string(name[:len(name)-1])
	if e.name == cpioTrailer {
		return entry{}, nil, io.EOF
	}
	if err := c.skip(padding(cpioHeaderSize + nameSize)); err != nil {
		return entry{}, nil, err
	}
	c.body, c.pad = &io.LimitedReader{R: c.r, N: e.size}, padding(e.size)
	return e, c.body, nil
}

func (c *cpioReader) skip(n int64) error {
	_, err := io.CopyN(io.Discard, c.r, n)
	return noEOF(err)
}

func (c *cpioReader) fill(p []byte) error {
	_, err := io.ReadFull(c.r, p)
	return noEOF(err)
}

func noEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // one that is wrapped says more
		return io.ErrUnexpectedEOF
	}
	return err
}

// padding is what follows n bytes up to the next multiple of four.
func padding(n int64) int64 { return (4 - n%4) % 4 }

// parseCPIOHeader reads the fixed part of an entry: a magic and thirteen numbers of eight hex digits.
func parseCPIOHeader(h []byte) (e entry, nameSize int64, err error) {
	if magic := string(h[:6]); magic != "070701" && magic != "070702" {
		return entry{}, 0, fmt.Errorf("cpio: an entry begins with %q, not with 070701", magic)
	}
	var field [13]uint32
	for i := range field {
		digits := string(h[6+8*i : 14+8*i])
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil {
			return entry{}, 0, fmt.Errorf("cpio: %q is not a number of eight hex digits", digits)
		}
		field[i] = uint32(n)
	}
	e = entry{mode: field[1], links: field[4], size: int64(field[6])}
	nameSize = int64(field[11])
	if nameSize < 2 || nameSize > cpioMaxName {
		return entry{}, 0, fmt.Errorf("cpio: a name of %d bytes", nameSize)
	}
	return e, nameSize, nil
}
