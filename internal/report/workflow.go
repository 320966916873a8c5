package report

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"regexp"
	"slices"
	"strings"

	"neuron-kmod/internal/action"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/format"
)

// KernelSummary says in a few words what became of the builds on a kernel.
func KernelSummary(states []plan.State) string {
	n := map[plan.State]int{}
	for _, s := range states {
		n[s]++
	}
	return action.StateCounts(func(s plan.State) int { return n[s] }, plan.Published, plan.Built, plan.Failed)
}

// BuildOutputs returns the tags that were built, and those that failed or were not come to, for later steps of a
// workflow. Neither is nil.
func BuildOutputs(p *plan.Plan) (built, failed []string) {
	built, failed = []string{}, []string{}
	for _, b := range p.Builds {
		switch b.State {
		case plan.Built:
			built = append(built, b.Tag)
		case plan.Failed, plan.Skipped:
			failed = append(failed, b.Tag)
		}
	}
	return built, failed
}

var privateImage = regexp.MustCompile(`^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:]+):`)

// ImagePage returns the address where people can look at an image, "" where none is known.
func ImagePage(image string) string {
	repository, tag, _ := strings.Cut(image, ":")
	if path, ok := strings.CutPrefix(repository, ecr.PublicHost+"/"); ok {
		return "https://gallery.ecr.aws/" + path
	}
	if path, ok := strings.CutPrefix(repository, "quay.io/"); ok {
		return "https://quay.io/repository/" + path + "?tab=tags&tag=" + tag
	}
	if m := privateImage.FindStringSubmatch(image); m != nil {
		return fmt.Sprintf("https://%[2]s.console.aws.amazon.com/ecr/repositories/private/%[1]s/%[3]s?region=%[2]s", m[1], m[2], m[3])
	}
	return ""
}

// maxJobs is how many jobs GitHub Actions makes of one matrix.
// https://docs.github.com/en/actions/reference/limits
const maxJobs = 256

// job is one entry of a job matrix.
type job struct {
	Name    string `json:"name"`    // for people: the kernel, and how many more
	Kernels string `json:"kernels"` // for --kernel, separated by commas
	Drivers string `json:"drivers"` // those that are due on them, separated by commas
}

// JobMatrix writes the builds that are due as one line of JSON, {"include":[...]}, for the matrix of a job in GitHub
// Actions: an entry for each kernel, or for several where GitHub would not take as many. Nothing due is an empty
// list, which GitHub refuses as a matrix: the job needs a condition. It returns how many entries there are.
func JobMatrix(w io.Writer, p *plan.Plan, force bool) (int, error) {
	drivers := map[kernel.Version][]string{}
	for _, b := range p.Builds {
		if b.NeedsBuild(force) {
			drivers[b.Kernel] = append(drivers[b.Kernel], b.Driver.String())
		}
	}
	kernels := slices.DeleteFunc(p.Kernels(), func(k kernel.Version) bool { return drivers[k] == nil })
	jobs := make([]job, min(maxJobs, len(kernels)))
	for n := range jobs { // shares whose lengths differ by one at most
		var names, due []string
		for _, k := range kernels[n*len(kernels)/len(jobs) : (n+1)*len(kernels)/len(jobs)] {
			names = append(names, k.String())
			for _, d := range drivers[k] {
				if !slices.Contains(due, d) {
					due = append(due, d)
				}
			}
		}
		jobs[n] = job{Name: names[0], Kernels: strings.Join(names, ","), Drivers: strings.Join(due, ",")}
		if len(names) > 1 {
			jobs[n].Name = fmt.Sprintf("%s and %d more", names[0], len(names)-1)
		}
	}
	data, err := json.Marshal(map[string][]job{"include": jobs})
	if err != nil {
		return 0, fmt.Errorf("write the job matrix: %w", err)
	}
	if _, err := w.Write(append(data, '\n')); err != nil {
		return 0, fmt.Errorf("write the job matrix: %w", err)
	}
	return len(jobs), nil
}

// PlanMarkdown returns the plan as GitHub shows it in the summary of a step. link returns the address of an image for
// people, "" if there is none.
func PlanMarkdown(p *plan.Plan, link func(image string) string) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "### neuron-kmod: %s\n", cell(p.Summary()))
	if len(p.Builds) > 0 {
		sb.WriteString("\n| | driver | kernel | releases | image | time | size |\n" +
			"| --- | --- | --- | --- | --- | --- | --- |\n")
	}
	var missing []string
	for _, b := range p.Builds {
		image := "`" + b.Tag + "`"
		if b.State != plan.Published && b.State != plan.Built {
			why := string(b.State)
			if b.Error != "" {
				why += ": " + b.Error
			}
			missing = append(missing, fmt.Sprintf("- driver %s on kernel %s: %s", b.Driver, cell(b.Kernel.String()), cell(why)))
		} else if at := link(b.Image); at != "" {
			image = fmt.Sprintf("[%s](%s)", image, at)
		}
		fmt.Fprintf(&sb, "| %s | %s | %s | %s | %s | %s | %s |\n", marks[b.State], b.Driver, cell(b.Kernel.String()),
			cell(plan.ReleaseList(b.Releases)), image, seconds(b.Seconds), format.Bytes(b.Size))
	}
	for _, u := range p.Unresolved {
		missing = append(missing, fmt.Sprintf("- OpenShift %s: %s", u.Release, cell(u.Reason)))
	}
	for _, n := range p.Notes {
		missing = append(missing, "- "+cell(n))
	}
	if len(missing) > 0 {
		fmt.Fprintf(&sb, "\n#### What is missing\n\n%s\n", strings.Join(missing, "\n"))
	}
	return sb.String()
}

var marks = map[plan.State]string{
	plan.Published: "✅ published", plan.Built: "✅ built", plan.Missing: "⬜ missing",
	plan.Unbuildable: "⬜ unbuildable", plan.Failed: "❌ failed", plan.Skipped: "⏹ skipped",
}

var escapeMarkdown = strings.NewReplacer("|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`)

// cell is foreign text as Markdown shows it, in one line of a table.
func cell(s string) string {
	return escapeMarkdown.Replace(html.EscapeString(strings.Join(strings.Fields(s), " ")))
}
