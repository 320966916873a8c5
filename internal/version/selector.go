package version

import "cmp"

const selectorForm = "a minor release such as 4.20 or a release such as 4.20.16"

// Selector names OpenShift releases: a minor such as "4.20", which is every 4.20.z, or one release such as
// "4.20.16". Values are comparable with ==; the zero value selects nothing.
type Selector struct {
	release OCP  // of a minor only the first two numbers count
	minor   bool // the whole minor
}

// ParseSelector reads a selector.
func ParseSelector(s string) (Selector, error) {
	var part [2]uint32
	if n, why := numbers(s, part[:]); why == "" && n == 2 && part[0] > 0 {
		return MinorOf(OCP{part: [3]uint32{part[0], part[1]}}), nil
	}
	release, why := parseOCP(s)
	if why != "" {
		return Selector{}, invalid(s, "an OpenShift selector", why, selectorForm)
	}
	return Selector{release: release}, nil
}

// Only returns the selector of one release.
func Only(v OCP) Selector { return Selector{release: v} }

// MinorOf returns the selector of the minor that a release belongs to.
func MinorOf(v OCP) Selector {
	if v.IsZero() {
		return Selector{}
	}
	return Selector{release: OCP{part: [3]uint32{v.part[0], v.part[1]}}, minor: true}
}

// String returns the selector as it was parsed, and "" for the zero value.
func (s Selector) String() string {
	if s.minor {
		return s.release.Minor()
	}
	return s.release.String()
}

// IsZero reports whether s is the zero value.
func (s Selector) IsZero() bool { return s == Selector{} }

// Minor returns the minor release of what s selects: "4.20" for both 4.20 and 4.20.16.
func (s Selector) Minor() string { return s.release.Minor() }

// Match reports whether s selects v. A minor selects all its releases, pre-releases too; a release only itself.
func (s Selector) Match(v OCP) bool {
	if s.IsZero() {
		return false
	}
	if s.minor {
		return s.release.part[0] == v.part[0] && s.release.part[1] == v.part[1]
	}
	return s.release == v
}

// Intersect returns the selector of the releases that both s and o select; ok is false where there are none.
func (s Selector) Intersect(o Selector) (both Selector, ok bool) {
	switch {
	case s == o:
		return s, !s.IsZero()
	case s.minor && s.Match(o.release) && !o.minor:
		return o, true
	case o.minor && o.Match(s.release) && !s.minor:
		return s, true
	}
	return Selector{}, false
}

// Compare orders selectors by what they select, a minor before its releases. It is 0 only for s == o.
func (s Selector) Compare(o Selector) int {
	byMinor := cmp.Or(cmp.Compare(s.release.part[0], o.release.part[0]), cmp.Compare(s.release.part[1], o.release.part[1]))
	switch {
	case byMinor != 0 || s.minor && o.minor:
		return byMinor
	case s.minor:
		return -1
	case o.minor:
		return 1
	}
	return s.release.Compare(o.release)
}

// MarshalText writes the selector; the zero value is empty text.
func (s Selector) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes, as strictly as ParseSelector.
func (s *Selector) UnmarshalText(text []byte) error { return unmarshal(s, text, ParseSelector) }
