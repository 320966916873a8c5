package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/catalog"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
)

// useMirror takes Driver Toolkits from a mirror, where it has them: the one that a
// flag names, or else the one in ECR. A mirror that nobody has named is used if it
// is there. It returns the mirror's name, "" for none.
func (s *session) useMirror(ctx context.Context, c *catalog.Catalog) (string, error) {
	if s.mirror != nil { // a release after a build
		return s.mirrorName, nil
	}
	uri, err := s.findMirror(ctx)
	if err != nil || uri == "" {
		return "", err
	}
	mirror, err := toolkit.NewMirror(s.client, uri, mirrorTags(c), s.log)
	if err != nil {
		return "", usage{err}
	}
	var warn sync.Once
	s.locate = func(ctx context.Context, dtk string) (string, error) {
		at, err := mirror.Locate(ctx, dtk)
		if err != nil && !s.mirrorNamed() && ctx.Err() == nil {
			warn.Do(func() {
				s.log.Warn("the mirror of Driver Toolkits is not used", "repository", uri, "reason", fault.Text(err))
			})
			return dtk, nil
		}
		return at, err
	}
	s.mirror, s.mirrorName = mirror, uri
	return uri, nil
}

// mirrorNamed reports whether somebody has asked for the mirror, so that it has to be
// usable.
func (s *session) mirrorNamed() bool { return s.ToolkitMirror != "" || s.AWS.MirrorNamed }

// findMirror returns the name of the mirror that there is, "" for none.
func (s *session) findMirror(ctx context.Context) (string, error) {
	if s.ToolkitMirror != "" {
		return s.ToolkitMirror, nil
	}
	if !s.UseMirror || !s.AWS.MirrorNamed && s.Target != registry.KindECR {
		return "", nil
	}
	repositories, err := s.repositories(ctx)
	if err != nil {
		return "", err
	}
	uri, err := repositories.URI(ctx, s.AWS.Mirror)
	switch {
	case err == nil:
		return uri, nil
	case s.AWS.MirrorNamed:
		return "", fmt.Errorf("mirror of Driver Toolkits: %w", fault.Wrap(err, mirrorAdvice(err)))
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, ecr.ErrNoRepository):
		s.log.Debug("no mirror of Driver Toolkits", "repository", s.AWS.Mirror)
	default:
		s.log.Warn("the mirror of Driver Toolkits is not used", "repository", s.AWS.Mirror, "reason", fault.Text(err))
	}
	return "", nil
}

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

// preferMirror puts the Driver Toolkits that the mirror has before the others of the
// same kernel: it may hold one for each kernel only.
func (s *session) preferMirror(ctx context.Context, p *plan.Plan, force bool) error {
	if s.mirror == nil {
		return nil
	}
	for i := range p.Builds {
		b := &p.Builds[i]
		if !b.Due(force) {
			continue
		}
		preferred, err := s.mirror.Prefer(ctx, b.Toolkits)
		if err != nil && s.mirrorNamed() {
			return err
		}
		if err == nil {
			b.Toolkits = preferred
		}
	}
	return nil
}

func mirrorAdvice(err error) string {
	if errors.Is(err, ecr.ErrNoRepository) {
		return "DTK_ECR_REPOSITORY_NAME has to name a repository that is there; unset it to take Driver Toolkits from where the catalogue says"
	}
	return ""
}
