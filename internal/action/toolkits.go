package action

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
)

// locator returns where a Driver Toolkit that the catalogue names is taken from.
type locator func(ctx context.Context, dtk string) (string, error)

// asNamed takes a Driver Toolkit from where the catalogue says.
func asNamed(_ context.Context, dtk string) (string, error) { return dtk, nil }

// toolkits is where Driver Toolkits are taken from: a mirror where that has them, else where the catalogue says.
type toolkits struct {
	session *session
	locate  locator
	mirror  *toolkit.Mirror // nil for none
	name    string          // of the mirror, "" for none
}

// toolkits finds the mirror: the one that a flag names, or else the one in ECR. A mirror that nobody has named is
// used if it is there.
func (s *session) toolkits(ctx context.Context, c *catalog.Catalog) (*toolkits, error) {
	t := &toolkits{session: s, locate: asNamed}
	uri, aws := s.access.mirror, s.env.Settings.AWS
	if uri == "" {
		if !s.env.Settings.UseMirror || !aws.MirrorNamed && s.access.target != registry.KindECR {
			return t, nil
		}
		repositories, err := s.repositories(ctx)
		if err != nil {
			return nil, err
		}
		uri, err = repositories.URI(ctx, aws.Mirror)
		switch {
		case err == nil:
		case aws.MirrorNamed:
			if errors.Is(err, ecr.ErrNoRepository) {
				err = fault.Wrap(err,
					"DTK_ECR_REPOSITORY_NAME must name an existing repository; unset it to use the repositories in the catalogue")
			}
			return nil, fmt.Errorf("mirror of Driver Toolkits: %w", err)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, ecr.ErrNoRepository):
			s.env.Log.Debug("no mirror of Driver Toolkits", "repository", aws.Mirror)
			return t, nil
		default:
			s.env.Log.Warn("the mirror of Driver Toolkits is not used", "repository", aws.Mirror, "reason", fault.Text(err))
			return t, nil
		}
	}
	mirror, err := toolkit.NewMirror(s.client, uri, mirrorTags(c), s.env.Log)
	if err != nil {
		return nil, fault.AsUsage(err)
	}
	var warn sync.Once
	t.mirror, t.name = mirror, uri
	t.locate = func(ctx context.Context, dtk string) (string, error) {
		at, err := mirror.Locate(ctx, dtk)
		if err != nil && !s.mirrorNamed() && ctx.Err() == nil {
			warn.Do(func() {
				s.env.Log.Warn("the mirror of Driver Toolkits is not used", "repository", uri, "reason", fault.Text(err))
			})
			return dtk, nil
		}
		return at, err
	}
	return t, nil
}

// mirrorNamed reports whether somebody has asked for the mirror, so that it has to be usable.
func (s *session) mirrorNamed() bool { return s.access.mirror != "" || s.env.Settings.AWS.MirrorNamed }

// mirrorTags lists the tags that the copies of each Driver Toolkit may have.
func mirrorTags(c *catalog.Catalog) map[string][]string {
	tags := map[string][]string{}
	for _, e := range c.Entries {
		if tag := toolkit.MirrorTag(e.Version, e.Component); e.Arch == arch && !slices.Contains(tags[e.DTK], tag) {
			tags[e.DTK] = append(tags[e.DTK], tag)
		}
	}
	return tags
}

// reader reads the kernels of Driver Toolkits, and remembers them by digest for all runs.
func (s *session) reader(locate locator) *toolkit.Reader {
	return &toolkit.Reader{
		Client: s.client, Cache: toolkit.NewCache(filepath.Join(s.env.Settings.CacheDir, "kernels")),
		Locate: locate, Log: s.env.Log,
	}
}

// resolver reads the kernels of Driver Toolkits out of their registry, or out of the cache of earlier runs. before,
// if not nil, is called once, before the first one is read out of a registry; its error ends the plan.
func (t *toolkits) resolver(before func() error) plan.Resolver {
	reader := t.session.reader(t.locate)
	return func(ctx context.Context, dtks []string) ([]plan.Resolved, error) {
		unknown := slices.ContainsFunc(dtks, func(dtk string) bool { _, known := reader.Known(dtk); return !known })
		if before != nil && unknown {
			if err := before(); err != nil {
				return nil, err
			}
		}
		results := reader.Kernels(ctx, dtks, parallelReads)
		out := make([]plan.Resolved, len(dtks))
		for i, dtk := range dtks {
			out[i] = plan.Resolved{Kernel: results[dtk].Kernel, Err: withQuayAdvice(dtk, results[dtk].Err)}
		}
		return out, nil
	}
}

// quayAdvice is what a refusal of quay.io is mended with.
const quayAdvice = "in GitHub Actions set QUAY_USERNAME and QUAY_PASSWORD from secrets; " +
	"elsewhere those, or a file with a Red Hat pull secret " +
	"(https://console.redhat.com/openshift/install/pull-secret) in REGISTRY_AUTH_FILE"

// withQuayAdvice adds quayAdvice to a refusal of quay.io.
func withQuayAdvice(dtk string, err error) error {
	if strings.HasPrefix(dtk, quayHost+"/") && registry.IsUnauthorized(err) {
		return fault.Wrap(err, fault.Of(err)+"; "+quayAdvice)
	}
	return err
}

// checkQuay ends a run early where wanted Driver Toolkits are at quay.io and nothing has credentials for it.
func (s *session) checkQuay(ctx context.Context, in plan.Input) error {
	if !s.env.Settings.NeedQuay {
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

// preferMirrored returns the plan with the Driver Toolkits that the mirror has before the others of the same kernel:
// it may hold one for each kernel only.
func (t *toolkits) preferMirrored(ctx context.Context, p *plan.Plan, force bool) (*plan.Plan, error) {
	if t.mirror == nil {
		return p, nil
	}
	var failed error
	preferred := p.WithToolkits(func(b plan.Build) []string {
		if failed != nil || !b.NeedsBuild(force) {
			return b.Toolkits
		}
		ordered, err := t.mirror.Prefer(ctx, b.Toolkits)
		if err == nil {
			return ordered
		}
		if t.session.mirrorNamed() {
			failed = err
		}
		return b.Toolkits
	})
	return preferred, failed
}

// reachable lists the Driver Toolkits that the builds to make may be tried with: those behind one that the mirror has
// are not.
func (t *toolkits) reachable(ctx context.Context, p *plan.Plan, force bool) ([]string, error) {
	var dtks []string
	for _, b := range p.Builds {
		if !b.NeedsBuild(force) {
			continue
		}
		for _, dtk := range b.Toolkits {
			dtks = append(dtks, dtk)
			at, err := t.locate(ctx, dtk)
			if err != nil {
				return nil, err
			}
			if at != dtk {
				break
			}
		}
	}
	return dtks, nil
}

// checkPull asks for one Driver Toolkit in each repository that some will be pulled from. It is an error only where
// none of them lets these credentials in.
func (t *toolkits) checkPull(ctx context.Context, dtks []string) error {
	var refused []error
	asked := map[string]bool{}
	for _, dtk := range dtks {
		at, err := t.locate(ctx, dtk)
		if err != nil {
			return err
		}
		repository, _, _ := strings.Cut(at, "@")
		if asked[repository] {
			continue
		}
		asked[repository] = true
		if _, _, err := t.session.client.Image(ctx, at); registry.IsUnauthorized(err) {
			refused = append(refused, withQuayAdvice(at, err))
		}
	}
	if len(refused) == 0 || len(refused) < len(asked) {
		return nil
	}
	return fault.AsPrerequisite(fmt.Errorf("cannot pull Driver Toolkits: %w", refused[0]))
}
