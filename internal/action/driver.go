package action

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/kmod/rpm"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/limit"
	"neuron-kmod/internal/version"
)

// fetcher gets the driver's packages that are signed by one of the keys, or by AWS's if there are none, and that are
// those that the matrix pins.
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
	Driver  version.Driver `json:"driver"`
	Package string         `json:"package"` // the file's name
	Digest  string         `json:"digest"`  // of what is signed
	Signer  DriverSigner   `json:"signer"`
	Built   time.Time      `json:"built,omitzero"` // zero where the package does not say
	Files   []DriverFile   `json:"files"`
	Devices []DriverDevice `json:"devices"`
	Rules   []DriverRule   `json:"rules"`
}

// DriverSigner says who has signed a package, and what of it.
type DriverSigner struct {
	Fingerprint string    `json:"fingerprint"`
	UserID      string    `json:"user_id"`
	Signed      time.Time `json:"signed"`
	HeaderOnly  bool      `json:"header_only"` // the header, whose digests the files have; else header and payload
}

// DriverFile is a file of the driver's source.
type DriverFile struct {
	Name string `json:"name"` // below the source's directory
	Size int64  `json:"size"` // in bytes
}

// DriverDevice is a PCI device that the driver's source names.
type DriverDevice struct {
	Name string `json:"name"`
	ID   string `json:"id"` // "0x7364"
}

// DriverRule is a patch rule that is for the driver, on some kernels.
type DriverRule struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	From   string `json:"rhel_from"`   // the first release it is for, "" for all before
	Before string `json:"rhel_before"` // the first one after those, "" for none
	Found  int    `json:"found"`       // how often its text occurs
	Fits   bool   `json:"fits"`        // found as often as the rule expects
	Reason string `json:"reason"`
}

// Driver gets a driver's package, proves it and reads it. It blocks on the network where the package is not in the
// cache.
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
		return nil, fault.AsPrerequisite(fmt.Errorf("make a directory for the driver's source: %w", err))
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
	return newDriverResult(pkg, source, d), nil
}

func newDriverResult(pkg driver.Package, source *driver.Source, d driver.Description) *DriverResult {
	proof := pkg.Proof
	r := &DriverResult{
		Driver: pkg.Version, Package: filepath.Base(pkg.Path), Digest: proof.Digest, Built: source.Made,
		Signer: DriverSigner{
			Fingerprint: proof.Key.Fingerprint, UserID: proof.Key.UserID, Signed: proof.Signed, HeaderOnly: proof.HeaderOnly,
		},
		Files: []DriverFile{}, Devices: []DriverDevice{}, Rules: []DriverRule{},
	}
	for _, f := range d.Files {
		r.Files = append(r.Files, DriverFile(f))
	}
	for _, device := range d.Devices {
		r.Devices = append(r.Devices, DriverDevice{Name: device.Name, ID: fmt.Sprintf("%#04x", device.ID)})
	}
	for _, due := range d.Rules {
		r.Rules = append(r.Rules, DriverRule{
			Name: due.Rule.Name, File: due.Rule.File, Reason: due.Rule.Reason, Found: due.Found, Fits: due.Fits(),
			From: releaseName(due.Rule.RHEL.From), Before: releaseName(due.Rule.RHEL.Before),
		})
	}
	return r
}

// releaseName is empty for a bound that is none.
func releaseName(r kernel.Release) string {
	if r == (kernel.Release{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d", r.Major, r.Minor)
}
