package driver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	rpmutils "github.com/sassoftware/go-rpmutils"

	"neuron-kmod/internal/version"
)

// rpmFile is an open package whose headers have been checked and read.
type rpmFile struct {
	file   *os.File
	header *rpmutils.RpmHeader
	start  int64 // where the payload begins
	size   int64 // of the whole file
}

// openRPM opens a package and reads its headers. Their shape is checked before the library sees them. The caller closes
// it.
func openRPM(path string) (_ *rpmFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	start, err := checkHeaders(f, info.Size())
	if err != nil {
		return nil, err
	}
	header, err := rpmutils.ReadHeader(io.NewSectionReader(f, 0, start))
	if err != nil {
		return nil, err
	}
	return &rpmFile{file: f, header: header, start: start, size: info.Size()}, nil
}

func (r *rpmFile) Close() error { return r.file.Close() }

// compressed is the payload as it lies in the file.
func (r *rpmFile) compressed() *io.SectionReader {
	return io.NewSectionReader(r.file, r.start, r.size-r.start)
}

// identify checks that the package is the driver's, and of that version.
func (r *rpmFile) identify(v version.Driver) error {
	name, err := r.header.GetString(rpmutils.NAME)
	if err != nil {
		return fmt.Errorf("its name: %w", err)
	}
	ver, err := r.header.GetString(rpmutils.VERSION)
	if err != nil {
		return fmt.Errorf("its version: %w", err)
	}
	if name != packageName || ver != v.String() {
		return fmt.Errorf("it is the package %.80q in version %.80q, not %s in version %s", name, ver, packageName, v)
	}
	return nil
}

// made returns when the package was made, in UTC; zero where the header does not say.
func (r *rpmFile) made() (time.Time, error) {
	if !r.header.HasTag(rpmutils.BUILDTIME) {
		return time.Time{}, nil
	}
	seconds, err := r.header.GetUint32s(rpmutils.BUILDTIME)
	if err != nil || len(seconds) != 1 {
		return time.Time{}, errors.Join(errors.New("its build time is not one number"), err)
	}
	return time.Unix(int64(seconds[0]), 0).UTC(), nil
}

// sha256Algo is PGPHASHALGO_SHA256 of rpm's header tags; it is the one that rpm writes by default.
const sha256Algo = 8

// checkDigest compares the payload with the digest in the header, where there is one: packages made before rpm 4.14
// have none. It tells damage, not forgery: whoever can write the payload can write the digest.
func (r *rpmFile) checkDigest(ctx context.Context) error {
	if !r.header.HasTag(rpmutils.PAYLOADDIGEST) {
		return nil
	}
	algo, err := r.header.GetUint32s(rpmutils.PAYLOADDIGESTALGO)
	if err != nil {
		return fmt.Errorf("its payload digest: %w", err)
	}
	want, err := r.header.GetStrings(rpmutils.PAYLOADDIGEST)
	if err != nil {
		return fmt.Errorf("its payload digest: %w", err)
	}
	if len(algo) != 1 || algo[0] != sha256Algo || len(want) == 0 {
		return nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, contextReader{ctx, r.compressed()}); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want[0] {
		return fmt.Errorf("its payload is damaged: sha256 is %s, the header says %.64q", got, want[0])
	}
	return nil
}

// checkRPM checks a whole package: headers, name, version, payload digest, and that the payload can be read to its end
// within the limits, so that one that was cut short is recognised whatever its header tells.
func checkRPM(ctx context.Context, path string, v version.Driver, lim limits) (err error) {
	r, err := openRPM(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.identify(v); err != nil {
		return err
	}
	// R3.1: signature. The place to require one by the key that AWS publishes; until then anyone who can answer for the
	// source can make a package that passes.
	if err := r.checkDigest(ctx); err != nil {
		return err
	}
	return r.walk(ctx, lim, func(e entry, _ io.Reader) error {
		_, err := cleanName(e.name)
		return err
	})
}

// contextReader fails once its context is done, so that a long read can be stopped.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
