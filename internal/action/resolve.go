package action

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/format"
	"neuron-kmod/internal/version"
)

// ResolveRequest asks which images something needs, and whether they are there.
type ResolveRequest struct {
	Matrix        string // path of build-matrix.json
	Catalog       string // path of driver-toolkit.json
	Driver        string // a version, or "all"
	Target        string
	ToolkitMirror string
}

// AnswerState says whether an image is there.
type AnswerState string

// The states of an Answer.
const (
	Ready     AnswerState = "ready"
	Missing   AnswerState = "missing"
	Unknown   AnswerState = "unknown"    // the kernel of the release cannot be found out
	NotWanted AnswerState = "not wanted" // the matrix does not have the driver for the release
)

// Answer is one driver for one kernel.
type Answer struct {
	Driver version.Driver `json:"driver"`
	Kernel kernel.Version `json:"kernel"` // "" where it is not known
	State  AnswerState    `json:"state"`
	Image  string         `json:"image"`  // by digest, where there is one; else by the tag that it would have
	Digest string         `json:"digest"` // of an image that is there: "sha256:...", else ""; a directory's images cannot be named by it
	Reason string         `json:"reason"` // why it is not ready, else ""

	tag string
}

// lacking reports whether the image is not there, or may not be.
func (a Answer) lacking() bool { return a.State == Missing || a.State == Unknown }

// ResolveArgument answers for an OpenShift release or for a kernel as uname -r prints it. The answers come with the error
// that says what is missing, of the kind fault.Incomplete. It blocks on the network.
func ResolveArgument(ctx context.Context, env Env, r ResolveRequest, argument string) (*Resolution, error) {
	// Tags of release images have the architecture behind the release.
	if v, err := version.ParseOCP(strings.TrimSuffix(argument, "-"+arch)); err == nil {
		return resolveRelease(ctx, env, r, v)
	}
	k, err := kernel.Parse(argument)
	if err != nil || !strings.Contains(argument, "-") {
		return nil, unclearArgument(r.Catalog, argument)
	}
	return resolveKernel(ctx, env, r, k)
}

// Resolution is what was asked for, a release or a kernel, and the answers.
type Resolution struct {
	Release *version.OCP    // nil where a kernel was asked for
	Kernel  *kernel.Version // nil where a release was asked for
	Answers []Answer
}

func resolveRelease(ctx context.Context, env Env, r ResolveRequest, v version.OCP) (*Resolution, error) {
	q, err := openResolver(ctx, env, r, v)
	if err != nil {
		return nil, err
	}
	answers, err := q.release(ctx, v)
	if err != nil {
		return nil, err
	}
	return &Resolution{Release: &v, Answers: answers}, shortage(answers)
}

func resolveKernel(ctx context.Context, env Env, r ResolveRequest, k kernel.Version) (*Resolution, error) {
	q, err := openResolver(ctx, env, r)
	if err != nil {
		return nil, err
	}
	answers, orphans, all, err := q.kernels(ctx, []kernel.Version{k})
	if err != nil {
		return nil, err
	}
	if len(orphans) > 0 {
		err := fmt.Errorf("no OpenShift release of the matrix boots kernel %s, and there is no image for it", k)
		return nil, fault.AsUsage(q.withNearest(err, k, all))
	}
	err = shortage(answers)
	if !slices.ContainsFunc(answers, func(a Answer) bool { return a.State == Ready || a.State == Missing }) {
		err = q.withNearest(err, k, all) // it may be a release's that cannot be resolved, or a typo
	}
	return &Resolution{Kernel: &k, Answers: answers}, err
}

// shortage is the error for answers that lack an image, or may.
func shortage(answers []Answer) error {
	lacking, wanted := 0, 0
	for _, a := range answers {
		if a.lacking() {
			lacking++
		}
		if a.State != NotWanted {
			wanted++
		}
	}
	switch {
	case wanted == 0:
		return fault.AsIncomplete(errors.New("the matrix has no driver for it"))
	case lacking > 0:
		return fault.AsIncomplete(fmt.Errorf("%s missing or not known", format.Count(lacking, "image")))
	}
	return nil
}

// notInCatalogue is the mend where a release is asked for that the catalogue does not have.
const notInCatalogue = "add it with `neuron-kmod catalog update`, or ask for one that is in it"

// resolver answers questions about images. It is the target of its plans: the tags are listed once.
type resolver struct {
	files  plan.Input
	target registry.Target
	tags   map[string]bool
}

// openResolver reads the files and lists what is published. Releases that the catalogue does not have are an error before
// anything is asked of the network.
func openResolver(ctx context.Context, env Env, r ResolveRequest, releases ...version.OCP) (*resolver, error) {
	files, err := Selection{Matrix: r.Matrix, Catalog: r.Catalog, Driver: r.Driver}.input()
	if err != nil {
		return nil, err
	}
	for _, v := range releases {
		if err := files.Catalog.Missing(version.Only(v), arch); err != nil {
			return nil, fault.AsUsage(fault.Wrap(err, notInCatalogue))
		}
	}
	s, err := open(env, access{target: r.Target, mirror: r.ToolkitMirror, readOnly: true})
	if err != nil {
		return nil, err
	}
	q := &resolver{files: files}
	if q.target, err = s.target(ctx, use{}); err != nil {
		return nil, err
	}
	source, err := s.toolkits(ctx, files.Catalog)
	if err != nil {
		return nil, err
	}
	if q.tags, err = q.target.Tags(ctx); err != nil {
		return nil, classifyPlan(err, r.Target)
	}
	q.files.Target, q.files.Resolve = q, source.resolver(nil)
	return q, nil
}

// Tags implements plan.Target with the one listing of a run.
func (q *resolver) Tags(context.Context) (map[string]bool, error) { return q.tags, nil }

// Reference implements plan.Target.
func (q *resolver) Reference(tag string) string { return q.target.Reference(tag) }

// plan makes the plan of an input.
func (q *resolver) plan(ctx context.Context, in plan.Input) (*plan.Plan, error) {
	p, err := plan.Make(ctx, in)
	if err != nil {
		return nil, classifyPlan(err, q.target.String())
	}
	return p, nil
}

// release answers for each driver and each kernel of a release that the catalogue has.
func (q *resolver) release(ctx context.Context, v version.OCP) ([]Answer, error) {
	only := version.Only(v)
	in := q.files
	in.Entries = nil
	var answers []Answer
	for _, e := range q.files.Entries {
		if slices.ContainsFunc(e.Selectors, func(s version.Selector) bool { return s.Match(v) }) {
			in.Entries = append(in.Entries, matrix.Entry{Driver: e.Driver, Selectors: []version.Selector{only}})
		} else {
			reason := "the matrix does not have this driver for OpenShift " + v.String()
			answers = append(answers, Answer{Driver: e.Driver, State: NotWanted, Reason: reason})
		}
	}
	if len(in.Entries) == 0 {
		return answers, nil
	}
	p, err := q.plan(ctx, in)
	if err != nil {
		return nil, err
	}
	for _, d := range p.Drivers {
		one := p.ForDriver(d)
		for _, b := range one.Builds {
			answers = append(answers, answerOf(b))
		}
		for _, u := range one.Unresolved {
			answers = append(answers, Answer{Driver: d, State: Unknown, Reason: u.Reason})
		}
	}
	return q.withDigests(ctx, answers)
}

// answerOf is what a plan says of a build.
func answerOf(b plan.Build) Answer {
	a := Answer{Driver: b.Driver, Kernel: b.Kernel, State: Ready, Image: b.Image, tag: b.Tag}
	if b.State != plan.Published {
		a.State, a.Reason = Missing, b.Error
		if a.Reason == "" {
			a.Reason = plan.NotBuilt
		}
	}
	return a
}

// withDigests names the images that are ready by their digests.
func (q *resolver) withDigests(ctx context.Context, answers []Answer) ([]Answer, error) {
	var tags []string
	for _, a := range answers {
		if a.State == Ready && !slices.Contains(tags, a.tag) {
			tags = append(tags, a.tag)
		}
	}
	seen, err := statImages(ctx, q.target, tags)
	if err != nil {
		return nil, err
	}
	for i := range answers {
		a := &answers[i]
		if a.State != Ready {
			continue
		}
		info, found := seen[a.tag]
		if !found {
			a.State, a.Reason = Missing, "it is listed but gone"
			continue
		}
		a.Digest = info.digest
		if !strings.HasPrefix(q.target.String(), "oci:") {
			a.Image = q.target.String() + "@" + info.digest
		}
	}
	return answers, nil
}

// kernels answers for each driver and each of the kernels. The tags of the target decide; only for what is not there the
// plan of the whole matrix, all, tells why (nil if it was not needed). orphans are kernels that no release of the matrix
// boots and that have no image.
func (q *resolver) kernels(ctx context.Context, kernels []kernel.Version) (answers []Answer, orphans []kernel.Version, all *plan.Plan, err error) {
	for _, k := range kernels {
		found := false
		for _, e := range q.files.Entries {
			tag, err := kernel.Tag(e.Driver, k)
			if err != nil {
				return nil, nil, nil, fault.AsUsage(err)
			}
			a := Answer{Driver: e.Driver, Kernel: k, State: Ready, Image: q.target.Reference(tag), tag: tag}
			if !q.tags[tag] {
				if all == nil {
					if all, err = q.plan(ctx, q.files); err != nil {
						return nil, nil, nil, err
					}
				}
				a = explainAbsence(all, a)
			}
			found = found || a.State != NotWanted
			answers = append(answers, a)
		}
		if !found {
			orphans = append(orphans, k)
		}
	}
	answers, err = q.withDigests(ctx, answers)
	return answers, orphans, all, err
}

// explainAbsence says why there is no image.
func explainAbsence(all *plan.Plan, a Answer) Answer {
	i := slices.IndexFunc(all.Builds, func(b plan.Build) bool { return b.Driver == a.Driver && b.Kernel == a.Kernel })
	if i >= 0 {
		return answerOf(all.Builds[i])
	}
	a.State, a.Reason = NotWanted, "no OpenShift release that the matrix has for this driver boots this kernel"
	if one := all.ForDriver(a.Driver); len(one.Unresolved) > 0 {
		a.State, a.Reason = Unknown, fmt.Sprintf("the kernels of %s are unknown", format.Count(len(one.Unresolved), "release"))
	}
	return a
}
