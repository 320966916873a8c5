package rpm

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/rpmpack"
	"github.com/sassoftware/go-rpmutils/cpio"

	"neuron-kmod/internal/kmod/rpm/rpmtest"
)

// walkGzip walks a payload that is compressed with gzip.
func walkGzip(p *Package) Walk {
	return func(visit func(Entry, io.Reader) error) error {
		z, err := gzip.NewReader(p.Payload())
		if err != nil {
			return err
		}
		for r := cpio.NewReader(z); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := visit(Entry{Name: h.Filename(), Mode: uint32(h.Mode()), Size: int64(h.Filesize())}, r); err != nil {
				return err
			}
		}
	}
}

func verify(ctx context.Context, data []byte, ring Keyring) (Proof, error) {
	p, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return Proof{}, err
	}
	return p.Verify(ctx, ring, walkGzip(p))
}

func ringOf(t testing.TB, keys ...*rpmtest.Key) Keyring {
	t.Helper()
	var ring Keyring
	for _, k := range keys {
		data, err := k.Public()
		if err != nil {
			t.Fatal(err)
		}
		ring = append(ring, must(ParseKeyring(data))...)
	}
	return ring
}

// ed25519Key is a key of the kind that gpg makes by default, which signs in version 4 alone.
func ed25519Key(t testing.TB, config packet.Config) *rpmtest.Key {
	t.Helper()
	config.Algorithm = packet.PubKeyAlgoEdDSA
	config.Time = func() time.Time { return time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC) }
	return rpmtest.EntityKey(must(openpgp.NewEntity("Curve", "", "", &config)))
}

var testFiles = files{"/usr/src/x/Kbuild": "obj-m += x.o\n", "/usr/src/x/x.c": "int x;\n", "/usr/share/empty": ""}

// R3.1: a package is accepted by a signature over header and payload, or by one over the header whose digests the files
// have; by packets of either version, of RSA and of newer keys.
func TestVerify(t *testing.T) {
	key, curve := must(firstKey()), ed25519Key(t, noExpiry)
	ring := ringOf(t, must(secondKey()), key, curve)
	pkg := packFiles(t,
		rpmpack.RPMFile{Name: "/usr/src/x", Mode: 0o40755},
		rpmpack.RPMFile{Name: "/usr/src/x/Kbuild", Mode: 0o755, Body: []byte("obj-m += x.o\n")},
		rpmpack.RPMFile{Name: "/usr/src/x/link", Mode: 0o120777, Body: []byte("Kbuild")},
		rpmpack.RPMFile{Name: "/usr/src/x/ghost", Mode: 0o644, Type: rpmpack.GhostFile},
	)
	sha512 := func(data []byte) ([]byte, error) { return key.V4Type(data, packet.SigTypeBinary, crypto.SHA512, 0) }
	other := func(data []byte) ([]byte, error) { return must(rpmtest.NewKey("Unknown")).V4(data) }
	by := rpmtest.By
	type signatures []rpmtest.Signature
	tests := map[string]struct {
		signatures signatures
		headerOnly bool
		key        *rpmtest.Key
	}{
		"version 3":                {signatures{by(rpmtest.TagRSA, key.V3), by(rpmtest.TagPGP, key.V3)}, false, key},
		"version 4":                {signatures{by(rpmtest.TagRSA, key.V4), by(rpmtest.TagPGP, key.V4)}, false, key},
		"payload only":             {signatures{by(rpmtest.TagPGP, key.V3)}, false, key},
		"header only, version 3":   {signatures{by(rpmtest.TagRSA, key.V3)}, true, key},
		"header only, version 4":   {signatures{by(rpmtest.TagRSA, key.V4)}, true, key},
		"SHA-512":                  {signatures{by(rpmtest.TagPGP, sha512)}, false, key},
		"Ed25519":                  {signatures{by(rpmtest.TagGPG, curve.V4)}, false, curve},
		"Ed25519, header only":     {signatures{by(rpmtest.TagDSA, curve.V4)}, true, curve},
		"rpm 4.20's own tag":       {signatures{by(rpmtest.TagOpenPGP, curve.V4)}, true, curve},
		"another key signed, too":  {signatures{by(rpmtest.TagGPG, other), by(rpmtest.TagPGP, key.V4)}, false, key},
		"what cannot be read, too": {signatures{by(rpmtest.TagGPG, fixed([]byte{1})), by(rpmtest.TagPGP, key.V4)}, false, key},
	}
	digests := map[string]bool{}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			proof, err := verify(t.Context(), must(rpmtest.Sign(pkg, tt.signatures...)), ring)
			if err != nil {
				t.Fatal(err)
			}
			if proof.HeaderOnly != tt.headerOnly || proof.Key.Fingerprint != tt.key.Fingerprint() {
				t.Errorf("got %+v, want header only %t and key %s", proof, tt.headerOnly, tt.key.Fingerprint())
			}
			if want := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC); !proof.Signed.Equal(want) {
				t.Errorf("signed at %s, want %s", proof.Signed, want)
			}
			digests[proof.Digest] = true
		})
	}
	if len(digests) != 1 {
		t.Errorf("digests %v: signing anew changes them", digests)
	}
}

func fixed(data []byte) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return data, nil }
}

// R3.1: what is not proven is refused, and the error says why.
func TestVerifyRefuses(t *testing.T) {
	key, unknown := must(firstKey()), must(secondKey())
	ring := ringOf(t, key)
	pkg := pack(t, testFiles)
	sign := func(pkg []byte, tag uint32, with func([]byte) ([]byte, error)) []byte {
		return must(rpmtest.Sign(pkg, rpmtest.Signature{Tag: tag, Make: with}))
	}
	pgp := func(with func([]byte) ([]byte, error)) []byte { return sign(pkg, rpmtest.TagPGP, with) }
	_, header, payload, err := rpmtest.Split(pkg)
	if err != nil {
		t.Fatal(err)
	}
	whole := slices.Concat(header, payload)
	v3, v4 := must(key.V3(whole)), must(key.V4(whole))
	// with is the signed header, and the payload of a package with other files.
	with := func(content ...rpmpack.RPMFile) []byte {
		signed := sign(pkg, rpmtest.TagRSA, key.V4)
		_, _, payload, err := rpmtest.Split(packFiles(t, content...))
		if err != nil {
			t.Fatal(err)
		}
		_, _, old, err := rpmtest.Split(signed)
		return append(signed[:len(signed)-len(old):len(signed)-len(old)], must(payload, err)...)
	}
	file := func(name, text string, mode uint) rpmpack.RPMFile {
		return rpmpack.RPMFile{Name: name, Body: []byte(text), Mode: mode}
	}
	empty, source := file("/usr/share/empty", "", 0o644), file("/usr/src/x/x.c", "int x;\n", 0o644)
	kbuild := file("/usr/src/x/Kbuild", "obj-m += x.o\n", 0o644)
	typed := func(typ packet.SignatureType, with crypto.Hash, lifetime time.Duration) func([]byte) ([]byte, error) {
		return func(data []byte) ([]byte, error) { return key.V4Type(data, typ, with, lifetime) }
	}
	number := func(n byte, packet []byte, at int) []byte { p := slices.Clone(packet); p[at] = n; return p }
	changedHeader := bytes.Replace(pkg, []byte("noarch"), []byte("x86_64"), 1)
	changedPayload := slices.Clone(pkg)
	changedPayload[len(pkg)-20] ^= 1
	noDigests := rpmtest.Package(
		[]rpmtest.Tag{rpmtest.StringTag(1000, "x"), rpmtest.StringsTag(1117, "Kbuild")}, payload)
	noFiles := rpmtest.Package([]rpmtest.Tag{rpmtest.StringTag(1000, "x")}, payload)
	curve := ed25519Key(t, packet.Config{KeyLifetimeSecs: 3600})
	goodAndBad := must(rpmtest.Sign(pkg,
		rpmtest.By(rpmtest.TagPGP, key.V4), rpmtest.By(rpmtest.TagRSA, fixed(v4))))
	textV3 := func(data []byte) ([]byte, error) { return key.V3Type(data, 1) }
	linked := rpmpack.RPMFile{Name: "/usr/src/x/Kbuild", Mode: 0o120777, Body: []byte("/etc/passwd")}

	tests := map[string]struct {
		data []byte
		ring Keyring
		want string
	}{
		"no signature": {pkg, ring, "it is not signed"},
		"another key": {
			pgp(unknown.V4),
			ring, "is signed by the key " + unknown.Fingerprint() + ", which is not " + key.Fingerprint() + " (First",
		},
		"another key, version 3": {pgp(unknown.V3), ring, "is signed by the key " + unknown.Fingerprint()[24:]},
		"AWS's key is asked for": {
			pgp(key.V3),
			Neuron(), "which is not 00FA2C1079260870A76D2C285749CAD8646D9185 (Amazon AWS Neuron",
		},
		"no key": {pgp(key.V3), nil, "is signed by the key"},
		"changed payload": {
			sign(changedPayload, rpmtest.TagPGP, fixed(v4)),
			ring, "over the header and payload by " + key.Fingerprint(),
		},
		"changed payload, 3": {
			sign(changedPayload, rpmtest.TagPGP, fixed(v3)),
			ring, "changed after it had been signed",
		},
		"changed header": {
			sign(changedHeader, rpmtest.TagPGP, fixed(v4)),
			ring, "changed after it had been signed",
		},
		"changed header, 3": {
			sign(changedHeader, rpmtest.TagPGP, fixed(v3)),
			ring, "changed after it had been signed",
		},
		"more payload": {
			sign(append(slices.Clone(pkg), 0), rpmtest.TagPGP, fixed(v3)),
			ring, "changed after it had been signed",
		},
		"another's signature": {
			sign(pkg, rpmtest.TagRSA, fixed(v3)),
			ring, "over the header by " + key.Fingerprint(),
		},
		"a good one and a bad one": {goodAndBad, ring, "over the header by " + key.Fingerprint()},
		"a text's signature":       {pgp(typed(packet.SigTypeText, crypto.SHA256, 0)), ring, "it is of type 0x1"},
		"a text's, version 3":      {pgp(textV3), ring, "it is of type 0x1"},
		"SHA-1":                    {pgp(fixed(number(2, v4, 3+3))), ring, "not made with SHA-256"},
		"SHA-1, version 3":         {pgp(fixed(number(2, v3, 3+16))), ring, "not made with SHA-256"},
		"DSA, version 3":           {pgp(fixed(number(17, v3, 3+15))), ring, "only RSA"},
		"version 5":                {pgp(fixed(number(5, v4, 3))), ring, "it is of version 5"},
		"an expired signature":     {pgp(typed(packet.SigTypeBinary, crypto.SHA256, time.Hour)), ring, "has expired"},
		"an expired key":           {pgp(curve.V4), ringOf(t, curve), "had expired"},
		"cut off":                  {pgp(fixed(v4[:40])), ring, "not one OpenPGP signature packet"},
		"two packets":              {pgp(fixed(slices.Concat(v3, v3))), ring, "not one OpenPGP signature packet"},
		"a key as signature":       {pgp(fixed(must(key.Public()))), ring, "not one OpenPGP signature packet"},
		"junk":                     {pgp(fixed([]byte("junk"))), ring, "cannot be read"},
		"a huge one":               {pgp(fixed(make([]byte, 9000))), ring, "at most 8192"},
		"a number too short":       {pgp(fixed(number(1, v3, 3+19))), ring, "not as long as it says"},
		"header: no digests": {
			sign(noDigests, rpmtest.TagRSA, key.V4),
			ring, "only its header is signed, and it has no SHA-256 digests",
		},
		"header: no files": {sign(noFiles, rpmtest.TagRSA, key.V4), ring, "it lists no files"},
		"header: a changed file": {
			with(empty, kbuild, file("/usr/src/x/x.c", "int y;\n", 0o644)),
			ring, `"/usr/src/x/x.c" is not the file of which it has the digest`,
		},
		"header: a longer file": {
			with(file("/usr/share/empty", "more", 0o644), kbuild, source),
			ring, `"/usr/share/empty" is not the file`,
		},
		"header: a file beside": {
			with(empty, kbuild, source, file("/usr/src/x/y.c", "", 0o644)),
			ring, `the payload has "/usr/src/x/y.c", which the header does not list`,
		},
		"header: a file is missing": {with(empty, kbuild), ring, `the payload lacks "/usr/src/x/x.c"`},
		"header: another mode": {
			with(empty, file("/usr/src/x/Kbuild", "obj-m += x.o\n", 0o755), source),
			ring, `"/usr/src/x/Kbuild" has mode 0100755 in the payload`,
		},
		"header: a link instead": {with(empty, linked, source), ring, "has mode 0120777"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			proof, err := verify(t.Context(), tt.data, tt.ring)
			if refusal, ok := errors.AsType[*UntrustedError](err); !ok || !strings.Contains(refusal.Reason, tt.want) {
				t.Errorf("got %+v and error %v, want a refusal with %q", proof, err, tt.want)
			}
		})
	}
}

// R3.1: no byte of what is signed can be changed, whichever it is.
func TestVerifyEveryByte(t *testing.T) {
	key := must(firstKey())
	ring := ringOf(t, key)
	pkg := pack(t, testFiles)
	for name, sign := range map[string]func([]byte) ([]byte, error){"version 3": key.SignV3, "version 4": key.SignV4} {
		t.Run(name, func(t *testing.T) {
			signed := must(sign(pkg))
			_, header, payload, err := rpmtest.Split(signed)
			if err != nil {
				t.Fatal(err)
			}
			for i := len(signed) - len(header) - len(payload); i < len(signed); i++ {
				changed := slices.Clone(signed)
				changed[i] ^= 0x10
				if _, err := verify(t.Context(), changed, ring); err == nil {
					t.Fatalf("byte %d of %d is changed: no error", i, len(signed))
				}
			}
		})
	}
}

// R8.1: a check of a large package ends when it is told to.
func TestVerifyCancelled(t *testing.T) {
	key := must(firstKey())
	signed := must(key.SignV4(pack(t, testFiles)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := verify(ctx, signed, ringOf(t, key)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
