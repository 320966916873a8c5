package matrix

import (
	"fmt"
	"slices"
	"strings"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// All is the driver filter that every driver passes.
const All = "all"

// NotFoundError is the error for a driver or a release that is not in the matrix. It lists what is.
type NotFoundError = version.NotFoundError

// Filter returns the entries of a driver, or of all, with the selectors narrowed to those releases that the
// selector ocp selects too; an empty ocp narrows nothing. Entries that are left without a release are left out.
// A driver that is not in the matrix and a filter that nothing passes give a *NotFoundError.
func (m *Matrix) Filter(driver, ocp string) ([]Entry, error) {
	entries, err := m.ofDriver(driver)
	if err != nil || ocp == "" {
		return entries, err
	}
	want, err := version.ParseSelector(ocp)
	if err != nil {
		return nil, fault.Wrap(err, "Name a release such as 4.20.16, a minor such as 4.20, or none for all.")
	}
	var narrowed []Entry
	for _, e := range entries {
		var selectors []version.Selector
		for _, s := range e.Selectors {
			if both, ok := s.Intersect(want); ok {
				selectors = append(selectors, both)
			}
		}
		if e.Selectors = selectors; len(selectors) > 0 {
			narrowed = append(narrowed, e)
		}
	}
	if len(narrowed) == 0 {
		return nil, m.noRelease(want, driver, entries)
	}
	return narrowed, nil
}

// ofDriver returns the entries of a driver or of All.
func (m *Matrix) ofDriver(driver string) ([]Entry, error) {
	if driver == All {
		return slices.Clone(m.Entries), nil
	}
	want, err := version.ParseDriver(driver)
	if err != nil {
		return nil, fault.Wrap(err,
			fmt.Sprintf("Name %q or a driver of %s: %s.", All, m.Path, strings.Join(texts(m.Drivers()), ", ")))
	}
	for _, e := range m.Entries {
		if e.Driver == want {
			return []Entry{e}, nil
		}
	}
	return nil, fault.Wrap(&NotFoundError{
		What: "driver " + want.String(),
		In:   m.Path,
		Have: texts(want.Nearest(m.Drivers())),
	}, fmt.Sprintf("Name one of these drivers, or add an entry for %s to %s.", want, m.Path))
}

// noRelease is the error for a release that none of the entries has.
func (m *Matrix) noRelease(want version.Selector, driver string, entries []Entry) error {
	var have []version.Selector
	for _, e := range entries {
		have = append(have, e.Selectors...)
	}
	slices.SortFunc(have, version.Selector.Compare)
	what := "OpenShift " + want.String()
	if driver != All {
		what += " for driver " + driver
	}
	return fault.Wrap(&NotFoundError{
		What: what,
		In:   m.Path,
		Have: texts(want.Nearest(slices.Compact(have))),
	}, fmt.Sprintf("Name one of these releases, or add %s to %q in %s.", want, keyReleases, m.Path))
}

func texts[T fmt.Stringer](vs []T) []string {
	ss := make([]string, len(vs))
	for i, v := range vs {
		ss[i] = v.String()
	}
	return ss
}
