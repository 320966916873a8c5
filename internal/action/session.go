package action

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/oci/auth"
	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/transport"
)

// access says which places a use case works with, as the command line names them ("" for none), and what for.
type access struct {
	target   string // where images go
	mirror   string // of Driver Toolkits, where a flag names one
	origin   string // where catalog mirror copies from, if not from where the catalogue says
	readOnly bool   // whoever only reads ECR Public needs no credentials
}

// session is the way to the outside: one HTTP transport, one AWS identity, one keychain, one registry client.
type session struct {
	env      Env
	access   access
	http     *http.Client
	caller   *caller
	login    *ecr.Login
	keychain *auth.Keychain
	client   *registry.Client
}

// open makes the session. It asks nothing of the network.
func open(env Env, a access) (*session, error) {
	shown := env.Settings
	shown.Target, shown.ToolkitMirror = a.target, a.mirror
	env.Log.Debug("settings", "settings", shown)
	for _, file := range env.Settings.AuthFiles {
		if file.Named == "" {
			continue
		}
		if _, err := os.Stat(file.Path); err != nil {
			return nil, fault.AsPrerequisite(fault.Wrap(fmt.Errorf("registry credentials: %s: %w", file.Named, err),
				file.Named+" must name an existing file"))
		}
	}
	rt, err := transport.New(transport.Options{CAFile: env.CAFile, UserAgent: "neuron-kmod/" + env.Version, Log: env.Log})
	if err != nil {
		return nil, fault.AsUsage(fmt.Errorf("--ca-file: %w", err))
	}
	s := &session{env: env, access: a, http: &http.Client{Transport: rt}}
	s.caller = &caller{load: s.loadIdentity}
	s.login = &ecr.Login{
		Identity: s.caller.identity, AnonymousPublic: a.readOnly || env.Settings.AnonymousPublic, Secret: env.Mask, Log: env.Log,
	}
	s.keychain = auth.NewKeychain(s.sources()...)
	s.client = registry.NewClient(s.keychain, rt, env.Log)
	return s, nil
}

// sources lists where credentials are looked for, the most explicit first: an account for one registry, files that a
// variable names, AWS for its own registries, and last what podman and docker have kept.
func (s *session) sources() []auth.Source {
	var named, kept []auth.Source
	for _, f := range s.env.Settings.AuthFiles {
		if source := auth.NewFile(f.Path, f.Named); f.Named != "" {
			named = append(named, source)
		} else {
			kept = append(kept, source)
		}
	}
	var all []auth.Source
	if quay := s.env.Settings.Quay; quay.User != "" {
		all = append(all, auth.Password{
			From: "QUAY_USERNAME and QUAY_PASSWORD", Host: quayHost, Username: quay.User, Secret: quay.Password.Reveal(),
		})
	}
	all = append(all, named...)
	all = append(all, s.login)
	return append(all, kept...)
}

// image reads an image of a registry, or of a directory as oci:DIR:TAG, and returns it with its digest.
func (s *session) image(ctx context.Context, reference string) (v1.Image, string, error) {
	rest, layout := strings.CutPrefix(reference, "oci:")
	if !layout {
		img, digest, err := s.client.Image(ctx, reference)
		return img, digest, registry.Classify(err)
	}
	dir, tag, tagged := strings.Cut(rest, ":")
	if !tagged {
		return nil, "", fault.AsUsage(fault.Wrap(fmt.Errorf("%s has no tag", reference), "name the image oci:DIR:TAG"))
	}
	t, err := registry.NewTarget("oci:"+dir, s.client)
	if err != nil {
		return nil, "", fault.AsUsage(err)
	}
	img, err := t.Image(ctx, tag)
	if registry.Is404(err) {
		err = fault.AsUsage(err)
	}
	if err != nil {
		return nil, "", err
	}
	digest, err := img.Digest()
	return img, digest.String(), err
}
