package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/kmod/engine"
	"neuron-kmod/internal/oci/auth"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
)

// locator returns where a Driver Toolkit that the catalogue names is taken from.
type locator func(ctx context.Context, dtk string) (string, error)

// unmoved takes every Driver Toolkit from where the catalogue says.
func unmoved(_ context.Context, dtk string) (string, error) { return dtk, nil }

// readiness is what a run that builds makes sure of before it reads or pulls
// anything, once.
type readiness struct {
	check func(ctx context.Context) error

	mu   sync.Mutex
	done bool
	err  error
}

// sure makes the check, unless it has been made. A nil readiness has nothing to
// check.
func (r *readiness) sure(ctx context.Context) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done {
		err := r.check(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.done, r.err = true, err
	}
	return r.err
}

// failure returns why the check has failed; nil if it has not, or was not made.
func (r *readiness) failure() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// locateReady is locate for reading, which a run that is not ready does not
// begin.
func (s *session) locateReady(ctx context.Context, dtk string) (string, error) {
	if err := s.ready.sure(ctx); err != nil {
		return "", err
	}
	return s.locate(ctx, dtk)
}

// checkQuay ends a run early where wanted Driver Toolkits are at quay.io and
// nothing has credentials for it.
func (s *session) checkQuay(ctx context.Context, in plan.Input) error {
	if !s.NeedQuay {
		return nil
	}
	for _, wanted := range in.Entries {
		entries, _ := in.Catalog.Select(wanted.Selectors, in.Arch)
		for _, e := range entries {
			if strings.HasPrefix(e.DTK, quayHost+"/") {
				repository, _, _ := strings.Cut(e.DTK, "@")
				return fault.Wrap(s.canLogIn(ctx, repository), quayAdvice)
			}
		}
	}
	return nil
}

const quayAdvice = "in GitHub Actions set QUAY_USERNAME and QUAY_PASSWORD from secrets; elsewhere those, or a file with a Red Hat pull secret " +
	"(https://console.redhat.com/openshift/install/pull-secret) in REGISTRY_AUTH_FILE"

// withQuayAdvice adds to a refusal of quay.io what is good for there.
func withQuayAdvice(dtk string, err error) error {
	if strings.HasPrefix(dtk, quayHost+"/") && registry.IsUnauthorized(err) {
		return fault.Wrap(err, fault.Of(err)+"; "+quayAdvice)
	}
	return err
}

// checkPull asks for one Driver Toolkit in each repository that some will be
// pulled from. It is an error only where none of them lets these credentials in.
func (s *session) checkPull(ctx context.Context, toolkits []string) error {
	var refused []error
	asked := map[string]bool{}
	for _, dtk := range toolkits {
		at, err := s.locate(ctx, dtk)
		if err != nil {
			return err
		}
		repository, _, _ := strings.Cut(at, "@")
		if asked[repository] {
			continue
		}
		asked[repository] = true
		if _, _, err := s.client.Image(ctx, at); registry.IsUnauthorized(err) {
			refused = append(refused, withQuayAdvice(at, err))
		}
	}
	if len(refused) == 0 || len(refused) < len(asked) {
		return nil
	}
	return prerequisite{fmt.Errorf("see whether Driver Toolkits can be pulled: %w", refused[0])}
}

// dueToolkits lists the Driver Toolkits of the builds that are due.
func dueToolkits(p *plan.Plan, force bool) []string {
	var toolkits []string
	for _, b := range p.Builds {
		if b.Due(force) {
			toolkits = append(toolkits, b.Toolkits...)
		}
	}
	return toolkits
}

// reachedToolkits lists the Driver Toolkits that the builds that are due may be tried
// with: those behind one that the mirror has are not.
func (s *session) reachedToolkits(ctx context.Context, p *plan.Plan, force bool) ([]string, error) {
	var toolkits []string
	for _, b := range p.Builds {
		if !b.Due(force) {
			continue
		}
		for _, dtk := range b.Toolkits {
			toolkits = append(toolkits, dtk)
			at, err := s.locate(ctx, dtk)
			if err != nil {
				return nil, err
			}
			if at != dtk {
				break
			}
		}
	}
	return toolkits, nil
}

// writeLogin writes the credentials for toolkits, where they are taken from and
// where the catalogue has them, to a file for the engine.
func (s *session) writeLogin(ctx context.Context, path string, toolkits []string) error {
	refs := slices.Clone(toolkits)
	for _, dtk := range toolkits {
		at, err := s.locate(ctx, dtk)
		if err != nil {
			return err
		}
		if at != dtk {
			refs = append(refs, at)
		}
	}
	return auth.WriteFile(ctx, path, s.keychain, refs)
}

// pull brings a Driver Toolkit from the mirror, or else from where the catalogue
// has it.
func (l leasing) pull(ctx context.Context, dtk string, progress func(done, total int64)) (*engine.Lease, error) {
	at, err := l.locate(ctx, dtk)
	if err != nil {
		return nil, err
	}
	lease, err := l.CLI.Acquire(ctx, at, progress)
	if pull, ok := errors.AsType[*engine.PullError](err); ok && at != dtk {
		l.Log.Warn("the mirror does not give a Driver Toolkit; taking it from where the catalogue has it", "toolkit", at, "reason", pull)
		lease, err = l.CLI.Acquire(ctx, dtk, progress)
	}
	if pull, ok := errors.AsType[*engine.PullError](err); ok && pull.Unauthorized && refQuay(pull.Image) {
		err = fault.Wrap(err, quayAdvice)
	}
	return lease, err
}

func refQuay(image string) bool {
	ref, err := name.ParseReference(image)
	return err == nil && ref.Context().RegistryStr() == quayHost
}
