package report

import (
	"fmt"
	"regexp"
	"strings"

	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/plan"
)

// KernelSummary says in a few words what became of the builds on a kernel.
func KernelSummary(states []plan.State) string {
	n := map[plan.State]int{}
	for _, s := range states {
		n[s]++
	}
	var parts []string
	for _, s := range []plan.State{plan.Published, plan.Built, plan.Failed} {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return strings.Join(parts, ", ")
}

// BuildOutputs returns the tags that were built, and those that failed or were not come to, for later steps of a workflow.
// Neither is nil.
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
