package action

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

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

// DriverRequest asks what is known of a driver's package.
type DriverRequest struct {
	Driver       string   // a version
	DriverSource string   // URL or directory of the packages
	DriverKeys   []string // files; see BuildRequest
}

// DriverResult is what is known of a driver's package, which is proven.
type DriverResult struct {
	Package     driver.Package
	Made        time.Time // when it was built; zero where it does not say
	Description driver.Description
}

// Driver gets a driver's package, proves it and reads it. It blocks on the network where the package is not in the cache.
func Driver(ctx context.Context, env Env, r DriverRequest) (*DriverResult, error) {
	v, err := version.ParseDriver(r.Driver)
	if err != nil {
		return nil, fault.AsUsage(err)
	}
	keys, err := driverKeys(r.DriverKeys)
	if err != nil {
		return nil, err
	}
	s, err := open(env, access{target: env.Settings.Target, readOnly: true})
	if err != nil {
		return nil, err
	}
	pkg, err := s.fetcher(r.DriverSource, keys, nil).Fetch(ctx, v)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(env.Settings.TempDir, "neuron-kmod-driver-")
	if err != nil {
		return nil, fault.AsPrerequisite(fmt.Errorf("make a folder for the driver's source: %w", err))
	}
	defer os.RemoveAll(dir)
	source, err := driver.Unpack(ctx, pkg, filepath.Join(dir, "source"))
	if err != nil {
		return nil, err
	}
	d, err := source.Describe()
	if err != nil {
		return nil, err
	}
	return &DriverResult{Package: pkg, Made: source.Made, Description: d}, nil
}
