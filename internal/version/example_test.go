package version_test

import (
	"fmt"

	"neuron-kmod/internal/version"
)

// A minor selects all its releases, a release only itself.
func ExampleSelector_Match() {
	minor, err := version.ParseSelector("4.20")
	if err != nil {
		panic(err)
	}
	for _, s := range []string{"4.20.16", "4.20.0-rc.3", "4.21.0"} {
		release, err := version.ParseOCP(s)
		if err != nil {
			panic(err)
		}
		fmt.Println(release, minor.Match(release), version.Only(release).Match(release))
	}
	// Output:
	// 4.20.16 true true
	// 4.20.0-rc.3 true true
	// 4.21.0 false true
}

// What both a row of the matrix and a command line select.
func ExampleSelector_Intersect() {
	row, err := version.ParseSelector("4.20")
	if err != nil {
		panic(err)
	}
	for _, s := range []string{"4.20.16", "4.20", "4.21"} {
		argument, err := version.ParseSelector(s)
		if err != nil {
			panic(err)
		}
		both, ok := row.Intersect(argument)
		fmt.Printf("%s and %s: %q %t\n", row, argument, both, ok)
	}
	// Output:
	// 4.20 and 4.20.16: "4.20.16" true
	// 4.20 and 4.20: "4.20" true
	// 4.20 and 4.21: "" false
}
