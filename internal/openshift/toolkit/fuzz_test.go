package toolkit

import (
	"bytes"
	"strings"
	"testing"

	"neuron-kmod/internal/kernel"
)

// What the parser takes has a kernel in it, and survives being written again.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{
		metadata(rhelKernel),
		`{"KERNEL_VERSION":"6.1.0-50-rt-amd64"}`,
		`{"KERNEL_VERSION": 5}`, `{"KERNEL_VERSION": ""}`, `{"KERNEL_VERSION": null}`, `{"kernel_version": "5.14.0"}`,
		`{"KERNEL_VERSION": "5.14`, `[]`, `null`, `{}`, `{} {}`, "\ufeff{}", strings.Repeat("[", 1000),
		`{"KERNEL_VERSION":"1.2","KERNEL_VERSION":"3.4"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		release, err := parseMetadata(data)
		if err != nil {
			if release != "" {
				t.Errorf("%q with error %v", release, err)
			}
			return
		}
		if release == "" || !bytes.Contains(data, []byte("KERNEL_VERSION")) && !bytes.Contains(data, []byte(`\u`)) {
			t.Errorf("%q out of %q", release, data)
		}
		k, err := kernel.Parse(release)
		if err != nil {
			return
		}
		if again, err := parseMetadata([]byte(metadata(k.String()))); err != nil || again != release {
			t.Errorf("%q became %q, %v", release, again, err)
		}
	})
}
