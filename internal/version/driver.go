package version

import (
	"cmp"
	"slices"
)

const driverForm = "2 to 4 numbers with dots between them, such as 2.24.7.0"

// Driver is the version of a Neuron driver package: 2 to 4 dotted numbers, of which Neuron uses 4
// ("2.24.7.0"). Values are comparable with ==; the zero value means no version.
type Driver struct {
	part [4]uint32
	n    uint8 // how many of part are given; 0 in the zero value
}

// ParseDriver reads a driver version. It refuses whatever is not exactly one: brackets, spaces, signs,
// leading zeros and numbers of more than 9 digits. The result is therefore safe in file names, tags and URLs.
func ParseDriver(s string) (Driver, error) {
	var d Driver
	n, why := numbers(s, d.part[:])
	if why == "" && n < 2 {
		why = "it has one number only"
	}
	if why != "" {
		return Driver{}, invalid(s, "a driver version", why, driverForm)
	}
	d.n = uint8(n)
	return d, nil
}

// String returns the version as it was parsed, and "" for the zero value.
func (d Driver) String() string { return dotted(d.part[:d.n]) }

// IsZero reports whether d is the zero value.
func (d Driver) IsZero() bool { return d.n == 0 }

// Compare orders versions by their numbers, where a missing number counts as 0; of versions that are equal
// so far the one with fewer numbers is first. It is 0 only for d == o.
func (d Driver) Compare(o Driver) int {
	return cmp.Or(slices.Compare(d.part[:], o.part[:]), cmp.Compare(d.n, o.n))
}

// MarshalText writes the version; the zero value is empty text.
func (d Driver) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes, as strictly as ParseDriver.
func (d *Driver) UnmarshalText(text []byte) error { return unmarshal(d, text, ParseDriver) }
