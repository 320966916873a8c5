package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
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
	Image  string         `json:"image"`  // by digest, in a directory by tag; else by the tag that it would have
	Digest string         `json:"digest"` // of an image that is there: "sha256:...", else ""
	Reason string         `json:"reason"` // why it is not ready, else ""

	tag string
}

// lacking reports whether the image is not there, or may not be.
func (a Answer) lacking() bool { return a.State == Missing || a.State == Unknown }

// Resolution is what was asked for, a release or a kernel, and the answers.
type Resolution struct {
	Release *version.OCP    // nil where a kernel was asked for
	Kernel  *kernel.Version // nil where a release was asked for
	Answers []Answer
}

// ResolveArgument answers for an OpenShift release or for a kernel as uname -r prints it. The answers come with the
// error that says what is missing, of the kind fault.Incomplete. It blocks on the network.
func ResolveArgument(ctx context.Context, env Env, r ResolveRequest, argument string) (*Resolution, error) {
	// Tags of release images have the architecture behind the release.
	if v, err := version.ParseOCP(strings.TrimSuffix(argument, "-"+arch)); err == nil {
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
	k, err := kernel.Parse(argument)
	if err != nil || !strings.Contains(argument, "-") {
		return nil, unclearArgument(r.Catalog, argument)
	}
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
	if !requested(answers) {
		return fault.AsIncomplete(errors.New("the matrix has no driver for it"))
	}
	if lacking := count(answers, Answer.lacking); lacking > 0 {
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

// openResolver reads the files and lists what is published. Releases that the catalogue does not have are an error
// before anything is asked of the network.
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

// Tags and Reference implement plan.Target with the one listing of a run.
func (q *resolver) Tags(context.Context) (map[string]bool, error) { return q.tags, nil }
func (q *resolver) Reference(tag string) string                   { return q.target.Reference(tag) }

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
	p, err := plan.Make(ctx, in)
	if err != nil {
		return nil, classifyPlan(err, q.target.String())
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

func answerOf(b plan.Build) Answer {
	a := Answer{Driver: b.Driver, Kernel: b.Kernel, State: Ready, Image: b.Image, tag: b.Tag}
	if b.State != plan.Published {
		a.State, a.Reason = Missing, cmp.Or(b.Error, plan.NotBuilt)
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
	seen, err := statImages(ctx, q.target, tags, nil)
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

// kernels answers for each driver and each of the kernels. The tags of the target decide; only for what is not there
// the plan of the whole matrix, all, tells why (nil if it was not needed). orphans are kernels that no release of the
// matrix boots and that have no image.
func (q *resolver) kernels(ctx context.Context, kernels []kernel.Version) (
	answers []Answer, orphans []kernel.Version, all *plan.Plan, err error,
) {
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
					if all, err = plan.Make(ctx, q.files); err != nil {
						return nil, nil, nil, classifyPlan(err, q.target.String())
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
		a.State = Unknown
		a.Reason = fmt.Sprintf("the kernels of %s are unknown", format.Count(len(one.Unresolved), "release"))
	}
	return a
}

// DriverUpgrade is what an upgrade means for one driver.
type DriverUpgrade struct {
	Driver version.Driver `json:"driver"`
	From   []Answer       `json:"from"` // for each kernel of the release that the cluster has
	To     []Answer       `json:"to"`   // for each kernel of the one that it gets

	SameKernel bool   `json:"same_kernel"` // the upgrade changes nothing for the driver
	Problem    string `json:"trouble"`     // why a cluster with this driver cannot be upgraded, "" if it can
}

// Upgrade is what an upgrade of OpenShift means for each driver.
type Upgrade struct {
	Drivers []DriverUpgrade `json:"drivers"`
	From    version.OCP     `json:"from"`
	Ready   bool            `json:"ready"` // a cluster can be upgraded whichever of the drivers it has
	To      version.OCP     `json:"to"`
}

// ResolveUpgrade answers whether a cluster can be upgraded from one OpenShift release to another. The answer comes
// with the error that says why not, of the kind fault.Incomplete. It blocks on the network.
func ResolveUpgrade(ctx context.Context, env Env, r ResolveRequest, from, to string) (*Upgrade, error) {
	u := &Upgrade{}
	for _, flag := range []struct {
		name, text string
		release    *version.OCP
	}{{"--from", from, &u.From}, {"--to", to, &u.To}} {
		v, err := version.ParseOCP(flag.text)
		if err != nil {
			err = fault.Wrap(fmt.Errorf("%s: %w", flag.name, err), "name a release such as 4.21.3")
			return nil, fault.AsUsage(err)
		}
		*flag.release = v
	}
	if u.To.Compare(u.From) < 0 {
		return nil, fault.AsUsage(fault.Wrap(fmt.Errorf("--to %s is older than --from %s", u.To, u.From),
			"OpenShift cannot be downgraded: swap the two"))
	}
	q, err := openResolver(ctx, env, r, u.From, u.To)
	if err != nil {
		return nil, err
	}
	before, err := q.release(ctx, u.From)
	if err != nil {
		return nil, err
	}
	after, err := q.release(ctx, u.To)
	if err != nil {
		return nil, err
	}
	var good, bad []string
	for _, e := range q.files.Entries {
		d := DriverUpgrade{Driver: e.Driver, From: forDriver(before, e.Driver), To: forDriver(after, e.Driver)}
		d.SameKernel = slices.Equal(KernelNames(d.From), KernelNames(d.To)) && KernelNames(d.To) != nil
		if lacking := count(d.To, Answer.lacking); lacking > 0 {
			d.Problem = format.Count(lacking, "image") + " missing or not known"
		} else if requested(d.From) && !requested(d.To) { // for neither it is no cluster's matter
			d.Problem = "the matrix does not have it for " + u.To.String()
		}
		u.Drivers = append(u.Drivers, d)
		if d.Problem != "" {
			bad = append(bad, fmt.Sprintf("%s: %s", d.Driver, d.Problem))
		} else if requested(d.To) {
			good = append(good, d.Driver.String())
		}
	}
	problems := strings.Join(bad, "; ")
	switch {
	case len(bad) > 0 && len(good) > 0: // only --driver tells which one the cluster has
		err = fault.Wrap(fmt.Errorf("not ready for OpenShift %s with every driver: %s", u.To, problems),
			fmt.Sprintf("it is ready with %s; name the driver of the cluster with --driver", strings.Join(good, ", ")))
	case len(bad) > 0:
		err = fmt.Errorf("not ready for OpenShift %s: %s", u.To, problems)
	case len(good) == 0:
		err = fmt.Errorf("not ready for OpenShift %s: the matrix has no driver for it", u.To)
	}
	u.Ready = err == nil
	return u, fault.AsIncomplete(err)
}

// requested reports whether the matrix has the driver for the release that was answered for.
func requested(answers []Answer) bool {
	return slices.ContainsFunc(answers, func(a Answer) bool { return a.State != NotWanted })
}

func forDriver(answers []Answer, d version.Driver) []Answer {
	return slices.DeleteFunc(append([]Answer{}, answers...), func(a Answer) bool { return a.Driver != d })
}

// KernelNames are the names of the kernels that are known, in order.
func KernelNames(answers []Answer) []string {
	kernels := map[kernel.Version]bool{}
	for _, a := range answers {
		kernels[a.Kernel] = true
	}
	delete(kernels, kernel.Version{})
	var names []string
	for _, k := range slices.SortedFunc(maps.Keys(kernels), kernel.Version.Compare) {
		names = append(names, k.String())
	}
	return names
}

// unclearArgument is the error for an argument that is neither a release nor a kernel. What was meant may be in the
// catalogue: a release of a minor, or a name that is nearly the same. Nothing is asked of the network.
func unclearArgument(catalogPath, arg string) error {
	c, err := catalog.Load(catalogPath)
	if err != nil {
		return fault.AsInvalid(err)
	}
	if s, err := version.ParseSelector(arg); err == nil { // a minor, whose releases boot different kernels
		if err := c.Missing(s, arch); err != nil {
			return fault.AsUsage(fault.Wrap(err,
				"add it with `neuron-kmod catalog update`, or ask for a release that is in it"))
		}
		entries, _ := c.Select([]version.Selector{s}, arch)
		return fault.AsUsage(fault.Wrap(fmt.Errorf("the releases of OpenShift %s boot different kernels", s),
			fmt.Sprintf("name one of them; the newest in %s is %s", c.Path, entries[len(entries)-1].Version)))
	}
	var names []string
	for _, e := range c.Entries {
		if e.Arch == arch {
			names = append(names, e.Version.String(), e.Kernel.String())
		}
	}
	advice := "name a release such as 4.21.3, or a kernel as uname -r prints it, such as 5.14.0-570.96.1.el9_6.x86_64"
	if near := nearest(arg, names); len(near) > 0 {
		advice = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return fault.AsUsage(fault.Wrap(fmt.Errorf("%.100q is neither an OpenShift release nor a kernel", arg), advice))
}

// withNearest adds to an error which kernels may have been meant.
func (q *resolver) withNearest(err error, k kernel.Version, all *plan.Plan) error {
	have := all.Kernels()
	var names, tagged []string
	for _, k := range have {
		names, tagged = append(names, k.String()), append(tagged, k.Tag())
	}
	// Drivers have images for other kernels, too, whose names are those that tags give them.
	for tag := range q.tags {
		for _, e := range q.files.Entries {
			name, ok := strings.CutPrefix(tag, kernel.TagPrefix(e.Driver))
			if k, err := kernel.Parse(name); ok && err == nil && !slices.Contains(tagged, k.Tag()) {
				names, tagged = append(names, name), append(tagged, name)
			}
		}
	}
	if near := nearest(k.String(), names); len(near) > 0 {
		return fault.Wrap(err, "the nearest are: "+strings.Join(near, ", "))
	}
	if len(have) > 0 {
		return fault.Wrap(err,
			fmt.Sprintf("no kernel has a similar name; the newest kernel of the matrix is %s", have[len(have)-1]))
	}
	return err
}

// nearest are the names that differ least from what was typed, at most three: a typo is what changes less than a
// quarter of it, and a name that needs twice as many changes as the best is not what was meant.
func nearest(typed string, names []string) []string {
	const most = 100 // no kernel and no release is as long
	if len(typed) > most {
		return nil
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" || edits(typed, n)*4 > max(len(typed), len(n)) })
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(edits(typed, a), edits(typed, b)) })
	names = slices.DeleteFunc(names, func(n string) bool { return edits(typed, n) > 2*edits(typed, names[0]) })
	return names[:min(3, len(names))]
}

// edits is how many letters have to be put in, taken out or changed to make b of a (Levenshtein's distance).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
