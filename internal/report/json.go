// Package report renders what the use cases return: JSON, tables, CSV, Markdown, a job matrix and the page. It decides
// nothing and asks nobody.
package report

import (
	"encoding/json"
	"fmt"
	"io"

	"neuron-kmod/internal/plan"
)

// JSON writes v as one indented JSON object. what names it in an error: "the plan".
func JSON(w io.Writer, what string, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write %s as JSON: %w", what, err)
	}
	return nil
}

// list returns vs as a list that JSON never shows as null.
func list[T any](vs []T) []T { return append([]T{}, vs...) }

// PlanJSON writes a plan as one JSON object. Lists are never null.
func PlanJSON(w io.Writer, p *plan.Plan) error {
	out := *p
	out.Drivers, out.Unresolved, out.Builds = list(p.Drivers), list(p.Unresolved), list(p.Builds)
	for i := range out.Builds {
		b := &out.Builds[i]
		b.Releases, b.Toolkits = list(b.Releases), list(b.Toolkits)
	}
	return JSON(w, "the plan", out)
}

// Plan writes a plan, or the report of a run, as "json" or as a table.
func Plan(w io.Writer, format string, p *plan.Plan) error {
	if format == "json" {
		return PlanJSON(w, p)
	}
	return PlanTable(w, p)
}
