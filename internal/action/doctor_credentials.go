package action

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/internal/oci/identity"
	"neuron-kmod/internal/platform/fault"
)

const noAWS = "there is no AWS identity"

// lacksAWS reports whether err is the reason why there is no AWS identity.
func (x *checkup) lacksAWS(err error) bool {
	if x.session == nil {
		return false
	}
	_, reason := x.session.caller.known()
	return reason != nil && errors.Is(err, reason)
}

// checkAWS says who the program is to AWS. It asks for nothing: the other checks have asked, if a build would. That there is
// no identity is a failure where one of them could not be made for it.
func (x *checkup) checkAWS(results []outcome) doctor.Check {
	c := doctor.Check{Group: "credentials", Name: "AWS identity"}
	if x.session == nil {
		return c.Skip("not tried: " + x.closed)
	}
	id, err := x.session.caller.known()
	needed := false
	for _, r := range results {
		needed = needed || r.noAWS
	}
	switch {
	case err != nil && needed:
		return c.Fail(err)
	case id == nil && err == nil, errors.Is(err, identity.ErrNone):
		return c.Skip("not needed for target " + x.request.Target)
	case err != nil:
		c.State, c.Detail, c.Hint = doctor.Warning, "not needed, and it does not work: "+err.Error(), fault.Of(err)
		return c
	}
	c.State, c.Source, c.Identity = doctor.OK, id.Source, id.ARN
	c.Detail = fmt.Sprintf("%s, account %s, region %s", id.ARN, id.Account, id.Region)
	c.ValidUntil = validUntil(id.Expires)
	return c
}

// validUntil is a time for the report, nil for none.
func validUntil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// checkAccount says which credentials there are for a repository or an image.
func checkAccount(ctx context.Context, s *session, c doctor.Check, reference string) (doctor.Check, error) {
	if strings.HasPrefix(reference, "oci:") {
		return c.Skip("not needed for a directory"), nil
	}
	ref, err := name.ParseReference(reference)
	if err != nil {
		return c, err
	}
	host := ref.Context().RegistryStr()
	c.Name += " (" + host + ")"
	credentials, source, err := s.keychain.Find(ctx, ref.Context())
	if err != nil {
		return c, err
	}
	if source == "" {
		c.State, c.Detail = doctor.Warning, "no credentials: it is asked anonymously"
		return c, nil
	}
	cfg, err := authn.Authorization(ctx, credentials)
	if err != nil {
		return c, err
	}
	c.State, c.Source, c.Identity = doctor.OK, source, cfg.Username
	c.Detail = "user " + cfg.Username
	if cfg.Username == "" {
		c.Detail = "a token"
	}
	if t, ok := credentials.(interface{ Expires() time.Time }); ok {
		c.ValidUntil = validUntil(t.Expires())
	}
	return c, nil
}
