package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/platform/fault"
)

// errNoArchive is why nothing can be taken from a release that is not there.
var errNoArchive = fmt.Errorf("there is no earlier release: %w", fs.ErrNotExist)

// gatherer collects the trees that modules were compiled from.
type gatherer struct {
	in    SourceInput
	temp  string
	trees map[string]*tree // by digest
	rule  error            // a rule that does not match for a module, which may have been compiled from another package
}

// gather returns the trees, in directories of temp, in the order of their lowest kernels. Trees that the release has
// stay in it: images that were replaced, or are in another repository, were given away with them.
func gather(ctx context.Context, in SourceInput, temp string) ([]*tree, error) {
	g := &gatherer{in: in, temp: temp, trees: map[string]*tree{}}
	modules := slices.SortedFunc(slices.Values(in.Modules), func(a, b Module) int {
		return cmp.Or(a.Kernel.Compare(b.Kernel), cmp.Compare(a.Source, b.Source))
	})
	var older []Module
	for i, m := range slices.Compact(modules) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		made, err := g.prepare(m, filepath.Join(temp, fmt.Sprintf("%d", i)))
		if err != nil {
			return nil, err
		}
		if !made {
			older = append(older, m)
		}
	}
	if err := g.addEarlier(ctx, older); err != nil {
		return nil, err
	}
	for _, t := range g.trees {
		slices.SortFunc(t.kernels, kernel.Version.Compare)
		t.kernels = slices.Compact(t.kernels)
	}
	return slices.SortedFunc(maps.Values(g.trees), func(a, b *tree) int {
		return cmp.Or(a.kernels[0].Compare(b.kernels[0]), cmp.Compare(a.name, b.name))
	}), nil
}

// prepare makes in dir the source as it would be compiled for a module now, and reports whether it was compiled from
// that.
func (g *gatherer) prepare(m Module, dir string) (made bool, err error) {
	applied, err := g.in.Source.Prepare(m.Kernel, dir)
	if _, rule := errors.AsType[*driver.RuleError](err); rule && m.Source != "" {
		g.rule = err
		return false, nil
	}
	if err != nil {
		return false, err
	}
	digest, err := driver.SourceDigest(dir, g.in.Script)
	if err != nil {
		return false, err
	}
	wanted := m.Source == "" || m.Source == digest
	if t := g.trees[digest]; t != nil && wanted {
		t.kernels = append(t.kernels, m.Kernel)
	} else if wanted {
		g.trees[digest] = &tree{
			name: treeName(applied, digest), digest: digest, dir: dir, script: g.in.Script,
			changes: changeList(g.in.Source.Version, applied), kernels: []kernel.Version{m.Kernel},
		}
		return true, nil
	}
	return wanted, os.RemoveAll(dir)
}

// addEarlier adds the trees of the archive that the release has. The older modules have to be among them, or, where two
// kernels have changed places in the rules, among today's.
func (g *gatherer) addEarlier(ctx context.Context, older []Module) error {
	held, reason := g.readEarlier(ctx)
	if _, other := errors.AsType[archiveError](reason); reason != nil && !other && !errors.Is(reason, fs.ErrNotExist) {
		return reason
	}
	for digest, t := range held {
		if today := g.trees[digest]; today != nil {
			today.kernels = append(today.kernels, t.kernels...)
		} else {
			g.trees[digest] = t
		}
	}
	gone := &SourceGoneError{Reason: cmp.Or(g.rule, reason)}
	for _, m := range older {
		if t := g.trees[m.Source]; t != nil {
			t.kernels = append(t.kernels, m.Kernel)
		} else {
			gone.Kernels = append(gone.Kernels, m.Kernel)
		}
	}
	if len(gone.Kernels) > 0 {
		return fault.Wrap(gone,
			fmt.Sprintf("`neuron-kmod build %s --force` compiles anew what the matrix has, and images for other kernels can be "+
				"deleted; or use the --driver-source, the --container-dir and the version of neuron-kmod that they were made with",
				g.in.Source.Version))
	}
	return nil
}

// readEarlier reads the archive that the release has, into a directory of temp. Its trees are by their digests.
func (g *gatherer) readEarlier(ctx context.Context) (map[string]*tree, error) {
	if g.in.Earlier == nil {
		return nil, errNoArchive
	}
	body, err := g.in.Earlier(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close() // it is only read from
	top := modifiedSourceDir(g.in.Source.Version)
	held, err := readTrees(ctx, body, top, filepath.Join(g.temp, "earlier"), treeLimits)
	if err != nil {
		return nil, fmt.Errorf("read the archive that the release has: %w", err)
	}
	return held, nil
}
