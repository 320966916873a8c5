// Package catalogsync keeps the catalogue: it brings in new OpenShift releases and compares what is recorded with what
// is there. It changes entries in memory; reading and writing the file is its caller's.
//
// It asks as few questions as it can, at most so many at once as it is told, and one release that cannot be read never
// loses another.
package catalogsync

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/kernel"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/payload"
	"neuron-kmod/internal/version"
)

// Repository is the repository of release images; payload.Repository is one.
type Repository interface {
	String() string
	Releases(ctx context.Context) ([]payload.Release, error)
	Read(ctx context.Context, release payload.Release) (*payload.Payload, error)
	NodeKernel(ctx context.Context, image, arch string) (kernel.Version, error)
}

// Toolkits reads Driver Toolkits ("REPOSITORY@sha256:DIGEST"); toolkit.Reader does.
type Toolkits interface {
	Known(dtk string) (kernel.Version, bool) // without asking anyone
	Kernel(ctx context.Context, dtk string) (kernel.Version, error)
	Exists(ctx context.Context, dtk string) error
}

// Syncer is what both Update and Verify need.
type Syncer struct {
	Repository Repository
	Toolkits   Toolkits
	Parallel   int // how many questions are asked at once; less than 1 means 1

	// Progress, if set, is called with each step and how far it is, from 0 to total; by several goroutines.
	Progress func(step string, done, total int)
}

// Scope says which releases are meant.
type Scope struct {
	Selectors   []version.Selector // a minor is all its releases
	Archs       []string           // as catalogues name them
	PreReleases bool               // whether a minor's pre-releases are meant; one that a selector names always is
	Skip        []version.OCP      // releases that are not meant in any case
}

// includes reports whether a release is meant.
func (s Scope) includes(v version.OCP, arch string) bool {
	if slices.Contains(s.Skip, v) {
		return false
	}
	if len(s.Archs) > 0 && !slices.Contains(s.Archs, arch) {
		return false
	}
	return slices.ContainsFunc(s.Selectors, func(selector version.Selector) bool {
		return selector.Match(v) && (!v.IsPreRelease() || s.PreReleases || selector == version.Only(v))
	})
}

// each calls do for 0 to n-1, at most s.Parallel at once, and reports the progress. It ends early, with the cause,
// only when ctx ends.
func (s *Syncer) each(ctx context.Context, step string, n int, do func(i int)) error {
	if n == 0 {
		return nil
	}
	var mu sync.Mutex
	done := 0
	report := func(more int) {
		mu.Lock()
		defer mu.Unlock()
		if done += more; s.Progress != nil {
			s.Progress(step, done, n)
		}
	}
	report(0)
	var group errgroup.Group
	group.SetLimit(max(1, s.Parallel))
	for i := range n {
		group.Go(func() error {
			if ctx.Err() == nil {
				do(i)
				report(1)
			}
			return nil
		})
	}
	_ = group.Wait() // do keeps what goes wrong
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// maxOutages is how many requests to a repository, each with its retries, may fail one after the other.
const maxOutages = 3

// circuitBreaker remembers which repositories have refused these credentials or do not answer, so that they are not
// asked once for each image.
type circuitBreaker struct {
	mu     sync.Mutex
	opened map[string]error // by repository
	failed map[string]int   // in a row
}

// ask calls do, unless image is of a repository that is not asked any more; it then returns why.
func (b *circuitBreaker) ask(image string, do func() error) error {
	repository, _, _ := strings.Cut(image, "@")
	b.mu.Lock()
	err := b.opened[repository]
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s is not asked any more: %w", repository, err)
	}
	err = do()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened == nil {
		b.opened, b.failed = map[string]error{}, map[string]int{}
	}
	if registry.IsOutage(err) {
		b.failed[repository]++
	} else {
		b.failed[repository] = 0
	}
	if registry.IsUnauthorized(err) || b.failed[repository] >= maxOutages {
		b.opened[repository] = err
	}
	return err
}

// digestOf returns the digest of "REPOSITORY@DIGEST".
func digestOf(image string) string {
	_, digest, _ := strings.Cut(image, "@")
	return digest
}

// Steps that Syncer.Progress is called with.
const (
	StepReleases = "releases" // release images are read
	StepKernels  = "kernels"  // Driver Toolkits are asked for their kernels
	StepEntries  = "entries"  // entries are compared with what is there
)
