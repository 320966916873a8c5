package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/report"
)

// endGroup ends the group of a kernel's log lines, with what became of its
// builds.
func (a *app) endGroup(p *plan.Plan, k kernel.Version) {
	if a.groups == nil {
		return
	}
	states := map[plan.State]int{}
	for _, b := range p.Builds {
		if b.Kernel == k {
			states[b.State]++
		}
	}
	var parts []string
	for _, s := range []plan.State{plan.Published, plan.Built, plan.Failed} {
		if states[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", states[s], s))
		}
	}
	a.groups.Done(k.String(), strings.Join(parts, ", "))
}

// tellStep gives the result of a build to the step of GitHub Actions that it is:
// a summary for people, the tags that were built and that failed for later
// steps. Elsewhere it does nothing.
func (a *app) tellStep(p *plan.Plan) error {
	built, failed := []string{}, []string{}
	for _, b := range p.Builds {
		switch b.State {
		case plan.Built:
			built = append(built, b.Tag)
		case plan.Failed, plan.Skipped:
			failed = append(failed, b.Tag)
		}
	}
	return errors.Join(
		a.workflow.AddSummary(report.PlanMarkdown(p, imagePage)),
		a.setList("built", built), a.setList("failed", failed),
	)
}

func (a *app) setList(name string, list []string) error {
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return a.workflow.SetOutput(name, string(data))
}

// writeMatrix prints the job matrix, and sets it as an output of the step with
// the number of jobs. That releases are unresolved is told, but fails nothing
// here: the jobs build what can be built, and the release says what is missing.
func (o *planOptions) writeMatrix(p *plan.Plan) error {
	var matrix bytes.Buffer
	jobs, err := report.JobMatrix(&matrix, p, o.Force)
	if err != nil {
		return err
	}
	if _, err := o.stdout.Write(matrix.Bytes()); err != nil {
		return err
	}
	return errors.Join(
		o.workflow.SetOutput("matrix", strings.TrimSpace(matrix.String())),
		o.workflow.SetOutput("jobs", strconv.Itoa(jobs)),
	)
}

var privateImage = regexp.MustCompile(`^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:]+):`)

// imagePage returns the address where a person can look at an image, "" where
// none is known.
func imagePage(image string) string {
	repository, tag, _ := strings.Cut(image, ":")
	if path, ok := strings.CutPrefix(repository, ecr.PublicHost+"/"); ok {
		return "https://gallery.ecr.aws/" + path
	}
	if path, ok := strings.CutPrefix(repository, quayHost+"/"); ok {
		return "https://quay.io/repository/" + path + "?tab=tags&tag=" + tag
	}
	if m := privateImage.FindStringSubmatch(image); m != nil {
		return fmt.Sprintf("https://%[2]s.console.aws.amazon.com/ecr/repositories/private/%[1]s/%[3]s?region=%[2]s", m[1], m[2], m[3])
	}
	return ""
}
