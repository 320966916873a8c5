package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/format"
)

// PlanTable writes the plan for people: one line a build, then what could not be resolved, then one line that sums it
// up. Times and sizes appear only where a run has filled them in.
func PlanTable(w io.Writer, p *plan.Plan) error {
	if len(p.Builds) > 0 {
		if err := writeBuilds(w, p); err != nil {
			return fmt.Errorf("write the plan: %w", err)
		}
	}
	var sb strings.Builder
	writeProblems(&sb, p)
	fmt.Fprintf(&sb, "\n%s\n", p.Summary())
	if _, err := io.WriteString(w, sb.String()); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

func writeBuilds(w io.Writer, p *plan.Plan) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
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
	return tw.Flush()
}

func writeProblems(sb *strings.Builder, p *plan.Plan) {
	for _, b := range p.Builds {
		if b.Error != "" {
			fmt.Fprintf(sb, "\n%s %s on %s: %s\n", b.State, b.Driver, b.Kernel, b.Error)
		}
	}
	for _, u := range p.Unresolved {
		fmt.Fprintf(sb, "\nunresolved %s: %s\n", u.Release, u.Reason)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(sb, "\nnote: %s\n", n)
	}
}

func seconds(s float64) string {
	if s == 0 {
		return "-"
	}
	return (time.Duration(s*10) * time.Second / 10).String()
}
