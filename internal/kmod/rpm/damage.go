package rpm

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	rpmutils "github.com/sassoftware/go-rpmutils"
)

// CheckDamage compares the file with the length and the digests that it states, where there are any. It tells damage,
// not forgery: whoever can write the payload can write them. Packages made before rpm 4.14 have an MD5 in the signature
// header, later ones a digest of the payload in the main header.
func (p *Package) CheckDamage(ctx context.Context) error {
	length := p.size - p.header
	if n, err := p.Header.GetUint32s(rpmutils.SIG_SIZE); err == nil && len(n) == 1 && int64(n[0]) != length {
		return fmt.Errorf("its payload is damaged: header and payload have %d bytes, %d are announced", length, n[0])
	}
	if !p.Header.HasTag(rpmutils.PAYLOADDIGEST) {
		want, err := p.Header.GetBytes(rpmutils.SIG_MD5)
		if err != nil {
			return nil
		}
		return p.compareDigest(ctx, md5.New(), p.header, hex.EncodeToString(want))
	}
	algorithm, err := p.Header.GetUint32s(rpmutils.PAYLOADDIGESTALGO)
	if err != nil {
		return fmt.Errorf("its payload digest: %w", err)
	}
	want, err := p.Header.GetStrings(rpmutils.PAYLOADDIGEST)
	if err != nil {
		return fmt.Errorf("its payload digest: %w", err)
	}
	if len(algorithm) != 1 || algorithm[0] != sha256Algo || len(want) == 0 {
		return nil
	}
	return p.compareDigest(ctx, sha256.New(), p.payload, want[0])
}

// compareDigest compares the digest from an offset to the end, in hexadecimal digits, with what the package states.
func (p *Package) compareDigest(ctx context.Context, sum hash.Hash, start int64, want string) error {
	if err := p.hashTo(ctx, sum, start, p.size); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("its payload is damaged: the digest is %s, the header says %.64q", got, want)
	}
	return nil
}
