package catalog_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/platform/jsonfile"
)

// checkParse: what parses comes back the same, but sorted, from what Encode wrote, which is stable; its images are
// images to the registry client as well; every error has a place.
func checkParse(t *testing.T, data []byte) {
	c, err := catalog.Parse("c", data)
	if err != nil {
		if e, ok := errors.AsType[*jsonfile.Error](err); !ok || e.Position.Line < 1 || e.Position.Column < 1 || e.Msg == "" || len(e.Msg) > 2048 {
			t.Errorf("%#v has no place, or no or too long a message", err)
		}
		return
	}
	for _, e := range c.Entries {
		ref, err := name.NewDigest(e.DTK)
		if err != nil || !strings.HasSuffix(e.DTK, ref.RepositoryStr()+"@"+ref.DigestStr()) {
			t.Errorf("the registry client reads %q as %q, %v", e.DTK, ref, err)
		}
	}
	first, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := catalog.Parse("c", first)
	if err != nil {
		t.Fatal(err)
	}
	second, err := again.Encode()
	if err != nil || string(second) != string(first) {
		t.Errorf("encoding again: %v\n%s", err, cmp.Diff(string(first), string(second)))
	}
	if len(again.Entries) != len(c.Entries) {
		t.Errorf("%d entries became %d", len(c.Entries), len(again.Entries))
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		encoded, `[]`, dtk("a"), `[{`, `[{"arch":null}]`,
		entry(`"aarch64"`, "", `"4.23.0-rc.1"`, `, "kernel": "5.14.0-1.el9.aarch64+64k"`), entry("", "", "", `, "component": "driver-toolkit"`),
		entry("", "", "", `, "kernel": "5.14.0-1.el9.x86_64", "node-kernel": "5.14.0-2.el9.x86_64"`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(checkParse)
}

// FuzzEntry is FuzzParse for the values of an entry.
func FuzzEntry(f *testing.F) {
	f.Add("x86_64", image("a"), "4.20.16", "5.14.0-570.96.1.el9_6.x86_64", "driver-toolkit-10")
	f.Add("aarch64", "localhost:5000/a__b/c.d@sha256:"+image("b")[len(image("b"))-64:], "4.23.0-rc.1", "6.1", "x")
	f.Add("amd64", "mirror:8443/a:b", "4.20", "..", "-")
	f.Fuzz(func(t *testing.T, arch, image, release, kernel, component string) {
		data, err := json.Marshal([]map[string]string{{
			"arch": arch, "dtk": image, "version": release, "kernel": kernel, "component": component,
		}})
		if err != nil {
			t.Fatal(err)
		}
		checkParse(t, data)
	})
}
