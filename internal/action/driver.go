package action

import (
	"fmt"
	"path/filepath"

	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/kmod/rpm"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/limit"
	"neuron-kmod/internal/version"
)

// fetcher gets the driver's packages that are signed by one of the keys, or by AWS's if there are none, and that are those
// that the matrix pins.
func (s *session) fetcher(source string, keys rpm.Keyring, pinned []matrix.Entry) *driver.Fetcher {
	return &driver.Fetcher{
		HTTP: s.http, Source: source, Keys: keys, Pins: pins(pinned),
		Cache: filepath.Join(s.env.Settings.CacheDir, "drivers"), Log: s.env.Log,
	}
}

// pins are the packages that entries of the matrix pin.
func pins(entries []matrix.Entry) map[version.Driver]driver.Pin {
	pins := map[version.Driver]driver.Pin{}
	for _, e := range entries {
		if p := e.Package; p.Digest != "" {
			pins[e.Driver] = driver.Pin{Digest: p.Digest, Place: p.Pos.String()}
		}
	}
	return pins
}

// maxKeyFile bounds a file of OpenPGP keys, of which one takes some 2 kB.
const maxKeyFile = 1 << 20

// driverKeys reads the keys of --driver-key.
func driverKeys(files []string) (rpm.Keyring, error) {
	var keys rpm.Keyring
	for _, file := range files {
		data, err := limit.ReadFile(file, maxKeyFile)
		if err != nil {
			return nil, fault.AsUsage(fmt.Errorf("--driver-key: %w", err))
		}
		ring, err := rpm.ParseKeyring(data)
		if err != nil {
			return nil, fault.AsUsage(fmt.Errorf("--driver-key %s: %w", file, err))
		}
		keys = append(keys, ring...)
	}
	return keys, nil
}
