package rpm

import (
	"bufio"
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
	"unicode"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Keyring holds the keys whose signatures count.
type Keyring []Key

// Key is an OpenPGP key that signs packages.
type Key struct {
	Fingerprint string // of the primary key, 40 hexadecimal digits in capitals
	UserID      string // such as "Name <address>", as the key says; "" if it does not

	signing []signingKey
}

// signingKey is the primary key or a subkey that may sign.
type signingKey struct {
	public  *packet.PublicKey
	expires time.Time // zero for never
}

func (k Key) String() string {
	if k.UserID == "" {
		return k.Fingerprint
	}
	return k.Fingerprint + " (" + k.UserID + ")"
}

func (ring Keyring) String() string {
	names := make([]string, len(ring))
	for i, k := range ring {
		names[i] = k.String()
	}
	return strings.Join(names, ", ")
}

// find returns the key that a signature says it is of.
func (ring Keyring) find(s *signature) (Key, signingKey, bool) {
	for _, k := range ring {
		for _, candidate := range k.signing {
			switch {
			case s.fingerprint != nil && bytes.Equal(s.fingerprint, candidate.public.Fingerprint),
				s.fingerprint == nil && s.issuer == candidate.public.KeyId:
				return k, candidate, true
			}
		}
	}
	return Key{}, signingKey{}, false
}

// The key that AWS signs the Neuron packages with, RSA of 2,048 bits without expiry, from
// https://yum.repos.neuron.amazonaws.com/GPG-PUB-KEY-AMAZON-AWS-NEURON.PUB.
const (
	neuronUserID   = "Amazon AWS Neuron <neuron-maintainers@amazon.com>"
	neuronCreated  = 1573493367 // 2019-11-11 17:29:27 UTC
	neuronExponent = 65537
	neuronModulus  = "" +
		"b269a5959d31a749bc87cd0e3334b8077b7f7b0860f0d332688a6bde74c90ba5b4e9aa09c8502934f4ba0d6ff176e17d" +
		"8614301ccb6a8504589ad6363c70ec1c3a8556b217d280b6796f97dc2ee138701fe1eb76c8dcf446b2be6e558f7c6ae2" +
		"c4e09e9e5c45a9b823d137c081affa4e12dbc35f97c4911209b2d396bc2eafa40b154cafa08ed07ed398a23638504983" +
		"4276553cf60047369343c7f0ed60c5bbaf03d9b449144399f6453cf9bcd222b983cc1a2c29730ed347b37a924e1f565c" +
		"838997fc054e1a91571e00afbd10c87d5238ec99a29b70cfe2516fa895abead716e58ccafa1e0fde54cd07bbbf03eb63" +
		"15e491a850e73cc3bf083510305eddb5"
)

// Neuron returns the key of AWS's Neuron packages, which is built in.
func Neuron() Keyring {
	n, ok := new(big.Int).SetString(neuronModulus, 16)
	if !ok {
		panic("the built-in key is not a number")
	}
	public := packet.NewRSAPublicKey(time.Unix(neuronCreated, 0), &rsa.PublicKey{N: n, E: neuronExponent})
	return Keyring{{Fingerprint: fingerprint(public), UserID: neuronUserID, signing: []signingKey{{public: public}}}}
}

func fingerprint(key *packet.PublicKey) string { return fmt.Sprintf("%X", key.Fingerprint) }

// ParseKeyring reads the public keys of a file, armoured or binary. It is an error if there is none, if one is revoked,
// too weak or cannot sign, and if the file holds a private key.
func ParseKeyring(data []byte) (Keyring, error) {
	entities, err := readEntities(data)
	if err != nil {
		return nil, err
	}
	var ring Keyring
	for _, e := range entities {
		k, err := newKey(e)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", fingerprint(e.PrimaryKey), err)
		}
		ring = append(ring, k)
	}
	if len(ring) == 0 {
		return nil, errors.New("there is no OpenPGP key in it")
	}
	return ring, nil
}

// readEntities reads all keys of a file, which may hold several armoured blocks.
func readEntities(data []byte) (openpgp.EntityList, error) {
	if !bytes.Contains(data, []byte("-----BEGIN PGP ")) {
		return openpgp.ReadKeyRing(bytes.NewReader(data))
	}
	var all openpgp.EntityList
	r := bufio.NewReader(bytes.NewReader(data)) // armor.Decode goes on with the same one
	for {
		block, err := armor.Decode(r)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if block.Type != openpgp.PublicKeyType && block.Type != openpgp.PrivateKeyType {
			return nil, fmt.Errorf("it holds a %q, not a public key", block.Type)
		}
		entities, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, block.Body); err != nil {
			return nil, err
		}
		all = append(all, entities...)
	}
}

// newKey takes what may sign of a key whose own signatures have been checked.
func newKey(e *openpgp.Entity) (Key, error) {
	if e.PrivateKey != nil {
		return Key{}, errors.New("it is a private key: export the public one")
	}
	if e.Revoked(time.Now()) {
		return Key{}, errors.New("it is revoked")
	}
	k := Key{Fingerprint: fingerprint(e.PrimaryKey)}
	self, identity := e.PrimarySelfSignature()
	if identity != nil {
		k.UserID = printable(identity.Name)
	}
	if self != nil && (!self.FlagsValid || self.FlagSign) {
		k.signing = append(k.signing, signingKey{public: e.PrimaryKey, expires: expiry(e.PrimaryKey, self)})
	}
	for _, sub := range e.Subkeys {
		if sub.Sig.FlagSign && !sub.Revoked(time.Now()) {
			k.signing = append(k.signing, signingKey{public: sub.PublicKey, expires: expiry(sub.PublicKey, sub.Sig)})
		}
	}
	if len(k.signing) == 0 {
		return Key{}, errors.New("it cannot sign")
	}
	for _, s := range k.signing {
		if public, ok := s.public.PublicKey.(*rsa.PublicKey); ok && public.N.BitLen() < 2048 {
			return Key{}, fmt.Errorf("it is an RSA key of %d bits; at least 2048 are needed", public.N.BitLen())
		}
		if s.public.PubKeyAlgo == packet.PubKeyAlgoDSA {
			return Key{}, errors.New("it is a DSA key, which is too weak")
		}
	}
	return k, nil
}

// printable leaves out what could do more than be read.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// expiry returns when a key expires by its own signature.
func expiry(key *packet.PublicKey, self *packet.Signature) time.Time {
	if self.KeyLifetimeSecs == nil || *self.KeyLifetimeSecs == 0 {
		return time.Time{}
	}
	return key.CreationTime.Add(time.Duration(*self.KeyLifetimeSecs) * time.Second)
}
