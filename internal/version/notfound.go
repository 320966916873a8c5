package version

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxListed bounds how many of what there is an error lists.
const maxListed = 8

// NotFoundError is the error for a version that the user named and a file does not have.
type NotFoundError struct {
	What string   // what was looked for, as in "driver 2.24.7.0"
	In   string   // the file it is not in
	Have []string // what the file has instead, nearest first
}

// Error says what is not there and what is instead, of which it lists the nearest.
func (e *NotFoundError) Error() string {
	if len(e.Have) == 0 {
		return fmt.Sprintf("%s is not in %s", e.What, e.In)
	}
	listed, more := e.Have, ""
	if len(listed) > maxListed {
		listed = listed[:maxListed]
		more = fmt.Sprintf(" and %d more", len(e.Have)-maxListed)
	}
	return fmt.Sprintf("%s is not in %s, which has %s%s", e.What, e.In, strings.Join(listed, ", "), more)
}

// Nearest returns vs sorted by how near they are to d: those of the same major before others, of these those
// of the nearest minor, and so on; of two as near the newer first.
func (d Driver) Nearest(vs []Driver) []Driver {
	vs = slices.Clone(vs)
	slices.SortFunc(vs, func(a, b Driver) int {
		return cmp.Or(nearer(d.part[:], a.part[:], b.part[:]), b.Compare(a))
	})
	return vs
}

// Nearest returns ss sorted by how near they are to s, as Driver.Nearest does; the patch number counts only
// where both s and the other have one.
func (s Selector) Nearest(ss []Selector) []Selector {
	ss = slices.Clone(ss)
	from := s.release.part
	at := func(o Selector) []uint32 {
		part := o.release.part
		if s.minor || o.minor {
			part[2] = from[2]
		}
		return part[:]
	}
	slices.SortFunc(ss, func(a, b Selector) int {
		return cmp.Or(nearer(from[:], at(a), at(b)), b.Compare(a))
	})
	return ss
}

// nearer compares the distances of a and b from a version, the first number that differs deciding.
func nearer(from, a, b []uint32) int {
	for i, n := range from {
		if c := cmp.Compare(distance(n, a[i]), distance(n, b[i])); c != 0 {
			return c
		}
	}
	return 0
}

func distance(a, b uint32) uint32 { return max(a, b) - min(a, b) }
