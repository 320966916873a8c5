package matrix_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/platform/jsonfile"
)

// FuzzParse: what parses comes back the same after it was written with encoding/json, and each driver can be
// filtered for; every error has a place.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		sample, `[]`, `[{"driver":"2.22.2.0]","ocp_versions":["4.20"]}]`, `[{"driver":"2.24","ocp_versions":["4.20","4.20.1"]}]`,
		`[{"driver":"2.24","ocp_versions":["4.20.0-rc.1"]}]`, `[{"driver":"2.24","driver":null}]`, "\ufeff[]", `[{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := matrix.Parse("m", data)
		if err != nil {
			if e, ok := errors.AsType[*jsonfile.Error](err); !ok || e.Position.Line < 1 || e.Position.Column < 1 || e.Msg == "" {
				t.Errorf("%#v has no place", err)
			}
			return
		}
		type entry struct {
			Driver   any `json:"driver"`
			Releases any `json:"ocp_versions"`
		}
		var doc []entry
		for _, e := range m.Entries {
			doc = append(doc, entry{e.Driver, e.Selectors})
			if got, err := m.Filter(e.Driver.String(), e.Selectors[0].String()); err != nil || len(got) != 1 {
				t.Errorf("Filter(%q, %q) = %v, %v", e.Driver, e.Selectors[0], lines(got), err)
			}
		}
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := matrix.Parse("m", text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(lines(m.Entries), lines(again.Entries)); diff != "" {
			t.Errorf("round trip (-want +got):\n%s", diff)
		}
	})
}
