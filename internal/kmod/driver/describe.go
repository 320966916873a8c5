package driver

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
)

// File is a file of a driver's source.
type File struct {
	Name string // below the source's directory, with slashes
	Size int64  // in bytes
}

// Device is a PCI device that the driver's source names.
type Device struct {
	Name string // of the accelerator, such as "TRN2"
	ID   uint16 // of the device, of Amazon's vendor ID
}

// DueRule is a patch rule that is for the driver, on some kernels.
type DueRule struct {
	Rule  Rule
	Found int // how often its text occurs in the source
}

// Fits reports whether the rule finds what it expects.
func (d DueRule) Fits() bool { return d.Found >= d.Rule.Min && d.Found <= d.Rule.Max }

// Description is what a driver's source says of itself.
type Description struct {
	Files   []File   // by name
	Devices []Device // by ID
	Rules   []DueRule
}

// deviceDefine is a line such as "#define TRN2_DEVICE_ID0 0x7364", which the driver has in a header, or in neuron_pci.c
// up to 2.6.
var deviceDefine = regexp.MustCompile(
	`(?m)^[ \t]*#[ \t]*define[ \t]+([A-Z][A-Z0-9]*)_DEVICE_ID[0-9]*[ \t]+0[xX]([0-9a-fA-F]{1,4})\b`)

// Describe reads the source.
func (s *Source) Describe() (Description, error) {
	var d Description
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return d, fmt.Errorf("describe the source of driver %s: %w", s.Version, err)
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := root.ReadFile(name)
		if err != nil {
			return err
		}
		d.Files = append(d.Files, File{Name: name, Size: int64(len(text))})
		if ext := path.Ext(name); ext == ".c" || ext == ".h" {
			d.Devices = append(d.Devices, devicesIn(text)...)
		}
		return nil
	})
	if err == nil {
		d.Rules, err = s.dueRules(root)
	}
	if err := errors.Join(err, root.Close()); err != nil {
		return Description{}, fmt.Errorf("describe the source of driver %s: %w", s.Version, err)
	}
	slices.SortFunc(d.Devices, func(a, b Device) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name))
	})
	d.Devices = slices.Compact(d.Devices)
	return d, nil
}

func devicesIn(text []byte) []Device {
	var found []Device
	for _, m := range deviceDefine.FindAllSubmatch(text, -1) {
		if id, err := strconv.ParseUint(string(m[2]), 16, 16); err == nil {
			found = append(found, Device{Name: string(m[1]), ID: uint16(id)})
		}
	}
	return found
}

// dueRules are the rules for the driver, whatever the kernel.
func (s *Source) dueRules(root *os.Root) ([]DueRule, error) {
	var due []DueRule
	for _, r := range Rules() {
		if !r.Drivers.Contains(s.Version) {
			continue
		}
		text, err := root.ReadFile(r.File)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		due = append(due, DueRule{Rule: r, Found: bytes.Count(text, []byte(r.Find))})
	}
	return due, nil
}
