package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"neuron-kmod/internal/catalog"
	"neuron-kmod/internal/ecr"
	"neuron-kmod/internal/hint"
	"neuron-kmod/internal/registry"
	"neuron-kmod/internal/toolkit"
	"neuron-kmod/internal/version"
)

// useMirror takes Driver Toolkits from the mirror in ECR, where it has them. A
// mirror that nobody has named is used if it is there. It returns the mirror's
// name, "" for none.
func (s *session) useMirror(ctx context.Context, c *catalog.Catalog) (string, error) {
	if !s.UseMirror || !s.AWS.MirrorNamed && s.Target != registry.KindECR {
		return "", nil
	}
	if s.mirror != "" { // a release after a build
		return s.mirror, nil
	}
	repositories, err := s.repositories(ctx)
	if err != nil {
		return "", err
	}
	uri, err := repositories.URI(ctx, s.AWS.Mirror)
	if err != nil {
		if s.AWS.MirrorNamed {
			return "", fmt.Errorf("mirror of Driver Toolkits: %w", hint.Wrap(err, mirrorAdvice(err)))
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if errors.Is(err, ecr.ErrNoRepository) {
			s.log.Debug("no mirror of Driver Toolkits", "repository", s.AWS.Mirror)
		} else {
			s.log.Warn("the mirror of Driver Toolkits is not used", "repository", s.AWS.Mirror, "reason", hint.Text(err))
		}
		return "", nil
	}
	releases := map[string][]version.OCP{}
	for _, e := range c.Entries {
		if e.Arch == arch && e.Component == "" && !slices.Contains(releases[e.DTK], e.Version) {
			releases[e.DTK] = append(releases[e.DTK], e.Version)
		}
	}
	mirror, err := toolkit.NewMirror(s.client, uri, releases, s.log)
	if err != nil {
		return "", err
	}
	var warn sync.Once
	s.locate = func(ctx context.Context, dtk string) (string, error) {
		at, err := mirror.Locate(ctx, dtk)
		if err != nil && !s.AWS.MirrorNamed && ctx.Err() == nil {
			warn.Do(func() {
				s.log.Warn("the mirror of Driver Toolkits is not used", "repository", uri, "reason", hint.Text(err))
			})
			return dtk, nil
		}
		return at, err
	}
	s.mirror = uri
	return uri, nil
}

func mirrorAdvice(err error) string {
	if errors.Is(err, ecr.ErrNoRepository) {
		return "DTK_ECR_REPOSITORY_NAME has to name a repository that is there; unset it to take Driver Toolkits from where the catalogue says"
	}
	return ""
}
