package driver

import (
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/version"
)

// ordered is a version whose zero value means none.
type ordered[T any] interface {
	comparable
	Compare(T) int
}

// Interval is a span of versions: From is in it, Before is not. A zero bound is no bound, so that the zero Interval
// holds every version.
type Interval[T ordered[T]] struct{ From, Before T }

// Contains reports whether v lies in the interval.
func (i Interval[T]) Contains(v T) bool {
	var none T
	return (i.From == none || v.Compare(i.From) >= 0) && (i.Before == none || v.Compare(i.Before) < 0)
}

// Range is a span of driver versions.
type Range = Interval[version.Driver]

// ReleaseRange is a span of RHEL releases. CentOS Stream 9 comes after every 9.x and before 10.0.
type ReleaseRange = Interval[kernel.Release]
