package rpm

import (
	"bytes"
	"crypto/rsa"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"neuron-kmod/internal/kmod/rpm/rpmtest"
)

// R3.1: the built-in key is the one that AWS publishes: its fingerprint follows from all of its figures.
func TestNeuron(t *testing.T) {
	ring := Neuron()
	if len(ring) != 1 {
		t.Fatalf("%d keys, want 1", len(ring))
	}
	const want = "00FA2C1079260870A76D2C285749CAD8646D9185"
	if ring[0].Fingerprint != want {
		t.Errorf("fingerprint %s, want %s", ring[0].Fingerprint, want)
	}
	signing := ring[0].signing
	if len(signing) != 1 || fingerprint(signing[0].public) != want || !signing[0].expires.IsZero() {
		t.Errorf("it signs with %+v, want the key itself without expiry", signing)
	}
	if public, ok := signing[0].public.PublicKey.(*rsa.PublicKey); !ok || public.N.BitLen() != 2048 {
		t.Errorf("it is %T, want an RSA key of 2048 bits", signing[0].public.PublicKey)
	}
}

// R3.1: a key's file may be armoured or binary, and hold several.
func TestParseKeyring(t *testing.T) {
	first, second := must(firstKey()), must(secondKey())
	armoured := [][]byte{must(first.Armoured()), must(second.Armoured())}
	binary := [][]byte{must(first.Public()), must(second.Public())}
	for name, data := range map[string][]byte{
		"binary": slices.Concat(binary...), "armoured": slices.Concat(armoured...),
		"one block": slices.Concat([]byte("Our keys:\n\n"), enarmour(openpgp.PublicKeyType, slices.Concat(binary...))),
	} {
		ring, err := ParseKeyring(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := first.Fingerprint() + " (First <key@test.invalid>), " + second.Fingerprint() + " (Second <key@test.invalid>)"
		if ring.String() != want {
			t.Errorf("%s: got %s, want %s", name, ring, want)
		}
	}
}

func enarmour(typ string, data []byte) []byte {
	var out bytes.Buffer
	w := must(armor.Encode(&out, typ, nil))
	must(w.Write(data))
	must(0, w.Close())
	return out.Bytes()
}

// A signing subkey signs for its key.
func TestSubkey(t *testing.T) {
	made := func() time.Time { return time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC) }
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: made}
	e := must(openpgp.NewEntity("Main", "", "", config))
	must(0, e.AddSigningSubkey(config))
	var public bytes.Buffer
	must(0, e.Serialize(&public))
	sub := &openpgp.Entity{PrimaryKey: e.Subkeys[1].PublicKey, PrivateKey: e.Subkeys[1].PrivateKey}
	signed := must(rpmtest.EntityKey(sub).SignPayload(pack(t, testFiles)))
	proof, err := verify(t.Context(), signed, must(ParseKeyring(public.Bytes())))
	if err != nil || proof.Key.Fingerprint != fingerprint(e.PrimaryKey) {
		t.Errorf("got key %s and error %v, want %X", proof.Key, err, e.PrimaryKey.Fingerprint)
	}
}

// R3.1: a file that is no keyring, or whose key is none to trust, is refused with the reason.
func TestParseKeyringRefuses(t *testing.T) {
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA}
	revoked := must(openpgp.NewEntity("Revoked", "", "", config))
	must(0, revoked.RevokeKey(packet.KeyCompromised, "", config))
	var revokedKey bytes.Buffer
	must(0, revoked.Serialize(&revokedKey))
	good, armoured := must(must(firstKey()).Public()), must(must(firstKey()).Armoured())
	tests := map[string]struct {
		data []byte
		want string
	}{
		"nothing":              {nil, "no OpenPGP key"},
		"a web page":           {[]byte("<html>"), "openpgp"},
		"a private key":        {must(must(firstKey()).Private()), "it is a private key"},
		"a signature":          {enarmour(openpgp.SignatureType, good), `it holds a "PGP SIGNATURE"`},
		"damaged armour":       {bytes.Replace(armoured, []byte("\n\n"), []byte("\n\nAAAA"), 1), "openpgp"},
		"cut off":              {good[:100], "EOF"},
		"a key without a name": {good[:272], "identit"},
		"a revoked key":        {revokedKey.Bytes(), "it is revoked"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ring, err := ParseKeyring(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v and error %v, want one with %q", ring, err, tt.want)
			}
		})
	}
}
