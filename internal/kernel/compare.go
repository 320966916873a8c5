package kernel

import (
	"cmp"
	"strings"
)

// Kinds of the runs a name is made of, in the order in which they sort at one place.
const (
	tilde  = iota // what follows is before the name without it: 6.12~rc6 before 6.12
	end           // nothing more
	dash          // the next part of the name: 6.12-50 before 6.12.1-3
	word          // letters
	number        // digits
)

// Compare orders names as rpm-version(7) orders VERSION-RELEASE: part by part between dashes, and in a part run
// by run of digits and of letters, digits by value and after letters, more runs after fewer, a tilde before the
// end. Where only separators differ, which rpm ignores, bytes decide, so that it is 0 only for v == o.
func (v Version) Compare(o Version) int {
	a, b := v.name, o.name
	for {
		var kindA, kindB int
		var runA, runB string
		kindA, runA, a = nextRun(a)
		kindB, runB, b = nextRun(b)
		if kindA == number && kindB == number { // by value
			runA, runB = strings.TrimLeft(runA, "0"), strings.TrimLeft(runB, "0")
			if c := cmp.Compare(len(runA), len(runB)); c != 0 {
				return c
			}
		}
		if c := cmp.Or(cmp.Compare(kindA, kindB), strings.Compare(runA, runB)); c != 0 {
			return c
		}
		if kindA == end {
			return strings.Compare(v.name, o.name)
		}
	}
}

// nextRun takes the first run off a name, and the separators before it.
func nextRun(s string) (kind int, run, rest string) {
	s = strings.TrimLeft(s, "._+")
	switch {
	case s == "":
		return end, "", ""
	case s[0] == '~':
		return tilde, s[:1], s[1:]
	case s[0] == '-':
		return dash, s[:1], s[1:]
	case isDigit(rune(s[0])):
		rest = strings.TrimLeftFunc(s, isDigit)
		kind = number
	default:
		rest = strings.TrimLeftFunc(s, isLetter)
		kind = word
	}
	return kind, s[:len(s)-len(rest)], rest
}

func isDigit(r rune) bool  { return '0' <= r && r <= '9' }
func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
