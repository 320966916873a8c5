// Package pipeline carries a plan out: each kernel has one Driver Toolkit pulled, each driver compiled in it, the image
// assembled and published.
//
// It holds the order, the concurrency and the clean-up. What a step does is the business of the packages it calls; what
// is published, the target's.
package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/progress"
	"neuron-kmod/internal/version"
)

// Engine is what a run needs of a container engine.
type Engine interface {
	Acquire(ctx context.Context, image string, progress func(done, total int64)) (Lease, error)
	Run(ctx context.Context, j engine.Job) error
	Build(ctx context.Context, s engine.BuildSpec) error
}

// Lease keeps an image on the machine until it is released.
type Lease interface {
	Image() string
	Release(ctx context.Context) error
}

// Fetcher gets a driver's RPM and returns the path of a checked local file.
type Fetcher interface {
	Fetch(ctx context.Context, v version.Driver) (string, error)
}

// Workspace is the run's own directory.
type Workspace interface {
	Mkdir(name string) (string, error)
	Path(elem ...string) string
}

// Progress shows what is under way, on a kernel or on none ("").
type Progress interface {
	Start(what, name, kernel string) progress.Task
}

// Builder says who makes the image from the Containerfile.
type Builder string

const (
	Auto     Builder = "auto"   // in-process where the Containerfile allows it, else the engine
	Native   Builder = "native" // in-process or not at all
	ByEngine Builder = "engine" // always the engine
)

// Options are the choices of the person who runs it.
type Options struct {
	Builder   Builder
	Jobs      int           // processors to compile with, at least 1
	Timeout   time.Duration // of one compile
	Force     bool          // build and overwrite what is published
	FailFast  bool          // the first failure stops the run
	Created   time.Time     // of the images
	SourceURL string        // the project's repository, for the labels
	LogDir    string        // keeps the compile log of each build
}

// Run is one run: its collaborators and its options. All fields but KernelDone are required.
type Run struct {
	Options   Options
	Engine    Engine
	Target    registry.Target
	Fetcher   Fetcher
	Workspace Workspace
	Recipe    Recipe
	Log       *slog.Logger
	Progress  Progress
	// KernelDone, if set, is given the states of the builds on a kernel when the last one's is known, from several
	// goroutines. Of a run that is stopped it is not called for the kernels that are left.
	KernelDone func(k kernel.Version, states []plan.State)
}

// Recipe is what every image is made from beside its module.
type Recipe struct {
	Base          image.Base
	BusyBox       string // the version in the base image, "" if there is none
	Containerfile []byte
	Script        string                 // build-module.sh
	CopyLicenses  func(dst string) error // fills the directory licenses of an image's context
}

// errFailFast is the cause with which FailFast stops a run.
var errFailFast = errors.New("stopped after the first failure (--fail-fast)")

// Do builds and publishes what the plan says is missing, and returns the plan with the outcome of each build. The error
// is not nil only when the run was interrupted; that something failed is in the plan. It blocks for minutes and leaves
// no container and no image of its own behind, whatever happens.
func (r *Run) Do(ctx context.Context, p *plan.Plan) (*plan.Plan, error) {
	work := pendingKernels(p, r.Options.Force)
	if len(work) == 0 {
		return p, nil
	}
	runCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s := &schedule{
		run: r, plan: p, stop: stop, outcomes: make([]*plan.Outcome, len(p.Builds)), left: map[kernel.Version]*atomic.Int32{},
	}
	for _, w := range work {
		s.left[w.kernel] = &atomic.Int32{}
		s.left[w.kernel].Store(int32(len(w.builds)))
	}
	work = s.prepareSources(runCtx, work)
	s.execute(runCtx, work)
	s.skipRest(runCtx, work)
	done := p.With(s.settled(), s.stale...)
	if ctx.Err() != nil {
		return done, context.Cause(ctx)
	}
	return done, nil
}

// kernelWork is what is due on one kernel.
type kernelWork struct {
	kernel   kernel.Version
	builds   []int    // indexes into plan.Builds
	toolkits []string // any one of them will do
}

// pendingKernels groups the builds that are due by kernel, ascending, so that each kernel's Driver Toolkit is pulled
// once.
func pendingKernels(p *plan.Plan, force bool) []kernelWork {
	var out []kernelWork
	for _, k := range p.Kernels() {
		w := kernelWork{kernel: k}
		for i, b := range p.Builds {
			if b.Kernel == k && b.NeedsBuild(force) {
				w.builds = append(w.builds, i)
				w.toolkits = appendNew(w.toolkits, b.Toolkits)
			}
		}
		if len(w.builds) > 0 {
			out = append(out, w)
		}
	}
	return out
}

func appendNew(have, more []string) []string {
	seen := make(map[string]bool, len(have))
	for _, h := range have {
		seen[h] = true
	}
	for _, m := range more {
		if !seen[m] {
			seen[m] = true
			have = append(have, m)
		}
	}
	return have
}

// share splits the processors among the drivers that compile at the same time on one kernel. A driver alone gets them
// all, because the next kernel's toolkit is pulled meanwhile.
func share(processors, drivers int) (compiles, makeJobs int) {
	compiles = max(1, min(processors, drivers))
	return compiles, max(1, processors/compiles)
}
