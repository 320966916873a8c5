package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/kmod/driver"
	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/kmod/module"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

const (
	// residentToolkits bounds the disk: one toolkit in use and one arriving.
	residentToolkits = 2
	// publishers is how many images are assembled and pushed at the same time.
	publishers = 2
	// tailLines is how much of a failed compile's log goes to the run's log.
	tailLines = 12
	// cleanupTime bounds removing an image after the run was interrupted.
	cleanupTime = time.Minute
)

// schedule is the state of one run. Nothing in it has a lock: each build, with
// its place in plan.Builds and done, belongs to one goroutine at a time, and
// plan.Unresolved to the one that pulls.
type schedule struct {
	*Run
	plan    *plan.Plan
	stop    context.CancelCauseFunc
	done    []bool // by index into plan.Builds: the outcome is in the plan
	sources map[version.Driver]*driver.Source
	left    map[kernel.Version]*atomic.Int32 // builds whose outcome is not known yet
}

// pulled is a kernel whose toolkit is on the machine.
type pulled struct {
	kernelWork
	lease Lease
}

// run pulls one toolkit ahead of the kernel that is being compiled, and
// publishes behind it.
func (s *schedule) run(ctx context.Context, work []kernelWork) {
	var publishing errgroup.Group
	publishing.SetLimit(publishers)
	slots := make(chan struct{}, residentToolkits)
	ready := make(chan pulled)
	var puller sync.WaitGroup
	puller.Go(func() {
		defer close(ready)
		s.pullAll(ctx, work, slots, ready)
	})
	var removing sync.WaitGroup
	var last Lease
	for p := range ready {
		// The last toolkit goes only now that its successor is here, so that
		// the layers they share were not pulled twice. Its slot is free when it
		// is gone; nobody but the puller waits for that.
		if done := last; done != nil {
			removing.Go(func() {
				s.release(ctx, done)
				<-slots
			})
		}
		last = p.lease
		s.compileKernel(ctx, p, &publishing)
	}
	if last != nil {
		s.release(ctx, last)
	}
	puller.Wait()
	removing.Wait()
	_ = publishing.Wait() // the goroutines record their errors in the plan
}

// pullAll brings one toolkit for each kernel and hands it over. It never holds
// more than residentToolkits.
func (s *schedule) pullAll(ctx context.Context, work []kernelWork, slots chan struct{}, ready chan<- pulled) {
	for _, w := range work {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		lease, err := s.pull(ctx, w)
		if err != nil {
			<-slots
			for _, i := range w.builds {
				s.finish(ctx, i, err)
			}
			continue
		}
		select {
		case ready <- pulled{w, lease}:
		case <-ctx.Done():
			s.release(ctx, lease)
			return
		}
	}
}

// pull brings the first of the kernel's toolkits that can be pulled. A toolkit
// that cannot be is reported with its releases even when another one serves.
func (s *schedule) pull(ctx context.Context, w kernelWork) (Lease, error) {
	var errs []error
	for _, toolkit := range w.toolkits {
		task := s.Progress.Start("pull", w.kernel.String(), w.kernel.String())
		lease, err := s.Engine.Acquire(ctx, toolkit, task.Update)
		task.Done(err)
		if err == nil {
			return lease, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s.reportStale(w, toolkit, err)
		errs = append(errs, err)
		var pull *engine.PullError
		if !errors.As(err, &pull) {
			break // the engine itself fails: another toolkit would not help
		}
	}
	return nil, fmt.Errorf("no Driver Toolkit for kernel %s could be pulled: %w", w.kernel, errors.Join(errs...))
}

// reportStale names the releases whose toolkit cannot be pulled.
func (s *schedule) reportStale(w kernelWork, toolkit string, err error) {
	releases := s.plan.ReleasesOf(toolkit)
	s.Log.Warn("cannot pull a Driver Toolkit", "releases", releases, "kernel", w.kernel, "toolkit", toolkit, "error", err)
	for _, release := range releases {
		s.plan.AddUnresolved(plan.Unresolved{Release: release, Toolkit: toolkit, Reason: "cannot pull it: " + fault.Text(err)})
	}
}

func (s *schedule) release(ctx context.Context, l Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err := l.Release(ctx); err != nil {
		s.Log.Warn("cannot remove a Driver Toolkit; the next run tries again", "toolkit", l.Image(), "error", err)
	}
}

// compileKernel compiles each driver that is due on the kernel and hands each
// module on to be published. It returns when the toolkit is no longer needed.
func (s *schedule) compileKernel(ctx context.Context, p pulled, publishing *errgroup.Group) {
	compiles, makeJobs := share(s.Jobs, len(p.builds))
	var compiling errgroup.Group
	compiling.SetLimit(compiles)
	for _, i := range p.builds {
		compiling.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			start := time.Now()
			m, err := s.compile(ctx, &s.plan.Builds[i], p.lease.Image(), makeJobs)
			spent := time.Since(start)
			if m == nil { // failed, or published by another run meanwhile
				if err != nil {
					s.plan.Builds[i].Seconds = spent.Seconds()
				}
				s.finish(ctx, i, err)
				return nil
			}
			publishing.Go(func() error {
				start := time.Now()
				err := s.publish(ctx, &s.plan.Builds[i], m)
				s.plan.Builds[i].Seconds = (spent + time.Since(start)).Seconds()
				s.finish(ctx, i, err)
				return nil
			})
			return nil
		})
	}
	_ = compiling.Wait() // the goroutines record their errors in the plan
}

// finish records the outcome of a build. A build that failed only because the
// run was stopped is left to skipRest.
func (s *schedule) finish(ctx context.Context, i int, err error) {
	b := &s.plan.Builds[i]
	if err == nil {
		s.settle(i)
		return
	}
	if ctx.Err() != nil {
		return
	}
	b.State, b.Error = plan.Failed, fault.Text(err)
	s.logFailure(b, err)
	s.settle(i)
	if s.FailFast {
		s.stop(errFailFast)
	}
}

// settle says that the outcome of a build is in the plan. The last one of a kernel
// ends that kernel.
func (s *schedule) settle(i int) {
	s.done[i] = true
	k := s.plan.Builds[i].Kernel
	if s.left[k].Add(-1) == 0 && s.KernelDone != nil {
		s.KernelDone(k)
	}
}

// logFailure tells of a failed build, with the end of the compile log if it was the compile.
func (s *schedule) logFailure(b *plan.Build, err error) {
	s.Log.Error("build failed", "driver", b.Driver, "kernel", b.Kernel, "error", err)
	var failed *module.CompileError
	if !errors.As(err, &failed) {
		return
	}
	lines := strings.Split(strings.TrimRight(failed.Tail, "\n"), "\n")
	for _, line := range lines[max(0, len(lines)-tailLines):] {
		s.Log.Error("compile log", "driver", b.Driver, "kernel", b.Kernel, "line", line)
	}
}

// skipRest gives every build that the run did not come to its state.
func (s *schedule) skipRest(ctx context.Context, work []kernelWork) {
	for _, w := range work {
		for _, i := range w.builds {
			if b := &s.plan.Builds[i]; !s.done[i] {
				b.State, b.Error = plan.Skipped, "not started"
				if cause := context.Cause(ctx); cause != nil {
					b.Error = cause.Error()
				}
			}
		}
	}
}

// prepareSources gets each driver's source once, before any toolkit is pulled:
// a driver without source fails its builds and costs no pull. It returns the
// work that is left.
func (s *schedule) prepareSources(ctx context.Context, work []kernelWork) []kernelWork {
	byDriver := map[version.Driver][]int{}
	for _, w := range work {
		for _, i := range w.builds {
			d := s.plan.Builds[i].Driver
			byDriver[d] = append(byDriver[d], i)
		}
	}
	s.sources = make(map[version.Driver]*driver.Source, len(byDriver))
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(4)
	for d, builds := range byDriver {
		g.Go(func() error {
			src, err := s.source(ctx, d)
			if err != nil {
				for _, i := range builds {
					s.finish(ctx, i, err)
				}
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			s.sources[d] = src
			return nil
		})
	}
	_ = g.Wait() // the goroutines record their errors in the plan
	for k := range work {
		work[k].builds = slices.DeleteFunc(work[k].builds, func(i int) bool { return s.done[i] })
	}
	return slices.DeleteFunc(work, func(w kernelWork) bool { return len(w.builds) == 0 })
}

func (s *schedule) source(ctx context.Context, v version.Driver) (*driver.Source, error) {
	task := s.Progress.Start("source", v.String(), "")
	src, err := s.fetchSource(ctx, v)
	task.Done(err)
	return src, err
}

func (s *schedule) fetchSource(ctx context.Context, v version.Driver) (*driver.Source, error) {
	rpm, err := s.Fetcher.Fetch(ctx, v)
	if err != nil {
		return nil, err
	}
	return driver.Unpack(ctx, rpm, v, s.Workspace.Path("source-"+v.String()))
}
