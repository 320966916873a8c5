// Package matrix holds the build matrix, build-matrix.json: which driver is built for which OpenShift releases. It
// parses the file and narrows it to what the user asked for. It knows nothing of images, kernels or what is published.
//
// The file is a list of objects such as {"driver": "2.24.7.0", "ocp_versions": ["4.20", "4.21.3"]}, where "4.20" is
// every release of that minor.
package matrix

import (
	"errors"
	"io/fs"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/jsonfile"
	"neuron-kmod/internal/version"
)

// The keys of an entry.
const (
	keyDriver   = "driver"
	keyReleases = "ocp_versions"
)

// Matrix is a build matrix. It has at least one entry, and each driver once.
type Matrix struct {
	Path    string // as it was given; names the file in errors
	Entries []Entry
}

// Entry is one driver and the releases it is built for.
type Entry struct {
	Driver    version.Driver
	Selectors []version.Selector // at least one; no release is selected twice
	Pos       jsonfile.Position  // of the driver's version
}

// Load reads the matrix at path. An error of its contents is a *jsonfile.Error; one of the file system wraps that.
func Load(path string) (*Matrix, error) {
	data, err := jsonfile.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, "Write it, or name another file with --matrix.")
	}
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse reads a matrix; name is the file's name in errors, each of which is a *jsonfile.Error.
func Parse(name string, data []byte) (*Matrix, error) {
	root, err := jsonfile.Parse(name, data)
	if err != nil {
		return nil, err
	}
	values, err := root.List("drivers")
	if err != nil {
		return nil, err
	}
	m := &Matrix{Path: name}
	first := map[version.Driver]jsonfile.Position{}
	for _, v := range values {
		e, err := parseEntry(v)
		if err != nil {
			return nil, err
		}
		if pos, ok := first[e.Driver]; ok {
			return nil, e.Pos.Errorf("driver %s is here twice, first in line %d: put all its releases into one entry", e.Driver,
				pos.Line)
		}
		first[e.Driver] = e.Pos
		m.Entries = append(m.Entries, e)
	}
	return m, nil
}

func parseEntry(v jsonfile.Value) (Entry, error) {
	obj, err := v.Object(keyDriver, keyReleases)
	if err != nil {
		return Entry{}, err
	}
	driver, err := obj.Get(keyDriver)
	if err != nil {
		return Entry{}, err
	}
	releases, err := obj.Get(keyReleases)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Pos: driver.Pos}
	if e.Driver, err = jsonfile.ParseText(driver, version.ParseDriver); err != nil {
		return Entry{}, err
	}
	e.Selectors, err = parseSelectors(releases)
	return e, err
}

func parseSelectors(v jsonfile.Value) ([]version.Selector, error) {
	values, err := v.List("OpenShift releases")
	if err != nil {
		return nil, err
	}
	var selectors []version.Selector
	for _, v := range values {
		s, err := jsonfile.ParseText(v, version.ParseSelector)
		if err != nil {
			return nil, err
		}
		for _, earlier := range selectors {
			if s == earlier {
				return nil, v.Pos.Errorf("%s is here twice: take one out", s)
			}
			if both, ok := s.Intersect(earlier); ok {
				return nil, v.Pos.Errorf("%s is here twice, because %s and %s both select it: take one out", both, earlier, s)
			}
		}
		selectors = append(selectors, s)
	}
	return selectors, nil
}

// Drivers returns the drivers in the file's order.
func (m *Matrix) Drivers() []version.Driver {
	drivers := make([]version.Driver, len(m.Entries))
	for i, e := range m.Entries {
		drivers[i] = e.Driver
	}
	return drivers
}
