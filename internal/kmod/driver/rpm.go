package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	rpmutils "github.com/sassoftware/go-rpmutils"

	"neuron-kmod/internal/kmod/rpm"
	"neuron-kmod/internal/version"
)

// rpmFile is an open package whose headers have been checked and read.
type rpmFile struct {
	file   *os.File
	pkg    *rpm.Package
	header *rpmutils.RpmHeader // of pkg
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
	pkg, err := rpm.Read(f, info.Size())
	if err != nil {
		return nil, err
	}
	return &rpmFile{file: f, pkg: pkg, header: pkg.Header}, nil
}

func (r *rpmFile) Close() error { return r.file.Close() }

// compressed is the payload as it lies in the file.
func (r *rpmFile) compressed() *io.SectionReader { return r.pkg.Payload() }

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

// checkRPM checks a whole package: headers, name, version, payload digest, signature, and that the payload can be read
// to its end within the limits, so that one that was cut short is recognised whatever its header tells.
func checkRPM(ctx context.Context, path string, v version.Driver, keys rpm.Keyring, lim limits) (_ Package, err error) {
	r, err := openRPM(path)
	if err != nil {
		return Package{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.identify(v); err != nil {
		return Package{}, err
	}
	// Damage is told before forgery, since it is more likely and another copy mends it.
	if err := r.pkg.CheckDamage(ctx); err != nil {
		return Package{}, err
	}
	proof, err := r.pkg.Verify(ctx, keys, r.members(ctx, lim))
	if err != nil {
		return Package{}, err
	}
	err = r.walk(ctx, lim, func(e entry, _ io.Reader) error {
		_, err := cleanName(e.name)
		return err
	})
	return Package{Version: v, Path: path, Proof: proof}, err
}

// members walks the payload for a comparison with what is signed.
func (r *rpmFile) members(ctx context.Context, lim limits) rpm.Walk {
	return func(visit func(rpm.Entry, io.Reader) error) error {
		return r.walk(ctx, lim, func(e entry, body io.Reader) error {
			return visit(rpm.Entry{Name: e.name, Mode: e.mode, Size: e.size}, body)
		})
	}
}

// expect checks that the open file is the package that was proven.
func (r *rpmFile) expect(ctx context.Context, p Package) error {
	got, err := r.pkg.Digest(ctx)
	if err != nil {
		return err
	}
	if got != p.Proof.Digest {
		return fmt.Errorf("it is not the package that was checked: it is now %s, not %q", got, p.Proof.Digest)
	}
	return r.identify(p.Version)
}
