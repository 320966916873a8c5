package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"neuron-kmod/container"
	"neuron-kmod/internal/driver"
	"neuron-kmod/internal/kernel"
)

// SourceInput says what the archive of a driver's modified source is made from.
type SourceInput struct {
	Source  *driver.Source
	Kernels []kernel.Version // those of the published images, in any order
	Script  string           // the build-module.sh that compiles the modules
	// Made is the time of every file in the archive, to the second. Zero means the time at which the driver's package
	// was made, or a fixed one where the package does not say.
	Made time.Time
	// Dir is a folder of the run, which exists. The archive is made there, and copies of the source while it is.
	Dir string
}

// ModifiedSource makes the archive of a driver's source as it was compiled. Patch rules differ by kernel, so it holds
// one tree for each way the source comes out, exactly as driver.Source.Prepare makes it, with the kernels that it is
// for and the changes that were made; and with what the GPL counts as source beside it: the script that compiles, and
// the licence. Equal input gives equal bytes.
//
// It is an error if no kernel is given, or if a rule that is due does not match for one of them.
func ModifiedSource(ctx context.Context, in SourceInput) (Archive, error) {
	a, err := modifiedSource(ctx, in)
	if err != nil {
		return Archive{}, fmt.Errorf("make the archive of the modified source of driver %s: %w", in.Source.Version, err)
	}
	return a, nil
}

func modifiedSource(ctx context.Context, in SourceInput) (_ Archive, err error) {
	if len(in.Kernels) == 0 {
		return Archive{}, errors.New("no image of it is published, so there is nothing to give the source of")
	}
	temp, err := os.MkdirTemp(in.Dir, "modified-source-*")
	if err != nil {
		return Archive{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	outcomes, err := prepare(ctx, in, temp)
	if err != nil {
		return Archive{}, err
	}
	c, err := arrange(in, outcomes)
	if err != nil {
		return Archive{}, err
	}
	made := in.Made
	if made.IsZero() {
		made = in.Source.Made
	}
	if made.IsZero() {
		made = undated
	}
	return c.write(ctx, filepath.Join(in.Dir, ModifiedSourceFile(in.Source.Version)), made)
}

// arrange lays the archive out.
func arrange(in SourceInput, outcomes []*outcome) (contents, error) {
	licence, err := fs.ReadFile(container.Files, "licenses/GPL-2.0.txt")
	if err != nil {
		return nil, err
	}
	top := modifiedSourceFolder(in.Source.Version) + "/"
	c := contents{
		top + "README":               file([]byte(readme(in.Source.Version, outcomes)), 0o644),
		top + "build-module.sh":      file([]byte(in.Script), 0o755),
		top + "licenses/GPL-2.0.txt": file(licence, 0o644),
	}
	for _, o := range outcomes {
		at := top + "trees/" + o.name
		c[at+".kernels"] = file([]byte(o.kernelList()), 0o644)
		c[at+".changes"] = file([]byte(o.changeList(in.Source.Version)), 0o644)
		if err := c.addTree(at, o.dir); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// prepare prepares the source for each kernel in folders of temp and keeps one folder for each outcome. The outcomes
// are in the order of their lowest kernels.
func prepare(ctx context.Context, in SourceInput, temp string) ([]*outcome, error) {
	kernels := slices.Clone(in.Kernels)
	slices.SortFunc(kernels, kernel.Version.Compare)
	var all []*outcome
	known := map[string]*outcome{}
	for i, k := range slices.Compact(kernels) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		dir := filepath.Join(temp, fmt.Sprintf("%d", i))
		applied, err := in.Source.Prepare(k, dir)
		if err != nil {
			return nil, err
		}
		print, err := fingerprint(dir)
		if err != nil {
			return nil, err
		}
		if o := known[print]; o != nil {
			o.kernels = append(o.kernels, k)
			if err := os.RemoveAll(dir); err != nil {
				return nil, err
			}
			continue
		}
		o := &outcome{dir: dir, applied: applied, kernels: []kernel.Version{k}}
		known[print] = o
		all = append(all, o)
	}
	nameOutcomes(all)
	return all, nil
}
