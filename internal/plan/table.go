package plan

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"neuron-kmod/internal/version"
)

// WriteTable writes the plan for a person: one line a build, then what could
// not be resolved, then one line that sums it up. Times and sizes appear only
// where a run has filled them in.
func (p *Plan) WriteTable(w io.Writer) error {
	if len(p.Builds) > 0 {
		if err := p.writeBuilds(w); err != nil {
			return fmt.Errorf("write the plan: %w", err)
		}
	}
	var sb strings.Builder
	p.writeTrouble(&sb)
	fmt.Fprintf(&sb, "\n%s\n", p.Summary())
	if _, err := io.WriteString(w, sb.String()); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

func (p *Plan) writeBuilds(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	ran := p.Count(Built)+p.Count(Failed)+p.Count(Skipped) > 0
	head := "DRIVER\tKERNEL\tSTATE\tRELEASES"
	if ran {
		head += "\tTIME\tSIZE"
	}
	fmt.Fprintln(tw, head)
	for _, b := range p.Builds {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s", b.Driver, b.Kernel, b.State, ReleaseList(b.Releases))
		if ran {
			fmt.Fprintf(tw, "\t%s\t%s", seconds(b.Seconds), Bytes(b.Size))
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

func (p *Plan) writeTrouble(sb *strings.Builder) {
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

// Summary says in one line how many builds are in which state.
func (p *Plan) Summary() string {
	parts := []string{}
	for _, s := range []State{Published, Built, Missing, Unbuildable, Failed, Skipped} {
		if n := p.Count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	s := fmt.Sprintf("%s for %s", count(len(p.Builds), "image"), count(len(p.Kernels()), "kernel"))
	if len(parts) > 0 {
		s += ": " + strings.Join(parts, ", ")
	}
	if n := len(p.Unresolved); n > 0 {
		s += fmt.Sprintf("; %s unresolved", count(n, "release"))
	}
	if p.OtherArch > 0 {
		s += fmt.Sprintf("; %s of another architecture left out", count(p.OtherArch, "catalogue entry"))
	}
	return s
}

func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// ReleaseList joins at most six releases for a person and counts the rest; JSON has all.
func ReleaseList(vs []version.OCP) string {
	const most = 6
	var names []string
	for i, v := range vs {
		if i == most {
			return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), len(vs)-most)
		}
		names = append(names, v.String())
	}
	return strings.Join(names, ", ")
}

func seconds(s float64) string {
	if s == 0 {
		return "-"
	}
	return (time.Duration(s*10) * time.Second / 10).String()
}

// Bytes renders a number of bytes for a person, in powers of 1024.
func Bytes(n int64) string {
	switch {
	case n == 0:
		return "-"
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
