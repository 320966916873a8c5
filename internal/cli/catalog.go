package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/catalogsync"
	"neuron-kmod/internal/openshift/matrix"
	"neuron-kmod/internal/openshift/payload"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/progress"
	"neuron-kmod/internal/version"
)

func newCatalog(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalog",
		Short: "Look after the catalogue of Driver Toolkits, and copies of them",
		Args: func(cmd *cobra.Command, args []string) error {
			err := errors.New("catalog needs a command")
			if len(args) > 0 {
				err = fmt.Errorf("there is no command %q", args[0])
			}
			return usage{fault.Wrap(err, "see `"+cmd.CommandPath()+" --help`")}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCatalogMirror(a), newCatalogUpdate(a), newCatalogVerify(a))
	return cmd
}

// catalogOptions are what the commands have in common that compare the
// catalogue with OpenShift's releases.
type catalogOptions struct {
	*app
	from   string
	images string // "", or where the images are that releases are made of
	minors []string
	check  bool
	output string // "text" or "json"
}

func (o *catalogOptions) flags(cmd *cobra.Command) {
	o.fileFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.from, "from", payload.DefaultRepository, "`repository` of OpenShift's release images, or a mirror of it with the same tags; see --images-from")
	f.StringVar(&o.images, "images-from", "", "read Driver Toolkits and node images in this `REGISTRY/REPOSITORY`, by their digests; by default where the releases say, which is at quay.io")
	f.StringVarP(&o.output, "output", "o", "text", "`format` of the result: text or json")
}

// named returns the minors of --minors.
func (o *catalogOptions) named() ([]version.Selector, error) {
	var minors []version.Selector
	for _, text := range o.minors {
		s, err := version.ParseSelector(text)
		if err == nil && s.String() != s.Minor() {
			err = fmt.Errorf("%q is one release", text)
		}
		if err != nil {
			return nil, usage{fault.Wrap(fmt.Errorf("--minors: %w", err), "name minor releases, such as --minors 4.20,4.21")}
		}
		minors = append(minors, s)
	}
	return minors, nil
}

// ofMatrix returns the minors of the matrix, and pre-releases that it names. The
// file may be missing where the command line names minors.
func (o *catalogOptions) ofMatrix(optional bool) ([]version.Selector, error) {
	m, err := matrix.Load(o.Matrix)
	if errors.Is(err, fs.ErrNotExist) && optional {
		return nil, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, invalid{fault.Wrap(err, "write it, name another file with --matrix, or name minor releases with --minors")}
	}
	if err != nil {
		return nil, invalid{err}
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

// sorted returns selectors in order, each once.
func sorted(selectors []version.Selector) []version.Selector {
	slices.SortFunc(selectors, version.Selector.Compare)
	return slices.Compact(selectors)
}

// openCatalog reads the catalogue to change it.
func (o *catalogOptions) openCatalog() (*catalog.File, error) {
	c, err := catalog.Open(o.Catalog)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage{err}
	}
	if err != nil {
		return nil, invalid{err}
	}
	return c, nil
}

// save writes the catalogue if it has changed, and reports whether it has.
func save(c *catalog.File) (bool, error) {
	wrote, err := c.Save()
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		err = incomplete{err}
	}
	return wrote, err
}

// keeper is the way to the releases. Kernels are remembered as those of plans
// are. The caller closes what is returned beside it when the keeper has done
// its work.
func (o *catalogOptions) keeper(s *session) (*catalogsync.Keeper, *steps, error) {
	repository, err := payload.NewRepository(s.client, o.from)
	if err != nil {
		return nil, nil, usage{fmt.Errorf("--from: %w", err)}
	}
	toolkits := &toolkit.Reader{Client: s.client, Cache: toolkit.NewCache(filepath.Join(s.CacheDir, "kernels")), Log: s.log}
	if o.images != "" {
		if err := checkRepository(o.images); err != nil {
			return nil, nil, usage{fmt.Errorf("--images-from: %w", err)}
		}
		repository.Images = o.images
		toolkits.Locate = func(_ context.Context, dtk string) (string, error) { return repository.Place(dtk), nil }
	}
	steps := &steps{progress: progress.NewProgress(o.stderr, o.live && !o.quiet, o.log), tasks: map[string]progress.Task{}}
	return &catalogsync.Keeper{
		Repository: repository,
		Toolkits:   toolkits,
		Parallel:   toolkitReaders,
		Progress:   steps.tell,
	}, steps, nil
}

// checkRepository returns an error for what is no repository of a registry.
func checkRepository(text string) error {
	kind, _, err := registry.ParseTarget(text)
	if err == nil && kind != registry.KindRegistry {
		err = fmt.Errorf("%q is not a repository of a registry", text)
	}
	if err != nil {
		return fault.Wrap(err, "name it as REGISTRY/REPOSITORY, without a tag")
	}
	return nil
}

// classifyKeeping marks the errors of a keeper that are the caller's.
func classifyKeeping(err error) error {
	if errors.Is(err, catalogsync.ErrNoReleases) {
		return usage{err}
	}
	return registry.Classify(err)
}

// steps shows the steps of a keeper.
type steps struct {
	progress *progress.Progress
	mu       sync.Mutex
	tasks    map[string]progress.Task
}

func (s *steps) tell(step string, done, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	task := s.tasks[step]
	if task == nil {
		task = s.progress.Start("read", fmt.Sprintf("%s (%d)", step, total), "")
		s.tasks[step] = task
	}
	task.Update(int64(done), int64(total))
	if done == total {
		task.Done(nil)
		delete(s.tasks, step)
	}
}

// Close ends what is shown of steps that have not come to their end.
func (s *steps) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, task := range s.tasks {
		task.Done(context.Canceled)
	}
	s.progress.Close()
}
