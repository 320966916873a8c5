package lab

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/version"
)

// Lab is what is kept in one directory: everything that takes long to make.
type Lab struct {
	Dir string

	log       *slog.Logger
	store     *store
	toolchain *layer
	kernels   map[string]*layer
	debian    choice
	busybox   *busybox
	ca        *authority
	engine    *engineSettings
}

// Open makes what is missing in dir (.lab) and loads it: under a minute the first time plus the downloads
// (some 350 MB), well under a second after that. A nil log is silent.
func Open(ctx context.Context, dir string, log *slog.Logger) (*Lab, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l := &Lab{Dir: dir, log: log, store: &store{dir: dir, log: log}, kernels: map[string]*layer{}}
	if l.ca, err = openAuthority(ctx, l.store); err != nil {
		return nil, fmt.Errorf("the lab's certificate authority: %w", err)
	}
	if err := l.prepare(ctx); err != nil {
		return nil, err
	}
	if l.engine, err = l.probeEngine(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// prepare makes the layers. The toolchain takes as long as all kernels together, so both go on at once.
func (l *Lab) prepare(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		l.toolchain, err = toolchainLayer(ctx, l.store)
		return err
	})
	g.Go(func() (err error) {
		if l.busybox, err = makeBusybox(ctx, l.store); err != nil {
			return err
		}
		return l.prepareKernels(ctx)
	})
	return g.Wait()
}

// PrepareTests makes what only the tests need. Who needs it makes it otherwise.
func (l *Lab) PrepareTests(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		_, err := l.dockerBin(ctx)
		return err
	})
	g.Go(func() error {
		_, err := l.Residents(ctx)
		return err
	})
	return g.Wait()
}

func (l *Lab) prepareKernels(ctx context.Context) (err error) {
	if l.debian, err = chooseKernels(ctx, l.store); err != nil {
		return err
	}
	for _, flavour := range flavours {
		abi := l.debian[flavour]
		if l.kernels[abi], err = debianKernelLayer(ctx, l.store, abi); err != nil {
			return err
		}
	}
	for _, k := range rhelKernels {
		base := l.debian[k.From]
		if l.kernels[k.Name], err = rhelKernelLayer(ctx, l.store, k, base, l.kernels[base]); err != nil {
			return err
		}
	}
	return nil
}

// Kernels are the names of all kernels of the lab, sorted.
func (l *Lab) Kernels() []string { return slices.Sorted(maps.Keys(l.kernels)) }

// DebianKernel is the real kernel of a flavour.
func (l *Lab) DebianKernel(f Flavour) string { return l.debian[f] }

// RHELKernels are the names of the stand-ins for RHEL kernels: 9.4, 9.6, Stream 9, 9.4 real-time and 10.0.
func (l *Lab) RHELKernels() []string {
	var names []string
	for _, k := range rhelKernels {
		names = append(names, k.Name)
	}
	return names
}

// DemoKernels are six kernels: the four real ones, of which one is real-time and one has a plus sign in
// its name, and the stand-ins for RHEL 9.4 and 9.6.
func (l *Lab) DemoKernels() []string {
	names := []string{rhelKernels[0].Name, rhelKernels[1].Name}
	for _, f := range flavours {
		names = append(names, l.debian[f])
	}
	return names
}

// DriverVersions are the drivers the lab's download server has: one for each of the patch rules' sides.
func DriverVersions() ([]version.Driver, error) {
	var versions []version.Driver
	for _, s := range []string{"2.18.11.0", "2.22.2.0", "2.24.7.0", "2.28.0.0"} {
		v, err := version.ParseDriver(s)
		if err != nil {
			return nil, err
		}
		versions = append(versions, v)
	}
	return versions, nil
}
