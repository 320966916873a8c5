package lab

import (
	"path/filepath"
	"sync"

	"github.com/google/renameio/v2"

	"neuron-kmod/internal/kmod/rpm/rpmtest"
)

// driverKey signs the lab's driver packages. It is the same everywhere, so that a spec gives the same bytes; no program
// trusts it that is not told to.
var driverKey = sync.OnceValues(func() (*rpmtest.Key, error) { return rpmtest.FixedKey("neuron-kmod lab") })

// SignRPM signs a package with the lab's key, by packets of version 3 as AWS does, or 4 as newer tools do.
func SignRPM(pkg []byte, version int) ([]byte, error) {
	key, err := driverKey()
	if err != nil {
		return nil, err
	}
	if version == 4 {
		return key.SignV4(pkg)
	}
	return key.SignV3(pkg)
}

// writeDriverKey writes the public key that the lab's packages are signed with into a directory, and returns its file.
func writeDriverKey(dir string) (string, error) {
	key, err := driverKey()
	if err != nil {
		return "", err
	}
	data, err := key.Armoured()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "driver-key.asc")
	return path, renameio.WriteFile(path, data, 0o644)
}
