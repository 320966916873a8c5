package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/doctor"
	"neuron-kmod/internal/ecr"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/registry"
)

// needsAWS tells whether a build would ask AWS for anything that it cannot do
// without.
func (s *session) needsAWS() bool {
	host, _, _ := strings.Cut(s.Target, "/")
	return s.Target == registry.KindECR || s.Target == registry.KindECRPublic || s.UseMirror && s.AWS.MirrorNamed || ecr.IsHost(host)
}

// awsChecks tells who the program is to AWS.
func (s *session) awsChecks(ctx context.Context) []doctor.Check {
	c := doctor.Check{Group: "credentials", Name: "AWS identity"}
	if !s.needsAWS() {
		return []doctor.Check{c.Skip("not needed for target " + s.Target)}
	}
	id, err := s.caller.identity(ctx)
	if err != nil {
		return []doctor.Check{c.Fail(err)}
	}
	c.State, c.Source, c.Identity = doctor.OK, id.Source, id.ARN
	c.Detail = fmt.Sprintf("%s, account %s, region %s", id.ARN, id.Account, id.Region)
	c.ValidUntil = until(id.Expires)
	return []doctor.Check{c}
}

func until(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// loginChecks tells which credentials are used for each registry.
func (s *session) loginChecks(ctx context.Context, in plan.Input, base string) []doctor.Check {
	var checks []doctor.Check
	if dtk := wanted(in); dtk != "" {
		checks = append(checks, s.toolkitLogin(ctx, dtk))
	}
	if t, err := s.target(ctx, access{push: true}); err == nil && !strings.HasPrefix(t.String(), "oci:") {
		checks = append(checks, s.loginCheck(ctx, "target", t.String()))
	}
	if !strings.HasPrefix(base, "oci:") {
		checks = append(checks, s.loginCheck(ctx, "base image", base))
	}
	return checks
}

// toolkitLogin is the login for a Driver Toolkit, where it is taken from. A
// build in GitHub Actions does not begin without one for quay.io.
func (s *session) toolkitLogin(ctx context.Context, dtk string) doctor.Check {
	at, err := s.locate(ctx, dtk)
	if err != nil {
		return doctor.Check{Group: "credentials", Name: "Driver Toolkits"}.Fail(err)
	}
	c := s.loginCheck(ctx, "Driver Toolkits", at)
	if c.State == doctor.Warning && strings.HasPrefix(at, quayHost+"/") {
		c.Hint = quayAdvice
		if s.NeedQuay {
			c.State = doctor.Failed
		}
	}
	return c
}

// loginCheck tells which credentials there are for an image's registry.
func (s *session) loginCheck(ctx context.Context, what, reference string) doctor.Check {
	c := doctor.Check{Group: "credentials", Name: what}
	ref, err := name.ParseReference(reference)
	if err != nil {
		return c.Fail(err)
	}
	host := ref.Context().RegistryStr()
	c.Name += " (" + host + ")"
	auth, source, err := s.keychain.Find(ctx, ref.Context())
	if err != nil {
		return c.Fail(err)
	}
	if source == "" {
		c.State, c.Detail = doctor.Warning, "no credentials: it is asked anonymously"
		return c
	}
	cfg, err := authn.Authorization(ctx, auth)
	if err != nil {
		return c.Fail(err)
	}
	c.State, c.Source, c.Identity = doctor.OK, source, cfg.Username
	c.Detail = "user " + cfg.Username
	if cfg.Username == "" {
		c.Detail = "a token"
	}
	if t, ok := auth.(interface{ Expires() time.Time }); ok {
		c.ValidUntil = until(t.Expires())
	}
	return c
}

// registryChecks asks the target, the mirror and the place of the Driver
// Toolkits what a build asks them.
func (s *session) registryChecks(ctx context.Context, in plan.Input) []doctor.Check {
	const noAWS = "not tried: there is no AWS identity"
	list := doctor.Check{Group: "registries", Name: "target can be listed"}
	push := doctor.Check{Group: "registries", Name: "target takes images"}
	mirror := doctor.Check{Group: "registries", Name: "mirror of Driver Toolkits"}
	if s.needsAWS() {
		if _, err := s.caller.identity(ctx); err != nil {
			return []doctor.Check{list.Skip(noAWS), push.Skip(noAWS), mirror.Skip(noAWS), s.toolkitCheck(ctx, in)}
		}
	}
	list, push = s.targetChecks(ctx, list, push)
	return []doctor.Check{list, push, s.mirrorCheck(ctx, in, mirror), s.toolkitCheck(ctx, in)}
}

func (s *session) targetChecks(ctx context.Context, list, push doctor.Check) (doctor.Check, doctor.Check) {
	t, err := s.target(ctx, access{push: true})
	if err != nil {
		return list.Fail(err), push.Skip("not tried: the target is not known")
	}
	tags, err := t.Tags(ctx)
	if err != nil {
		list = list.Fail(err)
	} else {
		list.State, list.Detail = doctor.OK, fmt.Sprintf("%s has %s", t, count(len(tags), "tag"))
	}
	if err := checkPush(ctx, t); err != nil {
		push = push.Fail(err)
	} else {
		push.State, push.Detail = doctor.OK, fmt.Sprintf("%s; nothing was pushed", t)
	}
	return list, push
}

func (s *session) mirrorCheck(ctx context.Context, in plan.Input, c doctor.Check) doctor.Check {
	switch {
	case in.Catalog == nil:
		return c.Skip("not tried: there is no catalogue")
	case !s.UseMirror:
		return c.Skip("not used in GitHub Actions")
	}
	uri, err := s.useMirror(ctx, in.Catalog)
	switch {
	case err != nil:
		return c.Fail(err)
	case uri == "":
		return c.Skip("there is none")
	}
	c.State, c.Detail = doctor.OK, uri
	return c
}

func (s *session) toolkitCheck(ctx context.Context, in plan.Input) doctor.Check {
	c := doctor.Check{Group: "registries", Name: "Driver Toolkits can be read"}
	dtk := wanted(in)
	if dtk == "" {
		return c.Skip("not tried: the matrix and the catalogue name none")
	}
	at, err := s.locate(ctx, dtk)
	if err == nil {
		_, _, err = s.client.Image(ctx, at)
		err = withQuayAdvice(at, err)
	}
	if err != nil {
		return c.Fail(err)
	}
	c.State, c.Detail = doctor.OK, at
	return c
}
