package module

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// Info is what a module says of itself, in the section .modinfo. Characters that do not print are replaced.
type Info struct {
	Name        string
	Version     string
	Vermagic    string // "5.14.0-570.96.1.el9_6.x86_64 SMP preempt mod_unload modversions"
	License     string
	Description string
	Depends     []string // names of modules, nil for none
	SrcVersion  string   // a hash of the source
}

// Inspect reads what the module of that size in r says of itself. It refuses what is not a module for x86-64, and is
// safe with a hostile one.
func Inspect(r io.ReaderAt, size int64) (Info, error) {
	file, err := openObject(r, size)
	if err != nil {
		return Info{}, err
	}
	data, found, err := file.section(".modinfo", maxModinfo)
	if err != nil {
		return Info{}, err
	}
	if !found {
		return Info{}, errors.New("not a kernel module: it has no section .modinfo")
	}
	return parseModinfo(data)
}

// parseModinfo reads KEY=value strings that end in a zero byte. Some keys, such as alias, come often; of those that
// identify the module a second, different one would leave open which of them counts.
func parseModinfo(data []byte) (Info, error) {
	var info Info
	var depends string
	fields := map[string]*string{
		"name": &info.Name, "version": &info.Version, "vermagic": &info.Vermagic, "license": &info.License,
		"description": &info.Description, "depends": &depends, "srcversion": &info.SrcVersion,
	}
	seen := map[string]string{}
	for entry := range bytes.SplitSeq(data, []byte{0}) {
		key, value, ok := strings.Cut(string(entry), "=")
		field := fields[key]
		if !ok || field == nil {
			continue
		}
		if before, twice := seen[key]; twice && before != value {
			return Info{}, fmt.Errorf("section .modinfo has two values for %s: %q and %q", key, before, value)
		}
		seen[key] = value
		*field = printable(value)
	}
	if depends != "" {
		info.Depends = strings.Split(depends, ",")
	}
	return info, nil
}

// printable replaces what a terminal would act on.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s))
}

// WrongModuleError is a module that is not the one that was asked for.
type WrongModuleError struct {
	Field     string // "name", "version" or "vermagic"
	Got, Want string
}

func (e *WrongModuleError) Error() string {
	return fmt.Sprintf("the compiled module has %s %q, want %q", e.Field, e.Got, e.Want)
}

// Check reports whether the module is driver d for kernel k: a *WrongModuleError if not.
func (i Info) Check(d version.Driver, k kernel.Version) error {
	if i.Name != Name {
		return &WrongModuleError{Field: "name", Got: i.Name, Want: Name}
	}
	if i.Version != d.String() {
		return fault.Wrap(&WrongModuleError{Field: "version", Got: i.Version, Want: d.String()},
			"the driver's source is of another version than its package says")
	}
	if release, _, _ := strings.Cut(i.Vermagic, " "); release != k.String() {
		return fault.Wrap(&WrongModuleError{Field: "vermagic", Got: i.Vermagic, Want: k.String()},
			"the Driver Toolkit image's headers are of another kernel than it says: no node would load the module")
	}
	return nil
}
