package release

import (
	"fmt"
	"slices"
	"strings"

	"neuron-kmod/internal/openshift/manifest"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// MaxNotes is how long the notes of a release may be. GitHub counts characters and refuses longer ones with status 422;
// bytes, of which there are never fewer, are counted here.
const MaxNotes = 125_000

// NotesInput is what the notes of a release are computed from.
type NotesInput struct {
	// Plan has one driver and every release that the matrix has for it: the plan of a filtered run would make the notes
	// forget images. Builds that are published or built are listed as available, so their states have to come from the
	// target. Digests and sizes are shown where they are known; a caller who wants the same notes after every run fills
	// them in for all that is published. Errors of builds that are not published, and reasons of unresolved releases, are
	// shown to everybody.
	Plan *plan.Plan
	// Repository is the images' name without a tag, as a cluster pulls them: "public.ecr.aws/me/neuron-kmod".
	Repository string
	// BusyBox are the versions in the available images, whose sources are attached: usually one, more where the base image
	// has moved on between images.
	BusyBox []string
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

// Notes returns the notes of a driver's release in GitHub's Markdown, at most MaxNotes long. They are a function of the
// input alone, so that notes that differ tell that something has changed. Notes that would be too long leave out the
// table of OpenShift releases, whose content the lists of images tell as well, and say so; 63 kernels with the table
// have 32 kB. It is an error if they are too long even so, or if the plan is not that of one driver.
func Notes(in NotesInput) (string, error) {
	n, err := newNotes(in)
	if err != nil {
		return "", fmt.Errorf("write the release notes: %w", err)
	}
	text := n.render(true)
	if len(text) > MaxNotes {
		text = n.render(false)
	}
	if len(text) > MaxNotes {
		err := fmt.Errorf("they have %d bytes without the table of releases, and GitHub takes %d", len(text), MaxNotes)
		return "", fmt.Errorf("write the release notes of driver %s: %w", n.driver,
			fault.Wrap(err, "have the matrix name fewer OpenShift versions for this driver"))
	}
	return text, nil
}

// notes is the input in the order in which the notes tell it.
type notes struct {
	driver               version.Driver
	repository           string
	module, deviceConfig string // YAML
	busyBox              []string
	available            []plan.Build // ascending by kernel, as is missing
	missing              []plan.Build
	unresolved           []plan.Unresolved // ascending by release
}

func newNotes(in NotesInput) (*notes, error) {
	if len(in.Plan.Drivers) != 1 {
		return nil, fmt.Errorf("they are of one driver, the plan has %d", len(in.Plan.Drivers))
	}
	n := &notes{
		driver: in.Plan.Drivers[0], repository: in.Repository, busyBox: in.BusyBox,
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
	if n.module, err = manifest.Module(manifest.ModuleInput{Place: manifest.DefaultPlace(), Repository: repository,
		Driver: n.driver}); err != nil {
		return nil, err
	}
	if n.deviceConfig, err = manifest.DeviceConfigPatch(repository, n.driver); err != nil {
		return nil, err
	}
	sortByKernel(n.missing)
	slices.SortStableFunc(n.unresolved, func(a, b plan.Unresolved) int { return a.Release.Compare(b.Release) })
	return n, nil
}

// render writes the notes, with or without the table of OpenShift releases.
func (n *notes) render(table bool) string {
	var b strings.Builder
	n.writeHead(&b, table)
	n.writeUsage(&b)
	n.writeAvailable(&b)
	if table {
		n.writeTable(&b)
	}
	n.writeMissing(&b)
	n.writeDigests(&b)
	n.writeSources(&b)
	return b.String()
}

// list joins releases as R7.1 has them: "4.18.15, 4.18.16, 4.19.5".
func list(vs []version.OCP) string {
	names := make([]string, len(vs))
	for i, v := range vs {
		names[i] = v.String()
	}
	return strings.Join(names, ", ")
}
