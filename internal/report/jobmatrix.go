package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/plan"
)

// maxJobs is how many jobs GitHub Actions makes of one matrix.
// https://docs.github.com/en/actions/reference/limits
const maxJobs = 256

// job is one entry of a job matrix.
type job struct {
	Name    string `json:"name"`    // for people: the kernel, and how many more
	Kernels string `json:"kernels"` // for --kernel, separated by commas
	Drivers string `json:"drivers"` // those that are due on them, separated by commas
}

// JobMatrix writes the builds that are due as one line of JSON, {"include":[...]}, for the matrix of a job in
// GitHub Actions: an entry for each kernel, or for several where GitHub would not take as many. Nothing due is an empty
// list, which GitHub refuses as a matrix: the job needs a condition. It returns how many entries there are.
func JobMatrix(w io.Writer, p *plan.Plan, force bool) (int, error) {
	jobs := jobsOf(p, force)
	data, err := json.Marshal(map[string][]job{"include": jobs})
	if err != nil {
		return 0, fmt.Errorf("write the job matrix: %w", err)
	}
	if _, err := w.Write(append(data, '\n')); err != nil {
		return 0, fmt.Errorf("write the job matrix: %w", err)
	}
	return len(jobs), nil
}

func jobsOf(p *plan.Plan, force bool) []job {
	drivers := map[kernel.Version][]string{}
	for _, b := range p.Builds {
		if b.NeedsBuild(force) {
			drivers[b.Kernel] = append(drivers[b.Kernel], b.Driver.String())
		}
	}
	kernels := slices.DeleteFunc(p.Kernels(), func(k kernel.Version) bool { return drivers[k] == nil })
	jobs := []job{}
	for _, share := range divide(kernels, maxJobs) {
		names := make([]string, len(share))
		var due []string
		for i, k := range share {
			names[i] = k.String()
			for _, d := range drivers[k] {
				if !slices.Contains(due, d) {
					due = append(due, d)
				}
			}
		}
		j := job{Name: names[0], Kernels: strings.Join(names, ","), Drivers: strings.Join(due, ",")}
		if len(names) > 1 {
			j.Name = fmt.Sprintf("%s and %d more", names[0], len(names)-1)
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// divide cuts a list into at most n parts whose lengths differ by one at most.
func divide[T any](list []T, n int) [][]T {
	n = min(n, len(list))
	var parts [][]T
	for i := range n {
		parts = append(parts, list[i*len(list)/n:(i+1)*len(list)/n])
	}
	return parts
}
