// Package report renders what the use cases return: JSON, tables, CSV, Markdown, a job matrix and the page. It
// decides nothing and asks nobody.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/format"
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

// PlanTable writes the plan for people: one line a build, then what could not be resolved, then one line that sums it
// up. Times and sizes appear only where a run has filled them in.
func PlanTable(w io.Writer, p *plan.Plan) error {
	var sb strings.Builder
	if len(p.Builds) > 0 {
		tw := tabwriter.NewWriter(&sb, 0, 4, 2, ' ', 0)
		ran := p.Count(plan.Built)+p.Count(plan.Failed)+p.Count(plan.Skipped) > 0
		head := "DRIVER\tKERNEL\tSTATE\tRELEASES"
		if ran {
			head += "\tTIME\tSIZE"
		}
		fmt.Fprintln(tw, head)
		for _, b := range p.Builds {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s", b.Driver, b.Kernel, b.State, plan.ReleaseList(b.Releases))
			if ran {
				fmt.Fprintf(tw, "\t%s\t%s", seconds(b.Seconds), format.Bytes(b.Size))
			}
			fmt.Fprintln(tw)
		}
		tw.Flush() // to a strings.Builder, which takes everything
	}
	for _, b := range p.Builds {
		if b.Error != "" {
			fmt.Fprintf(&sb, "\n%s %s on %s: %s\n", b.State, b.Driver, b.Kernel, b.Error)
		}
	}
	for _, u := range p.Unresolved {
		fmt.Fprintf(&sb, "\nunresolved %s: %s\n", u.Release, u.Reason)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&sb, "\nnote: %s\n", n)
	}
	fmt.Fprintf(&sb, "\n%s\n", p.Summary())
	return write(w, "the plan", sb.String())
}

// write writes text at once. what names it in an error.
func write(w io.Writer, what, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("write %s: %w", what, err)
	}
	return nil
}

func seconds(s float64) string {
	if s == 0 {
		return "-"
	}
	return (time.Duration(s*10) * time.Second / 10).String()
}
