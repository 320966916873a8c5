package release

import (
	"strconv"
	"strings"

	"neuron-kmod/internal/version"
)

// list joins releases as R7.1 has them: "4.18.15, 4.18.16, 4.19.5".
func list(vs []version.OCP) string {
	names := make([]string, len(vs))
	for i, v := range vs {
		names[i] = v.String()
	}
	return strings.Join(names, ", ")
}

// spans joins ascending releases in fewer characters: three or more that follow each other become "4.20.1 to 4.20.9".
func spans(vs []version.OCP) string {
	var parts []string
	for len(vs) > 0 {
		n := 1
		for n < len(vs) && follows(vs[n], vs[n-1]) {
			n++
		}
		if n < 3 {
			n = 1
			parts = append(parts, vs[0].String())
		} else {
			parts = append(parts, vs[0].String()+" to "+vs[n-1].String())
		}
		vs = vs[n:]
	}
	return strings.Join(parts, ", ")
}

// follows reports whether b is the release right after a, in the same minor. Pre-releases follow nothing.
func follows(b, a version.OCP) bool {
	before, okA := patch(a)
	after, okB := patch(b)
	return okA && okB && a.Minor() == b.Minor() && after == before+1
}

func patch(v version.OCP) (int, bool) {
	n, err := strconv.Atoi(strings.TrimPrefix(v.String(), v.Minor()+"."))
	return n, err == nil
}
