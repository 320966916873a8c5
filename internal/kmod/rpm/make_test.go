package rpm

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/rpmpack"

	"neuron-kmod/internal/kmod/rpm/rpmtest"
)

// files are regular files of a package, by absolute name.
type files map[string]string

// pack makes an unsigned package as a build tool makes one.
func pack(t testing.TB, content files) []byte {
	t.Helper()
	var more []rpmpack.RPMFile
	for _, name := range slices.Sorted(maps.Keys(content)) {
		more = append(more, rpmpack.RPMFile{Name: name, Body: []byte(content[name]), Mode: 0o644})
	}
	return packFiles(t, more...)
}

func packFiles(t testing.TB, content ...rpmpack.RPMFile) []byte {
	t.Helper()
	r, err := rpmpack.NewRPM(rpmpack.RPMMetaData{Name: "test", Version: "1", Release: "1", Arch: "noarch"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range content {
		r.AddFile(f)
	}
	var buf bytes.Buffer
	if err := r.Write(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

var (
	firstKey  = sync.OnceValues(func() (*rpmtest.Key, error) { return rpmtest.FixedKey("First") })
	secondKey = sync.OnceValues(func() (*rpmtest.Key, error) { return rpmtest.FixedKey("Second") })
)

var noExpiry = packet.Config{}

// must returns what a function returns beside no error.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
