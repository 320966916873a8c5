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
	// maxLocalToolkits bounds the disk: one toolkit in use and one arriving.
	maxLocalToolkits = 2
	// publishers is how many images are assembled and pushed at the same time.
	publishers = 2
	// tailLines is how much of a failed compile's log goes to the run's log.
	tailLines = 12
	// cleanupTime bounds removing an image after the run was interrupted.
	cleanupTime = time.Minute
)

// schedule is the state of one run. Nothing in it has a lock: each build's outcome belongs to one goroutine at a time,
// and stale to the one that pulls.
type schedule struct {
	run      *Run
	plan     *plan.Plan
	stop     context.CancelCauseFunc
	outcomes []*plan.Outcome   // by index into plan.Builds; nil until the outcome is known
	stale    []plan.Unresolved // releases whose toolkit could not be pulled
	sources  map[version.Driver]*driver.Source
	left     map[kernel.Version]*atomic.Int32 // builds whose outcome is not known yet
}

// pulledKernel is a kernel whose toolkit is on the machine.
type pulledKernel struct {
	work  kernelWork
	lease Lease
}

// execute pulls one toolkit ahead of the kernel that is being compiled, and publishes behind it.
func (s *schedule) execute(ctx context.Context, work []kernelWork) {
	var publishing errgroup.Group
	publishing.SetLimit(publishers)
	slots := make(chan struct{}, maxLocalToolkits)
	ready := make(chan pulledKernel)
	var puller sync.WaitGroup
	puller.Go(func() {
		defer close(ready)
		s.pullAll(ctx, work, slots, ready)
	})
	var removing sync.WaitGroup
	var last Lease
	for p := range ready {
		// The last toolkit goes only now that its successor is here, so that the layers they share were not pulled twice. Its
		// slot is free when it is gone; nobody but the puller waits for that.
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
	_ = publishing.Wait() // the goroutines record their errors in outcomes
}

// pullAll brings one toolkit for each kernel and hands it over. It never holds more than maxLocalToolkits.
func (s *schedule) pullAll(ctx context.Context, work []kernelWork, slots chan struct{}, ready chan<- pulledKernel) {
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
				s.finish(ctx, i, plan.Outcome{}, err)
			}
			continue
		}
		select {
		case ready <- pulledKernel{work: w, lease: lease}:
		case <-ctx.Done():
			s.release(ctx, lease)
			return
		}
	}
}

// pull brings the first of the kernel's toolkits that can be pulled. A toolkit that cannot be is reported with its
// releases even when another one serves.
func (s *schedule) pull(ctx context.Context, w kernelWork) (Lease, error) {
	var errs []error
	for _, toolkit := range w.toolkits {
		task := s.run.Progress.Start("pull", w.kernel.String(), w.kernel.String())
		lease, err := s.run.Engine.Acquire(ctx, toolkit, task.Update)
		task.Done(err)
		if err == nil {
			return lease, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s.reportStale(w, toolkit, err)
		errs = append(errs, err)
		if _, ok := errors.AsType[*engine.PullError](err); !ok {
			break // the engine itself fails: another toolkit would not help
		}
	}
	return nil, fmt.Errorf("no Driver Toolkit for kernel %s could be pulled: %w", w.kernel, errors.Join(errs...))
}

// reportStale names the releases whose toolkit cannot be pulled.
func (s *schedule) reportStale(w kernelWork, toolkit string, err error) {
	releases := s.plan.ReleasesOf(toolkit)
	s.run.Log.Warn("cannot pull a Driver Toolkit", "releases", releases, "kernel", w.kernel, "toolkit", toolkit, "error",
		err)
	for _, release := range releases {
		s.stale = append(s.stale, plan.Unresolved{
			Release: release, Toolkit: toolkit, Reason: "cannot pull it: " + fault.Text(err), Err: err,
		})
	}
}

func (s *schedule) release(ctx context.Context, l Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err := l.Release(ctx); err != nil {
		s.run.Log.Warn("cannot remove a Driver Toolkit; the next run tries again", "toolkit", l.Image(), "error", err)
	}
}

// compileKernel compiles each driver that is due on the kernel and hands each module on to be published. It returns
// when the toolkit is no longer needed.
func (s *schedule) compileKernel(ctx context.Context, p pulledKernel, publishing *errgroup.Group) {
	compiles, makeJobs := share(s.run.Options.Jobs, len(p.work.builds))
	var compiling errgroup.Group
	compiling.SetLimit(compiles)
	for _, i := range p.work.builds {
		compiling.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			b, start := s.plan.Builds[i], time.Now()
			m, done, err := s.compile(ctx, b, p.lease.Image(), makeJobs)
			spent := time.Since(start)
			if m == nil { // failed, or published by another run meanwhile
				if err != nil {
					done.Seconds = spent.Seconds()
				}
				s.finish(ctx, i, done, err)
				return nil
			}
			publishing.Go(func() error {
				start := time.Now()
				done, err := s.publish(ctx, b, m)
				done.Seconds = (spent + time.Since(start)).Seconds()
				s.finish(ctx, i, done, err)
				return nil
			})
			return nil
		})
	}
	_ = compiling.Wait() // the goroutines record their errors in outcomes
}

// finish records the outcome of a build. A build that failed only because the run was stopped is left to skipRest. The
// last one of a kernel ends that kernel.
func (s *schedule) finish(ctx context.Context, i int, done plan.Outcome, err error) {
	b := s.plan.Builds[i]
	if err != nil && ctx.Err() != nil {
		return
	}
	if err != nil {
		done.State, done.Error = plan.Failed, fault.Text(err)
		s.logFailure(b, err)
	}
	s.outcomes[i] = &done
	if s.left[b.Kernel].Add(-1) == 0 && s.run.KernelDone != nil {
		s.run.KernelDone(b.Kernel, s.statesOn(b.Kernel))
	}
	if err != nil && s.run.Options.FailFast {
		s.stop(errFailFast)
	}
}

// statesOn returns the states of the builds on a kernel, all of which have an outcome or needed none.
func (s *schedule) statesOn(k kernel.Version) []plan.State {
	var states []plan.State
	for i, b := range s.plan.Builds {
		switch {
		case b.Kernel != k:
		case s.outcomes[i] != nil:
			states = append(states, s.outcomes[i].State)
		default:
			states = append(states, b.State)
		}
	}
	return states
}

// settled returns the outcomes that are known, by index into plan.Builds.
func (s *schedule) settled() map[int]plan.Outcome {
	known := map[int]plan.Outcome{}
	for i, o := range s.outcomes {
		if o != nil {
			known[i] = *o
		}
	}
	return known
}

// logFailure tells of a failed build, with the end of the compile log if it was the compile.
func (s *schedule) logFailure(b plan.Build, err error) {
	s.run.Log.Error("build failed", "driver", b.Driver, "kernel", b.Kernel, "error", err)
	var failed *module.CompileError
	if !errors.As(err, &failed) {
		return
	}
	lines := strings.Split(strings.TrimRight(failed.Tail, "\n"), "\n")
	for _, line := range lines[max(0, len(lines)-tailLines):] {
		s.run.Log.Error("compile log", "driver", b.Driver, "kernel", b.Kernel, "line", line)
	}
}

// skipRest gives every build that the run did not come to its state.
func (s *schedule) skipRest(ctx context.Context, work []kernelWork) {
	for _, w := range work {
		for _, i := range w.builds {
			if s.outcomes[i] != nil {
				continue
			}
			skipped := plan.Outcome{State: plan.Skipped, Error: "not started"}
			if cause := context.Cause(ctx); cause != nil {
				skipped.Error = cause.Error()
			}
			s.outcomes[i] = &skipped
		}
	}
}

// prepareSources gets each driver's source once, before any toolkit is pulled: a driver without source fails its builds
// and costs no pull. It returns the work that is left.
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
					s.finish(ctx, i, plan.Outcome{}, err)
				}
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			s.sources[d] = src
			return nil
		})
	}
	_ = g.Wait() // the goroutines record their errors in outcomes
	for k := range work {
		work[k].builds = slices.DeleteFunc(work[k].builds, func(i int) bool { return s.outcomes[i] != nil })
	}
	return slices.DeleteFunc(work, func(w kernelWork) bool { return len(w.builds) == 0 })
}

func (s *schedule) source(ctx context.Context, v version.Driver) (*driver.Source, error) {
	task := s.run.Progress.Start("source", v.String(), "")
	rpm, err := s.run.Fetcher.Fetch(ctx, v)
	var src *driver.Source
	if err == nil {
		src, err = driver.Unpack(ctx, rpm, v, s.run.Workspace.Path("source-"+v.String()))
	}
	task.Done(err)
	return src, err
}
