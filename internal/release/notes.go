package release

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"neuron-kmod/internal/openshift/manifest"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/version"
)

// MaxNotes is how long the notes of a release may be. GitHub counts characters and refuses longer ones with status 422;
// bytes, of which there are never fewer, are counted here.
const MaxNotes = 125_000

// NotesInput is what the notes of a release are computed from.
type NotesInput struct {
	// Plan has one driver and every release that the matrix has for it: the plan of a filtered run would make the
	// notes forget images. Builds that are published or built are listed as available, so their states have to come
	// from the target. Digests and sizes are shown where they are known; a caller who wants the same notes after every
	// run fills them in for all that is published. Errors of builds that are not published, and reasons of
	// unresolved releases, are shown to everybody.
	Plan *plan.Plan
	// Repository is the images' name without a tag, as a cluster pulls them: "public.ecr.aws/me/neuron-kmod".
	Repository string
	// BusyBox are the versions in the available images, whose sources are attached: usually one, more where the base
	// image has moved on between images.
	BusyBox []string
	// Packages are the digests of the driver's packages that the available images were made from: usually one, none where
	// the images are older than their labels.
	Packages []string
}

// Available returns the builds of a plan whose image is in the target, ascending by kernel.
func Available(p *plan.Plan) []plan.Build {
	var found []plan.Build
	for _, b := range p.Builds {
		if b.State == plan.Published || b.State == plan.Built {
			found = append(found, b)
		}
	}
	sortByKernel(found)
	return found
}

func sortByKernel(builds []plan.Build) {
	slices.SortStableFunc(builds, func(a, b plan.Build) int { return a.Kernel.Compare(b.Kernel) })
}

// Notes returns the notes of a driver's release in GitHub's Markdown, at most MaxNotes long. They are a function of
// the input alone, so that notes that differ tell that something has changed. Notes that would be too long are
// shortened step by step, least needed things first, and say how. It is an error if the plan is not that of one driver.
func Notes(in NotesInput) (string, error) {
	n, err := newNotes(in)
	if err != nil {
		return "", fmt.Errorf("write the release notes: %w", err)
	}
	text, err := n.fit(MaxNotes)
	if err != nil {
		return "", fmt.Errorf("write the release notes of driver %s: %w", n.driver, err)
	}
	return text, nil
}

// notes is the input in the order in which the notes tell it.
type notes struct {
	driver               version.Driver
	repository           string
	module, deviceConfig string // YAML
	busyBox, packages    []string
	available            []plan.Build // ascending by kernel, as is missing
	missing              []plan.Build
	unresolved           []plan.Unresolved // ascending by release
}

func newNotes(in NotesInput) (*notes, error) {
	if len(in.Plan.Drivers) != 1 {
		return nil, fmt.Errorf("they are of one driver, the plan has %d", len(in.Plan.Drivers))
	}
	n := &notes{
		driver: in.Plan.Drivers[0], repository: in.Repository, busyBox: in.BusyBox, packages: in.Packages,
		available: Available(in.Plan), unresolved: slices.Clone(in.Plan.Unresolved),
	}
	for _, b := range in.Plan.Builds {
		if b.Driver != n.driver {
			return nil, fmt.Errorf("they are of driver %s, the plan has a build of %s", n.driver, b.Driver)
		}
		if b.State != plan.Published && b.State != plan.Built {
			n.missing = append(n.missing, b)
		}
	}
	repository := oneLine(n.repository)
	var err error
	if n.module, err = manifest.Module(manifest.ModuleInput{Place: manifest.DefaultPlace(), Repository: repository, Driver: n.driver}); err != nil {
		return nil, err
	}
	if n.deviceConfig, err = manifest.DeviceConfigPatch(repository, n.driver); err != nil {
		return nil, err
	}
	sortByKernel(n.missing)
	slices.SortStableFunc(n.unresolved, func(a, b plan.Unresolved) int { return a.Release.Compare(b.Release) })
	return n, nil
}

// form is how far the notes are shortened. Each form includes those before it. Up to releaseSpans nothing is lost that
// another part of the notes does not tell, except for digests, which the registry tells, and reasons.
type form int

const (
	full          form = iota
	tableByKernel      // the table has a row for each kernel instead of each release
	noTable            // the lists of images tell what the table did
	noDigests          //
	noReasons          // what is missing is named without a reason
	releaseSpans       // lists have "4.20.1 to 4.20.9"
	missingCounts      // what is missing is counted
	cut                // images for the oldest kernels are left out
)

// told says in the notes what each form has shortened.
var told = map[form]string{
	tableByKernel: "the table of OpenShift releases has a row for each kernel",
	noTable:       "the table of OpenShift releases is left out",
	noDigests:     "digests are left out",
	noReasons:     "what is missing is named without the reason",
	releaseSpans:  "releases that follow each other are named by the first and the last",
	missingCounts: "what is missing is only counted",
	cut:           "images for the oldest kernels are left out of the list",
}

// outdone are forms of which nothing is seen any more from another form on.
var outdone = map[form]form{tableByKernel: noTable, noReasons: missingCounts}

// fit renders the longest form that is not longer than limit bytes.
func (n *notes) fit(limit int) (string, error) {
	for f := full; f < cut; f++ {
		if text := n.render(f, len(n.available)); len(text) <= limit {
			return text, nil
		}
	}
	// The first number of images that is too many. None is one that has to fit.
	many := sort.Search(len(n.available)+1, func(keep int) bool { return len(n.render(cut, keep)) > limit })
	if many == 0 {
		return "", errors.New("they are too long for GitHub even without any image; is the repository's name right?")
	}
	return n.render(cut, many-1), nil
}

// render writes the notes in a form. keep is how many images are listed, those for the newest kernels.
func (n *notes) render(f form, keep int) string {
	var b strings.Builder
	n.writeHead(&b, f)
	n.writeUsage(&b)
	n.writeAvailable(&b, f, keep)
	n.writeTable(&b, f)
	n.writeMissing(&b, f)
	n.writeDigests(&b, f)
	n.writeSources(&b)
	return b.String()
}
