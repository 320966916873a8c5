package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/version"

	"github.com/google/go-cmp/cmp"
)

const (
	k94  = "5.14.0-427.68.2.el9_4.x86_64"
	k96  = "5.14.0-570.96.1.el9_6.x86_64"
	k96r = "5.14.0-570.96.1.el9_6.x86_64+rt"
)

// dtk makes the reference of a stand-in toolkit from one digit.
func dtk(n int) string { return "quay.io/x/dtk@sha256:" + strings.Repeat(fmt.Sprint(n), 64) }

// onePlan is a plan of one missing image, which as many releases as given share.
func onePlan(t *testing.T, releases int) *plan.Plan {
	t.Helper()
	p := &plan.Plan{Drivers: []version.Driver{parse(t, version.ParseDriver, "2.24.7.0")}, Builds: builds(t, "2.24.7.0", plan.Missing, k94)}
	for i := range releases {
		p.Builds[0].Releases = append(p.Builds[0].Releases, parse(t, version.ParseOCP, fmt.Sprintf("4.20.%d", i+1)))
	}
	return p
}

// The JSON form is a contract: its keys are complete and its lists are never null.
func TestPlanJSON(t *testing.T) {
	var buf bytes.Buffer
	if err := PlanJSON(&buf, onePlan(t, 1)); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"driver_versions": []any{"2.24.7.0"},
		"unresolved":      []any{},
		"builds": []any{map[string]any{
			"driver": "2.24.7.0", "kernel": k94, "tag": "2.24.7.0-" + k94, "image": "r.example/kmod:2.24.7.0-" + k94,
			"state": "missing", "releases": []any{"4.20.1"}, "toolkits": []any{dtk(1)},
			"digest": "", "size": 0.0, "seconds": 0.0, "error": "",
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	buf.Reset()
	if err := PlanJSON(&buf, &plan.Plan{}); err != nil || strings.Contains(buf.String(), "null") {
		t.Errorf("empty plan: %s, error %v", buf.String(), err)
	}
}

func TestPlanTable(t *testing.T) {
	var buf bytes.Buffer
	if err := PlanTable(&buf, onePlan(t, 9)); err != nil {
		t.Fatal(err)
	}
	want := `DRIVER    KERNEL                        STATE    RELEASES
2.24.7.0  5.14.0-427.68.2.el9_4.x86_64  missing  4.20.1, 4.20.2, 4.20.3, 4.20.4, 4.20.5, 4.20.6 and 3 more

1 image for 1 kernel: 1 missing
`
	if diff := cmp.Diff(want, buf.String()); diff != "" {
		t.Error(diff)
	}
}
