package report

import (
	"fmt"
	"html"
	"strings"

	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/format"
)

// PlanMarkdown returns the plan as GitHub shows it in the summary of a step. link returns the address of an image for
// people, "" if there is none.
func PlanMarkdown(p *plan.Plan, link func(image string) string) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "### neuron-kmod: %s\n", cell(p.Summary()))
	if len(p.Builds) > 0 {
		sb.WriteString("\n| | driver | kernel | releases | image | time | size |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	}
	for _, b := range p.Builds {
		image := "`" + b.Tag + "`"
		if at := link(b.Image); at != "" && (b.State == plan.Published || b.State == plan.Built) {
			image = fmt.Sprintf("[%s](%s)", image, at)
		}
		fmt.Fprintf(&sb, "| %s | %s | %s | %s | %s | %s | %s |\n", mark(b.State), b.Driver, cell(b.Kernel.String()),
			cell(plan.ReleaseList(b.Releases)), image, seconds(b.Seconds), format.Bytes(b.Size))
	}
	writeMissing(&sb, p)
	return sb.String()
}

// writeMissing lists what there is no image for, and why.
func writeMissing(sb *strings.Builder, p *plan.Plan) {
	var lines []string
	for _, b := range p.Builds {
		if b.State != plan.Published && b.State != plan.Built {
			why := string(b.State)
			if b.Error != "" {
				why += ": " + b.Error
			}
			lines = append(lines, fmt.Sprintf("- driver %s on kernel %s: %s", b.Driver, cell(b.Kernel.String()), cell(why)))
		}
	}
	for _, u := range p.Unresolved {
		lines = append(lines, fmt.Sprintf("- OpenShift %s: %s", u.Release, cell(u.Reason)))
	}
	for _, n := range p.Notes {
		lines = append(lines, "- "+cell(n))
	}
	if len(lines) > 0 {
		fmt.Fprintf(sb, "\n#### What is missing\n\n%s\n", strings.Join(lines, "\n"))
	}
}

var marks = map[plan.State]string{plan.Published: "✅ published", plan.Built: "✅ built", plan.Missing: "⬜ missing", plan.Unbuildable: "⬜ unbuildable", plan.Failed: "❌ failed", plan.Skipped: "⏹ skipped"}

func mark(s plan.State) string { return marks[s] }

// cell is foreign text as Markdown shows it, in one line of a table.
func cell(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.NewReplacer("|", "\\|", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]").Replace(html.EscapeString(s))
}
