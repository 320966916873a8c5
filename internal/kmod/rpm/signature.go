package rpm

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// maxSignature bounds one signature packet, in bytes: that of a key of 16,384 bits takes about 2,100.
const maxSignature = 8 << 10

// binaryDocument is the type of a signature over bytes as they are (RFC 4880, 5.2.1). Any other type is a statement
// about something else, such as a key.
const binaryDocument = 0x00

// hashes are those that a signature may be made with, by their numbers in OpenPGP (RFC 4880, 9.4).
var hashes = map[byte]crypto.Hash{8: crypto.SHA256, 9: crypto.SHA384, 10: crypto.SHA512}

// signature is one OpenPGP signature of which nothing has been proven yet.
type signature struct {
	hash        crypto.Hash
	created     time.Time
	expires     time.Time // zero for never
	issuer      uint64    // key ID; 0 if there is only the fingerprint
	fingerprint []byte    // of the issuer; nil in version 3
	// verify tells whether the key has signed the bytes that were written to the hash, which it changes.
	verify func(key *packet.PublicKey, signed hash.Hash) error
}

// parseSignature reads the one signature packet that data is, of version 3 or 4.
func parseSignature(data []byte) (*signature, error) {
	if len(data) > maxSignature {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(data), maxSignature)
	}
	body, err := packetBody(data)
	if err != nil {
		return nil, err
	}
	switch body[0] {
	case 3:
		return parseV3(body)
	case 4:
		return parseV4(data)
	}
	return nil, fmt.Errorf("it is of version %d; 3 and 4 are read", body[0])
}

// packetBody returns the body, which has at least one byte, of the signature packet that data is from its first byte to
// its last (RFC 4880, 4.2).
func packetBody(data []byte) ([]byte, error) {
	const signatureTag = 2
	malformed := errors.New("it is not one OpenPGP signature packet")
	if len(data) < 2 || data[0]&0x80 == 0 {
		return nil, malformed
	}
	tag, size, start := data[0]&0x3f, 0, 0
	if data[0]&0x40 == 0 { // the old format: the tag's low bits say how long the length is
		tag, start = tag>>2, 1+1<<(data[0]&3)
		if data[0]&3 == 3 || len(data) < start {
			return nil, malformed
		}
		for _, b := range data[1:start] {
			size = size<<8 | int(b)
		}
	} else {
		switch first := int(data[1]); {
		case first < 192:
			size, start = first, 2
		case first < 224 && len(data) >= 3:
			size, start = (first-192)<<8+int(data[2])+192, 3
		case first == 255 && len(data) >= 6:
			size, start = int(binary.BigEndian.Uint32(data[2:])), 6
		default: // cut off, or in parts, which signatures never are
			return nil, malformed
		}
	}
	if tag != signatureTag || size == 0 || size != len(data)-start {
		return nil, malformed
	}
	return data[start:], nil
}

// parseV3 reads a signature of version 3 (RFC 4880, 5.2.2), which rpm up to 4.13 makes of RSA keys and no maintained
// library reads any more: version, 5, type, time, key ID, two algorithms, two bytes of the digest, a number.
func parseV3(body []byte) (*signature, error) {
	const fixed = 19
	if len(body) < fixed+2 || body[1] != 5 {
		return nil, errors.New("it is cut off")
	}
	signed := body[2:7] // type and time are hashed after the document
	sig := &signature{
		hash: hashes[body[16]], created: time.Unix(int64(binary.BigEndian.Uint32(body[3:7])), 0),
		issuer: binary.BigEndian.Uint64(body[7:15]),
	}
	if err := sig.check(body[2]); err != nil {
		return nil, err
	}
	switch algorithm := packet.PublicKeyAlgorithm(body[15]); algorithm {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
	default:
		return nil, fmt.Errorf("it is of version 3 with the key algorithm %d; only RSA is read there", algorithm)
	}
	prefix, number := body[17:fixed], body[fixed+2:]
	if bits := int(binary.BigEndian.Uint16(body[fixed:])); len(number) != (bits+7)/8 {
		return nil, errors.New("its number is not as long as it says")
	}
	sig.verify = func(key *packet.PublicKey, h hash.Hash) error {
		public, ok := key.PublicKey.(*rsa.PublicKey)
		if !ok || len(number) > public.Size() {
			return errors.New("it is not of the key's kind")
		}
		h.Write(signed)
		digest := h.Sum(nil)
		if !bytes.HasPrefix(digest, prefix) {
			return errors.New("the digest is another one")
		}
		return rsa.VerifyPKCS1v15(public, sig.hash, digest, append(make([]byte, public.Size()-len(number)), number...))
	}
	return sig, nil
}

// parseV4 reads a signature of version 4 (RFC 4880, 5.2.3).
func parseV4(data []byte) (*signature, error) {
	p, err := packet.Read(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	v4, ok := p.(*packet.Signature)
	if !ok {
		return nil, errors.New("it is not a signature")
	}
	sig := &signature{hash: v4.Hash, created: v4.CreationTime, fingerprint: v4.IssuerFingerprint}
	if v4.IssuerKeyId != nil {
		sig.issuer = *v4.IssuerKeyId
	}
	if v4.SigLifetimeSecs != nil && *v4.SigLifetimeSecs > 0 {
		sig.expires = sig.created.Add(time.Duration(*v4.SigLifetimeSecs) * time.Second)
	}
	sig.verify = func(key *packet.PublicKey, h hash.Hash) error { return key.VerifySignature(h, v4) }
	return sig, sig.check(byte(v4.SigType))
}

// check refuses what no package may be signed with.
func (s *signature) check(typ byte) error {
	if typ != binaryDocument {
		return fmt.Errorf("it is of type %#x, not one over bytes", typ)
	}
	for _, h := range hashes {
		if s.hash == h {
			return nil
		}
	}
	return errors.New("it is not made with SHA-256, SHA-384 or SHA-512")
}

// keyName names the key that a signature says it is of.
func (s *signature) keyName() string {
	if s.fingerprint != nil {
		return fmt.Sprintf("%X", s.fingerprint)
	}
	return fmt.Sprintf("%016X", s.issuer)
}
