package rpmtest

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// signedAt is the time of all keys and signatures, so that the same key gives the same package.
var signedAt = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Key is an OpenPGP key with its private part.
type Key struct{ entity *openpgp.Entity }

// NewKey makes an RSA key of 2,048 bits, which takes a part of a second.
func NewKey(name string) (*Key, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return namedKey(name, private)
}

// FixedKey returns the RSA key that follows from its name: the same one in every process, as fuzzing wants it. It is as
// public as this code.
func FixedKey(name string) (*Key, error) {
	private := &rsa.PrivateKey{PublicKey: rsa.PublicKey{E: 65537}}
	for _, factor := range []string{"p", "q"} {
		private.Primes = append(private.Primes, primeOf(name+factor))
	}
	one, p, q := big.NewInt(1), private.Primes[0], private.Primes[1]
	private.N = new(big.Int).Mul(p, q)
	totient := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	private.D = new(big.Int).ModInverse(big.NewInt(int64(private.E)), totient)
	if private.D == nil {
		return nil, fmt.Errorf("there is no fixed key of the name %q", name)
	}
	private.Precompute()
	return namedKey(name, private)
}

// primeOf returns the first prime of 1,024 bits after what the name's digests make.
func primeOf(name string) *big.Int {
	var digits []byte
	for i := range 4 {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, i))
		digits = append(digits, sum[:]...)
	}
	digits[0] |= 0xc0 // so that the product of two has 2,048 bits
	digits[len(digits)-1] |= 1
	n := new(big.Int).SetBytes(digits)
	for !n.ProbablyPrime(1) {
		n.Add(n, big.NewInt(2))
	}
	return n
}

func namedKey(name string, private *rsa.PrivateKey) (*Key, error) {
	key := packet.NewRSAPrivateKey(signedAt, private)
	e := &openpgp.Entity{PrimaryKey: &key.PublicKey, PrivateKey: key, Identities: map[string]*openpgp.Identity{}}
	config := &packet.Config{Time: func() time.Time { return signedAt }, DefaultHash: crypto.SHA256}
	return &Key{e}, e.AddUserId(name, "", "key@test.invalid", config)
}

// EntityKey is a key that a test has made by itself.
func EntityKey(e *openpgp.Entity) *Key { return &Key{e} }

// ReadKey reads what Private has written.
func ReadKey(data []byte) (*Key, error) {
	ring, err := openpgp.ReadKeyRing(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if len(ring) != 1 || ring[0].PrivateKey == nil {
		return nil, fmt.Errorf("there are %d keys, not one private key", len(ring))
	}
	return &Key{ring[0]}, nil
}

// Private returns the whole key, binary.
func (k *Key) Private() ([]byte, error) {
	var out bytes.Buffer
	err := k.entity.SerializePrivateWithoutSigning(&out, nil)
	return out.Bytes(), err
}

// Public returns the public key, binary.
func (k *Key) Public() ([]byte, error) {
	var out bytes.Buffer
	err := k.entity.Serialize(&out)
	return out.Bytes(), err
}

// Armoured returns the public key in its textual form.
func (k *Key) Armoured() ([]byte, error) {
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	if err != nil {
		return nil, err
	}
	if err := k.entity.Serialize(w); err != nil {
		return nil, err
	}
	err = w.Close()
	out.WriteByte('\n')
	return out.Bytes(), err
}

// Fingerprint returns the key's fingerprint, in capital hexadecimal digits.
func (k *Key) Fingerprint() string { return fmt.Sprintf("%X", k.entity.PrimaryKey.Fingerprint) }

// V4 makes a signature packet of version 4 over data.
func (k *Key) V4(data []byte) ([]byte, error) {
	return k.V4Type(data, packet.SigTypeBinary, crypto.SHA256, 0)
}

// V4Type makes one of that type and hash, which expires after a time unless that is zero.
func (k *Key) V4Type(data []byte, typ packet.SignatureType, with crypto.Hash, lifetime time.Duration) ([]byte, error) {
	key := k.entity.PrivateKey
	sig := &packet.Signature{
		Version: 4, SigType: typ, PubKeyAlgo: key.PubKeyAlgo, Hash: with, CreationTime: signedAt,
		IssuerKeyId: &key.KeyId, IssuerFingerprint: key.Fingerprint,
	}
	if seconds := uint32(lifetime / time.Second); seconds > 0 {
		sig.SigLifetimeSecs = &seconds
	}
	h := with.New()
	h.Write(data)
	if err := sig.Sign(h, key, &packet.Config{Time: func() time.Time { return signedAt }}); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err := sig.Serialize(&out)
	return out.Bytes(), err
}

// V3 makes a signature packet of version 3 over data (RFC 4880, 5.2.2), as rpm 4.11 does.
func (k *Key) V3(data []byte) ([]byte, error) { return k.V3Type(data, byte(packet.SigTypeBinary)) }

// V3Type makes one of that type.
func (k *Key) V3Type(data []byte, typ byte) ([]byte, error) {
	private, ok := k.entity.PrivateKey.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("version 3 is made with RSA keys, not with %T", k.entity.PrivateKey.PrivateKey)
	}
	signed := binary.BigEndian.AppendUint32([]byte{typ}, uint32(signedAt.Unix()))
	digest := sha256.Sum256(slices.Concat(data, signed))
	number, err := rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest[:])
	if err != nil {
		return nil, err
	}
	number = bytes.TrimLeft(number, "\x00")
	const rsaAlgorithm, sha256Number = 1, 8
	body := append([]byte{3, 5}, signed...)
	body = binary.BigEndian.AppendUint64(body, k.entity.PrimaryKey.KeyId)
	body = append(body, rsaAlgorithm, sha256Number, digest[0], digest[1])
	bits := 8 * len(number)
	for top := number[0]; top < 0x80; top <<= 1 {
		bits--
	}
	body = append(binary.BigEndian.AppendUint16(body, uint16(bits)), number...)
	return append(binary.BigEndian.AppendUint16([]byte{0x89}, uint16(len(body))), body...), nil
}

// The tags of signatures: over header and payload, and over the header.
const (
	TagPGP     = 1002
	TagGPG     = 1005
	TagDSA     = 267
	TagRSA     = 268
	TagOpenPGP = 278
)

// Signature is a signature that a package is to have: the packet that Make returns for the bytes that the tag covers.
type Signature struct {
	Tag  uint32
	Make func(data []byte) ([]byte, error)
}

// By is the signature that sign makes.
func By(tag uint32, sign func(data []byte) ([]byte, error)) Signature { return Signature{tag, sign} }

// SignV3 signs a package as the real ones are signed: header, and header and payload, by packets of version 3.
func (k *Key) SignV3(pkg []byte) ([]byte, error) {
	return Sign(pkg, Signature{TagRSA, k.V3}, Signature{TagPGP, k.V3})
}

// SignV4 signs header, and header and payload, by packets of version 4.
func (k *Key) SignV4(pkg []byte) ([]byte, error) {
	return Sign(pkg, Signature{TagRSA, k.V4}, Signature{TagPGP, k.V4})
}

// SignPayload signs header and payload alone, by a packet of version 4.
func (k *Key) SignPayload(pkg []byte) ([]byte, error) { return Sign(pkg, Signature{TagPGP, k.V4}) }

// SignHeader signs the header alone, as new versions of rpm do.
func (k *Key) SignHeader(pkg []byte) ([]byte, error) { return Sign(pkg, Signature{TagRSA, k.V4}) }

// Sign returns the package with these signatures and no others, and with the length and digests that rpm 4.11 adds.
func Sign(pkg []byte, signatures ...Signature) ([]byte, error) {
	lead, header, payload, err := Split(pkg)
	if err != nil {
		return nil, err
	}
	whole := slices.Concat(header, payload)
	digest := md5.Sum(whole)
	tags := []Tag{
		StringTag(273, fmt.Sprintf("%x", sha256.Sum256(header))),
		{1000, typeInt32, 1, binary.BigEndian.AppendUint32(nil, uint32(len(whole)))},
		BinaryTag(1004, digest[:]),
	}
	for _, s := range signatures {
		data := header
		if s.Tag == TagPGP || s.Tag == TagGPG {
			data = whole
		}
		made, err := s.Make(data)
		if err != nil {
			return nil, err
		}
		if s.Tag == TagOpenPGP {
			tags = append(tags, StringsTag(s.Tag, base64.StdEncoding.EncodeToString(made)))
		} else {
			tags = append(tags, BinaryTag(s.Tag, made))
		}
	}
	return slices.Concat(lead, signatureHeader(tags), whole), nil
}

// signatureHeader makes a header as rpm wants it: a region over all tags, which are sorted, numbers aligned; and padded
// to eight bytes, as the main header follows.
func signatureHeader(tags []Tag) []byte {
	slices.SortFunc(tags, func(a, b Tag) int { return cmp.Compare(a.Tag, b.Tag) })
	count := uint32(len(tags) + 1)
	var index, data []byte
	entry := func(tag, typ, offset, n uint32) []byte {
		var b []byte
		for _, v := range []uint32{tag, typ, offset, n} {
			b = binary.BigEndian.AppendUint32(b, v)
		}
		return b
	}
	for _, t := range tags {
		if t.Type == typeInt32 {
			data = append(data, make([]byte, (4-len(data)%4)%4)...)
		}
		index = append(index, entry(t.Tag, t.Type, uint32(len(data)), t.Count)...)
		data = append(data, t.Data...)
	}
	const region = 62 // HEADERSIGNATURES
	index = append(entry(region, typeBinary, uint32(len(data)), tagSize), index...)
	data = append(data, entry(region, typeBinary, -count*tagSize, tagSize)...)
	h := append(slices.Clone(headerMagic), 0, 0, 0, 0)
	h = binary.BigEndian.AppendUint32(h, count)
	h = binary.BigEndian.AppendUint32(h, uint32(len(data)))
	h = slices.Concat(h, index, data)
	return append(h, make([]byte, (8-len(h)%8)%8)...)
}
