package rpm

import (
	"crypto"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"neuron-kmod/internal/kmod/rpm/rpmtest"
)

// What an input of 64 KiB may cost.
const (
	fuzzInput  = 64 << 10
	fuzzTime   = time.Second
	fuzzMemory = 64 << 20
)

// bounded fails the test if f takes longer, or allocates more, than a small input may cost.
func bounded(t *testing.T, f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if memory := after.TotalAlloc - before.TotalAlloc; took > fuzzTime || memory > fuzzMemory {
		t.Errorf("it took %s and %d bytes", took, memory)
	}
}

// FuzzVerify feeds whole packages: none passes but those that were signed, whatever is changed beside the signed bytes.
func FuzzVerify(f *testing.F) {
	key := must(firstKey())
	ring := append(ringOf(f, key), Neuron()...)
	pkg := pack(f, testFiles)
	digests := map[string]bool{}
	for _, sign := range []func([]byte) ([]byte, error){key.SignV3, key.SignV4, key.SignPayload, key.SignHeader} {
		signed := must(sign(pkg))
		f.Add(signed)
		digests[must(verify(f.Context(), signed, ring)).Digest] = true
	}
	f.Add(pkg)
	f.Add(must(rpmtest.Sign(pkg, rpmtest.By(rpmtest.TagOpenPGP, key.V4))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzInput {
			return
		}
		bounded(t, func() {
			proof, err := verify(t.Context(), data, ring)
			// The payload of a package whose header alone is signed may be compressed in more than one way.
			if err == nil && !proof.HeaderOnly && !digests[proof.Digest] {
				t.Errorf("accepted: %+v", proof)
			}
		})
	})
}

// FuzzSignature feeds signature packets for fixed bytes: reading them neither panics nor costs much, and no changed one
// is good for other bytes.
func FuzzSignature(f *testing.F) {
	key, curve := must(firstKey()), ed25519Key(f, noExpiry) // curve is another one in each process
	ring := ringOf(f, key, curve)
	document := []byte("signed bytes")
	for _, make := range []func([]byte) ([]byte, error){key.V3, key.V4, curve.V4} {
		f.Add(must(make(document)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, func() {
			sig, err := parseSignature(data)
			if err != nil {
				return
			}
			if !slices.Contains([]crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}, sig.hash) {
				t.Errorf("hash %v", sig.hash)
			}
			for _, k := range ring {
				h := sig.hash.New()
				_, _ = io.WriteString(h, "other bytes")
				if sig.verify(k.signing[0].public, h) == nil {
					t.Errorf("%x is good for bytes that were not signed", data)
				}
			}
		})
	})
}

// FuzzKeyring feeds key files.
func FuzzKeyring(f *testing.F) {
	key := must(firstKey())
	f.Add(must(key.Public()))
	f.Add(must(key.Armoured()))
	f.Add(must(key.Private()))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzInput {
			return
		}
		bounded(t, func() {
			ring, err := ParseKeyring(data)
			if err == nil && (len(ring) == 0 || len(ring[0].signing) == 0) {
				t.Errorf("got %+v and no error", ring)
			}
		})
	})
}
