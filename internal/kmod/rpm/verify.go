package rpm

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"

	"neuron-kmod/internal/platform/fault"

	rpmutils "github.com/sassoftware/go-rpmutils"
)

// Entry is a member of a package's payload, as the archive states it.
type Entry struct {
	Name string
	Mode uint32 // kind and permissions, as in stat
	Size int64
}

// Walk reads the payload from its beginning to its end and calls visit with each member in turn. It stops at the first
// error, which it returns, and bounds what it reads.
type Walk func(visit func(Entry, io.Reader) error) error

// Proof tells who vouches for a package.
type Proof struct {
	Key    Key
	Signed time.Time // when, as the signature says; in UTC
	// HeaderOnly: the signature covers the main header, whose file digests the payload was compared with; else it covers
	// header and payload.
	HeaderOnly bool
	Digest     string // Package.Digest
}

// UntrustedError is a package that no key of the keyring vouches for. Reason says what is wrong, about the package.
type UntrustedError struct{ Reason string }

func (e *UntrustedError) Error() string { return e.Reason }

// FaultKind tells that no service has failed.
func (e *UntrustedError) FaultKind() fault.Kind { return fault.Incomplete }

func untrusted(format string, args ...any) error {
	return &UntrustedError{Reason: fmt.Sprintf(format, args...)}
}

// maxHeaderSignatures bounds the signatures of tag 278, which is a list.
const maxHeaderSignatures = 16

// sigOpenPGP is the tag of header signatures that rpm writes since 4.20: base64, one for each key.
const sigOpenPGP = 278

// claim is a signature as it lies in the package.
type claim struct {
	headerOnly bool
	data       []byte
}

func (c claim) covers() string {
	if c.headerOnly {
		return "header"
	}
	return "header and payload"
}

// Verify proves that the holder of a key of the keyring has signed the package: its header and payload, or its header
// alone. In that case all that walk brings is compared with the files that the header lists, by kind, mode, size and
// SHA-256, and nothing may be missing or there beside them; walk is not called otherwise. A signature by a key of the
// keyring that does not match is an error whatever else is there. What is not proven is an *UntrustedError.
func (p *Package) Verify(ctx context.Context, keys Keyring, walk Walk) (Proof, error) {
	var (
		proof   Proof
		proven  bool
		doubts  []string
		refused = func(format string, args ...any) { doubts = append(doubts, fmt.Sprintf(format, args...)) }
	)
	for _, c := range p.claims() {
		sig, err := parseSignature(c.data)
		if err != nil {
			refused("its signature over the %s cannot be read: %v", c.covers(), err)
			continue
		}
		key, signer, known := keys.find(sig)
		if !known {
			refused("its %s is signed by the key %s, which is not %s", c.covers(), sig.keyName(), keys)
			continue
		}
		if err := p.check(ctx, c, sig, key, signer); err != nil {
			return Proof{}, err
		}
		if !proven || proof.HeaderOnly { // the one that covers more counts
			proof, proven = Proof{Key: key, Signed: sig.created.UTC(), HeaderOnly: c.headerOnly}, true
		}
	}
	if !proven {
		if len(doubts) == 0 {
			return Proof{}, untrusted("it is not signed")
		}
		return Proof{}, untrusted("%s", strings.Join(doubts, "; "))
	}
	if proof.HeaderOnly {
		if err := p.compareFiles(ctx, walk); err != nil {
			return Proof{}, err
		}
	}
	var err error
	proof.Digest, err = p.Digest(ctx)
	return proof, err
}

// claims returns the package's signatures, those over header and payload first.
func (p *Package) claims() []claim {
	var all []claim
	for _, t := range []struct {
		tag        int
		headerOnly bool
	}{{rpmutils.SIG_PGP, false}, {rpmutils.SIG_GPG, false}, {rpmutils.SIG_RSA, true}, {rpmutils.SIG_DSA, true}} {
		if data, err := p.Header.GetBytes(t.tag); err == nil {
			all = append(all, claim{t.headerOnly, data})
		} else if p.Header.HasTag(t.tag) {
			all = append(all, claim{headerOnly: t.headerOnly}) // one that cannot be read
		}
	}
	texts, err := p.Header.GetStrings(sigOpenPGP)
	if err != nil || len(texts) > maxHeaderSignatures {
		if p.Header.HasTag(sigOpenPGP) {
			all = append(all, claim{headerOnly: true})
		}
		return all
	}
	for _, text := range texts {
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			data = nil
		}
		all = append(all, claim{true, data})
	}
	return all
}

// check proves one signature by a key of the keyring.
func (p *Package) check(ctx context.Context, c claim, sig *signature, key Key, signer signingKey) error {
	switch {
	case !signer.expires.IsZero() && !sig.created.Before(signer.expires):
		return untrusted("its signature over the %s was made at %s, after the key %s had expired",
			c.covers(), sig.created.UTC().Format(time.RFC3339), key)
	case !sig.expires.IsZero() && !time.Now().Before(sig.expires):
		return untrusted("its signature over the %s by %s has expired", c.covers(), key)
	}
	end := p.size
	if c.headerOnly {
		end = p.payload
	}
	sum := sig.hash.New()
	if err := p.hashTo(ctx, sum, p.header, end); err != nil {
		return err
	}
	if err := sig.verify(signer.public, sum); err != nil {
		return untrusted("its signature over the %s by %s does not match: it was changed after it had been signed",
			c.covers(), key)
	}
	return nil
}
