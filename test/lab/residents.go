package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"neuron-kmod/internal/platform/command"
)

// residentsRecipe changes when Residents makes something else.
const residentsRecipe = "residents 1"

// Residents returns a storage for Options.SharedStorage: it has a Driver Toolkit for each of the lab's kernels but that
// of flavour Cloud. They are no release's, so that the program under test pulls those of the releases, all but the
// layers. A test to which it matters how a toolkit is pulled goes without it, or takes the Cloud kernel. It takes half
// a minute the first time.
func (l *Lab) Residents(ctx context.Context) (storage string, err error) {
	var kernels []string
	recipe := fmt.Sprint(residentsRecipe, l.toolchain.meta.Digest)
	for _, k := range l.Kernels() {
		if k != l.DebianKernel(Cloud) {
			kernels = append(kernels, k)
			recipe += fmt.Sprint(k, l.kernels[k].meta.Digest)
		}
	}
	dir, err := l.store.make(ctx, "residents", recipe, func(ctx context.Context, dir string) error {
		return l.makeResidents(ctx, dir, kernels)
	})
	return filepath.Join(dir, "storage"), err
}

// makeResidents leaves nothing in dir but podman's storage.
func (l *Lab) makeResidents(ctx context.Context, dir string, kernels []string) (err error) {
	temp, err := os.MkdirTemp(dir, "env-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeAll(temp)) }()
	e, err := l.Start(ctx, Options{Dir: temp})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	own, err := newPodmanStorage(dir)
	if err != nil {
		return err
	}
	for _, kernel := range kernels {
		dtk, err := e.PushToolkit(ctx, Toolkit{Kernel: kernel, Release: "resident"})
		if err != nil {
			return err
		}
		pull := command.Cmd{Name: "podman", Args: []string{"pull", "--quiet", dtk}, Env: append(e.Vars, own.vars()...)}
		if err := command.Run(ctx, pull); err != nil {
			return err
		}
	}
	return own.detach(ctx)
}
