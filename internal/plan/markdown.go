package plan

import (
	"fmt"
	"html"
	"strings"
)

// Markdown returns the plan as GitHub shows it in the summary of a step. link returns the address of an image for people,
// "" if there is none.
func (p *Plan) Markdown(link func(image string) string) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "### neuron-kmod: %s\n", cell(p.Summary()))
	if len(p.Builds) > 0 {
		sb.WriteString("\n| | driver | kernel | releases | image | time | size |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	}
	for _, b := range p.Builds {
		image := "`" + b.Tag + "`"
		if at := link(b.Image); at != "" && (b.State == Published || b.State == Built) {
			image = fmt.Sprintf("[%s](%s)", image, at)
		}
		fmt.Fprintf(&sb, "| %s | %s | %s | %s | %s | %s | %s |\n", mark(b.State), b.Driver, cell(b.Kernel.String()),
			cell(ReleaseList(b.Releases)), image, seconds(b.Seconds), Bytes(b.Size))
	}
	p.writeMissing(&sb)
	return sb.String()
}

// writeMissing lists what there is no image for, and why.
func (p *Plan) writeMissing(sb *strings.Builder) {
	var lines []string
	for _, b := range p.Builds {
		if b.State != Published && b.State != Built {
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

var marks = map[State]string{Published: "✅ published", Built: "✅ built", Missing: "⬜ missing", Unbuildable: "⬜ unbuildable", Failed: "❌ failed", Skipped: "⏹ skipped"}

func mark(s State) string { return marks[s] }

// cell is foreign text as Markdown shows it, in one line of a table.
func cell(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.NewReplacer("|", "\\|", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]").Replace(html.EscapeString(s))
}
