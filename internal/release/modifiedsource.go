package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"neuron-kmod/container"
	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/platform/fault"
)

// SourceInput says what the archive of a driver's modified source is made from.
type SourceInput struct {
	Source  *driver.Source
	Modules []Module // those in the published images, in any order
	Script  string   // the build-module.sh that compiles the modules
	// Earlier opens the archive that the release has now; nil, or an error that is fs.ErrNotExist, means that there is
	// none. Its trees stay, and those of modules that were compiled from something else than what Source and the rules of
	// this program make now, another package, other rules or another script, are taken from it.
	Earlier func(ctx context.Context) (io.ReadCloser, error)
	// Made is the time of every file in the archive, to the second. Zero means the time at which the driver's package was
	// made, or a fixed one where the package does not say.
	Made time.Time
	// Dir is a directory of the run, which exists. The archive is made there, and copies of the source while it is.
	Dir string
}

// Module is a published module.
type Module struct {
	Kernel kernel.Version
	Source string // driver.SourceDigest of what it was compiled from; "" if its image does not say
}

// SourceGoneError says that the source of published modules is neither what the program would compile now nor in the
// archive of the release.
type SourceGoneError struct {
	Kernels []kernel.Version // ascending
	Reason  error            // why there is nothing to take it from, or nil
}

func (e *SourceGoneError) Error() string {
	names := make([]string, len(e.Kernels))
	for i, k := range e.Kernels {
		names[i] = k.String()
	}
	text := "the source that was compiled for " + strings.Join(names, ", ") +
		" is not at hand: it is not what this program would compile now, and the release does not hold it"
	if e.Reason != nil {
		text += fmt.Sprintf(" (%v)", e.Reason)
	}
	return text
}

func (e *SourceGoneError) Unwrap() error { return e.Reason }

// FaultKind implements fault.KindOf.
func (e *SourceGoneError) FaultKind() fault.Kind { return fault.Incomplete }

// ModifiedSource makes the archive of a driver's source as it was compiled. Patch rules differ by kernel, and change
// with time, so it holds one tree for each source that a module was compiled from, with the kernels that it is for, the
// changes that were made and the script that compiles; and the licence. Trees are what driver.Source.Prepare makes or,
// for modules that are older than today's rules, what the archive of the release has, all of which is kept. Equal input
// gives equal bytes.
//
// It is an error if there is no module, if a rule that is due does not match for one that does not say what it was
// compiled from, and a *SourceGoneError with advice if the source of one cannot be had.
func ModifiedSource(ctx context.Context, in SourceInput) (Archive, error) {
	a, err := modifiedSource(ctx, in)
	if err != nil {
		return Archive{}, fmt.Errorf("make the archive of the modified source of driver %s: %w", in.Source.Version, err)
	}
	return a, nil
}

func modifiedSource(ctx context.Context, in SourceInput) (_ Archive, err error) {
	if len(in.Modules) == 0 {
		return Archive{}, errors.New("no image of it is published, so there is nothing to give the source of")
	}
	temp, err := os.MkdirTemp(in.Dir, "modified-source-*")
	if err != nil {
		return Archive{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	trees, err := gather(ctx, in, temp)
	if err != nil {
		return Archive{}, err
	}
	c, err := layOut(in, trees)
	if err != nil {
		return Archive{}, err
	}
	made := cmp.Or(in.Made, in.Source.Made, undated)
	return c.write(ctx, filepath.Join(in.Dir, ModifiedSourceFile(in.Source.Version)), made)
}

// layOut returns what is in the archive.
func layOut(in SourceInput, trees []*tree) (contents, error) {
	licence, err := fs.ReadFile(container.Files, "licenses/GPL-2.0.txt")
	if err != nil {
		return nil, err
	}
	top := modifiedSourceDir(in.Source.Version) + "/"
	c := contents{
		top + "README":               file([]byte(readme(in, trees)), 0o644),
		top + "licenses/GPL-2.0.txt": file(licence, 0o644),
	}
	for _, t := range trees {
		at := top + treesDir + t.name
		var kernels strings.Builder
		for _, k := range t.kernels {
			fmt.Fprintln(&kernels, k)
		}
		c[at+kernelsSuffix] = file([]byte(kernels.String()), 0o644)
		c[at+changesSuffix] = file([]byte(t.changes), 0o644)
		c[at+scriptSuffix] = file([]byte(t.script), 0o755)
		if err := c.addTree(at, t.dir); err != nil {
			return nil, err
		}
	}
	return c, nil
}
