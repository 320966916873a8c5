package lab

import (
	"encoding/json"
	"fmt"
)

// Release is an OpenShift release in the lab's catalogue.
type Release struct {
	Version string  // "4.20.16"
	Toolkit Toolkit // its DTK; Release is filled in
	Arch    string  // "x86_64" if empty. Of others only the catalogue's entry exists.
	Gone    bool    // the catalogue names a digest that the registry does not have
	Known   bool    // the catalogue has the kernel
}

// minors are those of the lab's releases, in the proportion of the real catalogue.
var minors = []string{"4.20", "4.20", "4.20", "4.21", "4.21", "4.22"}

// Releases makes n releases on the given kernels: neighbours share a kernel, as real z-streams do, and each
// has a DTK with a digest of its own.
func Releases(n int, kernels []string) []Release {
	patch := map[string]int{}
	var releases []Release
	for i := range n {
		minor := minors[i*len(minors)/n]
		version := fmt.Sprintf("%s.%d", minor, patch[minor])
		patch[minor]++
		releases = append(releases, Release{
			Version: version,
			Toolkit: Toolkit{Kernel: kernels[i*len(kernels)/n]},
		})
	}
	return releases
}

// MatrixEntry is an entry of build-matrix.json.
type MatrixEntry struct {
	Driver      string   `json:"driver"`
	OCPVersions []string `json:"ocp_versions"`
}

// catalogEntry is an entry of driver-toolkit.json.
type catalogEntry struct {
	Arch    string `json:"arch"`
	DTK     string `json:"dtk"`
	Version string `json:"version"`
	Kernel  string `json:"kernel,omitempty"`
}

// jsonLines is what the lab writes: indented, with a newline at the end.
func jsonLines(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	return append(data, '\n'), err
}
