package rpm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	rpmutils "github.com/sassoftware/go-rpmutils"
)

// The kinds of a file, in the upper bits of its mode.
const (
	kindMask = 0o170000
	kindDir  = 0o040000
	kindFile = 0o100000
	kindLink = 0o120000
)

const (
	sha256Algo = 8       // PGPHASHALGO_SHA256 of rpm's header tags
	ghostFile  = 1 << 6  // RPMFILE_GHOST: listed, but not in the payload
	maxName    = 4 << 10 // bytes of a name or a link's target, as PATH_MAX of Linux
)

// listedFile is a file as the main header lists it.
type listedFile struct {
	mode   uint32
	size   uint64
	digest string // hexadecimal; "" for what is not a regular file
	target string // of a symbolic link
	ghost  bool
	found  bool // in the payload
}

// signedHeader begins what is wrong with a package whose header alone is signed.
const signedHeader = "only its header is signed, and "

// compareFiles compares the payload with the files that the header lists.
func (p *Package) compareFiles(ctx context.Context, walk Walk) error {
	files, err := p.files()
	if err != nil {
		return untrusted(signedHeader+"%v", err)
	}
	err = walk(func(e Entry, body io.Reader) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f := files[absolute(e.Name)]
		switch {
		case f == nil || f.ghost:
			return untrusted(signedHeader+"the payload has %.200q, which the header does not list", e.Name)
		case f.found:
			return untrusted(signedHeader+"the payload has %.200q twice", e.Name)
		}
		f.found = true
		return f.compare(e, body)
	})
	if err != nil {
		return err
	}
	for name, f := range files {
		if !f.found && !f.ghost {
			return untrusted(signedHeader+"the payload lacks %.200q, which the header lists", name)
		}
	}
	return nil
}

// compare reports as an error that a member of the payload is not the file that the header lists.
func (f *listedFile) compare(e Entry, body io.Reader) error {
	if e.Mode != f.mode {
		return untrusted(signedHeader+"%.200q has mode %#o in the payload, but %#o in the header", e.Name, e.Mode, f.mode)
	}
	switch e.Mode & kindMask {
	case kindDir:
		if e.Size != 0 {
			return untrusted(signedHeader+"%.200q is a directory with content", e.Name)
		}
		return nil
	case kindLink:
		target, err := io.ReadAll(io.LimitReader(body, maxName+1))
		if err != nil {
			return err
		}
		if string(target) != f.target {
			return untrusted(signedHeader+"the link %.200q leads elsewhere in the payload than in the header", e.Name)
		}
		return nil
	case kindFile:
	default:
		return untrusted(signedHeader+"%.200q is neither a file nor a directory nor a link", e.Name)
	}
	if f.digest == "" {
		return untrusted(signedHeader+"it has no digest of %.200q", e.Name)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, body)
	if err != nil {
		return err
	}
	if uint64(n) != f.size || hex.EncodeToString(sum.Sum(nil)) != f.digest {
		return untrusted(signedHeader+"%.200q is not the file of which it has the digest", e.Name)
	}
	return nil
}

// files returns the files that the header lists, by absolute name.
func (p *Package) files() (map[string]*listedFile, error) {
	if !p.Header.HasTag(rpmutils.BASENAMES) {
		return nil, errors.New("it lists no files")
	}
	// rpm writes one number for all files, rpmpack one for each; without any it would be MD5.
	algorithm, err := p.Header.GetUint32s(rpmutils.FILEDIGESTALGO)
	other := func(n uint32) bool { return n != sha256Algo }
	if err != nil || len(algorithm) == 0 || slices.ContainsFunc(algorithm, other) {
		return nil, errors.New("it has no SHA-256 digests of the files")
	}
	var l fileLists
	if err := l.read(p.Header); err != nil {
		return nil, fmt.Errorf("its list of files is damaged: %w", err)
	}
	files := make(map[string]*listedFile, len(l.base))
	for i, base := range l.base {
		if uint64(l.dirIndex[i]) >= uint64(len(l.dirs)) || len(l.dirs[l.dirIndex[i]])+len(base) > maxName {
			return nil, errors.New("its list of files is damaged: a directory is not there, or a name is too long")
		}
		name := absolute(l.dirs[l.dirIndex[i]] + base)
		if files[name] != nil {
			return nil, fmt.Errorf("it lists %.200q twice", name)
		}
		files[name] = &listedFile{
			mode: l.mode[i], size: l.size[i], digest: l.digest[i], target: l.target[i], ghost: l.flags[i]&ghostFile != 0,
		}
	}
	return files, nil
}

// fileLists are the tags that list the files, in which one index means one file.
type fileLists struct {
	base, dirs, digest, target []string
	dirIndex, mode, flags      []uint32
	size                       []uint64
}

func (l *fileLists) read(h *rpmutils.RpmHeader) error {
	var errs []error
	texts := func(tag int) []string {
		list, err := h.GetStrings(tag)
		errs = append(errs, err)
		return list
	}
	numbers := func(tag int) []uint32 {
		list, err := h.GetUint32s(tag)
		errs = append(errs, err)
		return list
	}
	l.base, l.dirs = texts(rpmutils.BASENAMES), texts(rpmutils.DIRNAMES)
	l.digest, l.target = texts(rpmutils.FILEDIGESTS), texts(rpmutils.FILELINKTOS)
	l.dirIndex, l.mode = numbers(rpmutils.DIRINDEXES), numbers(rpmutils.FILEMODES)
	l.flags = numbers(rpmutils.FILEFLAGS)
	sizes := rpmutils.FILESIZES
	if h.HasTag(rpmutils.LONGFILESIZES) {
		sizes = rpmutils.LONGFILESIZES
	}
	var err error
	l.size, err = h.GetUint64s(sizes)
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	for _, n := range []int{len(l.digest), len(l.target), len(l.dirIndex), len(l.mode), len(l.flags), len(l.size)} {
		if n != len(l.base) {
			return errors.New("its parts differ in length")
		}
	}
	return nil
}

// absolute makes one form of the names in headers (/usr/src) and archives (./usr/src, of other tools also /usr/src).
func absolute(name string) string {
	if strings.HasPrefix(name, "./") {
		name = name[1:]
	}
	return "/" + strings.TrimPrefix(name, "/")
}
