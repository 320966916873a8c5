package action

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/catalogsync"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/openshift/payload"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/progress"
	"neuron-kmod/internal/version"
)

// CatalogRequest says what the catalogue is compared with.
type CatalogRequest struct {
	Matrix  string   // path of build-matrix.json
	Catalog string   // path of driver-toolkit.json
	From    string   // repository of OpenShift's release images
	Images  string   // repository of the images that releases are made of; "" for where the releases say
	Minors  []string // minor releases, such as "4.20"
	Check   bool     // write nothing
}

// ReleaseRepository is where OpenShift's release images are.
const ReleaseRepository = payload.DefaultRepository

// minors returns the minors that the command line names.
func (r CatalogRequest) minors() ([]version.Selector, error) {
	var minors []version.Selector
	for _, text := range r.Minors {
		s, err := version.ParseSelector(text)
		if err == nil && s.String() != s.Minor() {
			err = fmt.Errorf("%q is one release", text)
		}
		if err != nil {
			return nil, fault.AsUsage(fault.Wrap(fmt.Errorf("--minors: %w", err), "name minor releases, such as --minors 4.20,4.21"))
		}
		minors = append(minors, s)
	}
	return minors, nil
}

// matrixSelectors returns the minors of the matrix, and pre-releases that it names. The file may be missing where it is
// optional.
func (r CatalogRequest) matrixSelectors(optional bool) ([]version.Selector, error) {
	m, err := matrix.Load(r.Matrix)
	if errors.Is(err, fs.ErrNotExist) && optional {
		return nil, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.AsInvalid(fault.Wrap(err, "write it, name another file with --matrix, or name minor releases with --minors"))
	}
	if err != nil {
		return nil, fault.AsInvalid(err)
	}
	var selectors []version.Selector
	for _, e := range m.Entries {
		for _, s := range e.Selectors {
			minor, err := version.ParseSelector(s.Minor())
			if err != nil {
				return nil, err
			}
			selectors = append(selectors, minor)
			if release, err := version.ParseOCP(s.String()); err == nil && release.IsPreRelease() {
				selectors = append(selectors, s)
			}
		}
	}
	return selectors, nil
}

// sortedSelectors returns selectors in order, each once.
func sortedSelectors(selectors []version.Selector) []version.Selector {
	slices.SortFunc(selectors, version.Selector.Compare)
	return slices.Compact(selectors)
}

// saveCatalog writes the catalogue if it has changed, and reports whether it has.
func saveCatalog(c *catalog.File) (bool, error) {
	wrote, err := c.Save()
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		err = fault.AsIncomplete(err)
	}
	return wrote, err
}

// syncer makes the way to the releases. Kernels are remembered as those of plans are. The caller closes the steps, which
// show how far the syncer is, when it has done its work.
func (r CatalogRequest) syncer(s *session) (*catalogsync.Syncer, *steps, error) {
	repository, err := payload.NewRepository(s.client, r.From)
	if err != nil {
		return nil, nil, fault.AsUsage(fmt.Errorf("--from: %w", err))
	}
	toolkits := s.reader(nil)
	if r.Images != "" {
		if err := checkRepository(r.Images); err != nil {
			return nil, nil, fault.AsUsage(fmt.Errorf("--images-from: %w", err))
		}
		repository.Images = r.Images
		toolkits.Locate = func(_ context.Context, dtk string) (string, error) { return repository.Place(dtk), nil }
	}
	shown := &steps{bars: s.env.Progress(), tasks: map[string]progress.Task{}}
	return &catalogsync.Syncer{
		Repository: repository,
		Toolkits:   toolkits,
		Parallel:   parallelReads,
		Progress:   shown.update,
	}, shown, nil
}

// checkRepository returns an error for what is not a repository of a registry.
func checkRepository(text string) error {
	kind, _, err := registry.ParseTarget(text)
	if err == nil && kind != registry.KindRegistry {
		err = fmt.Errorf("%q is not a repository of a registry", text)
	}
	return fault.Wrap(err, "name it as REGISTRY/REPOSITORY, without a tag")
}

// steps shows how far a syncer is.
type steps struct {
	bars  *progress.Progress
	mu    sync.Mutex
	tasks map[string]progress.Task
}

func (s *steps) update(step string, done, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	task := s.tasks[step]
	if task == nil {
		task = s.bars.Start("read", fmt.Sprintf("%s (%d)", step, total), "")
		s.tasks[step] = task
	}
	task.Update(int64(done), int64(total))
	if done == total {
		task.Done(nil)
		delete(s.tasks, step)
	}
}

// close ends what is shown of steps that have not come to their end.
func (s *steps) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, task := range s.tasks {
		task.Done(context.Canceled)
	}
	s.bars.Close()
}
