package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/oci/auth"
	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/openshift/toolkit"
	"neuron-kmod/internal/plan"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/transport"
)

// toolkitReaders is how many Driver Toolkits are read at the same time: enough
// to hide the latency, few enough to be a polite guest at quay.io.
const toolkitReaders = 8

// quayHost is where Driver Toolkits are from.
const quayHost = "quay.io"

// session is the way to the outside: one HTTP transport, one AWS identity, one
// keychain, one registry client.
type session struct {
	*app
	transport  http.RoundTripper
	caller     *caller
	login      *ecr.Login
	keychain   *auth.Keychain
	client     *registry.Client
	locate     locator         // where a Driver Toolkit is taken from
	mirror     *toolkit.Mirror // where it may be taken from, nil for none
	mirrorName string
	ready      *readiness
	refused    error // why the last Driver Toolkit could not be read, where credentials were the reason
}

// open makes the session that the settings and flags describe. It asks nothing
// of the network.
func (a *app) open() (*session, error) {
	a.log.Debug("settings", "settings", a.Settings)
	for _, file := range a.AuthFiles {
		if file.Named == "" {
			continue
		}
		if _, err := os.Stat(file.Path); err != nil {
			return nil, prerequisite{fault.Wrap(fmt.Errorf("registry credentials: %s: %w", file.Named, err),
				file.Named+" has to name a file that is there")}
		}
	}
	rt, err := transport.New(transport.Options{CAFile: a.caFile, UserAgent: "neuron-kmod/" + buildVersion(), Log: a.log})
	if err != nil {
		return nil, usage{fmt.Errorf("--ca-file: %w", err)}
	}
	s := &session{app: a, transport: rt, locate: unmoved}
	s.caller = &caller{load: s.loadIdentity}
	s.login = &ecr.Login{Identity: s.caller.identity, AnonymousPublic: a.AnonymousPublic, Secret: a.workflow.Mask, Log: a.log}
	s.keychain = auth.NewKeychain(s.sources()...)
	s.client = registry.NewClient(s.keychain, rt, a.log)
	return s, nil
}

// sources lists where credentials are looked for, the most explicit first: an
// account for one registry, files that a variable names, AWS for its own
// registries, and last what podman and docker have kept.
func (s *session) sources() []auth.Source {
	var named, kept []auth.Source
	for _, f := range s.AuthFiles {
		if source := auth.NewFile(f.Path, f.Named); f.Named != "" {
			named = append(named, source)
		} else {
			kept = append(kept, source)
		}
	}
	var all []auth.Source
	if s.Quay.User != "" {
		all = append(all, auth.Password{
			From: "QUAY_USERNAME and QUAY_PASSWORD", Host: quayHost, Username: s.Quay.User, Secret: s.Quay.Password.Reveal(),
		})
	}
	all = append(all, named...)
	all = append(all, s.login)
	return append(all, kept...)
}

// image reads an image of a registry, or of a directory as oci:DIR:TAG.
func (s *session) image(ctx context.Context, reference string) (v1.Image, string, error) {
	rest, layout := strings.CutPrefix(reference, "oci:")
	if !layout {
		img, digest, err := s.client.Image(ctx, reference)
		return img, digest, registry.Classify(err)
	}
	dir, tag, tagged := strings.Cut(rest, ":")
	if !tagged {
		return nil, "", usage{fault.Wrap(fmt.Errorf("%s has no tag", reference), "name the image oci:DIR:TAG")}
	}
	t, err := registry.NewTarget("oci:"+dir, s.client)
	if err != nil {
		return nil, "", usage{err}
	}
	img, err := t.Image(ctx, tag)
	if err != nil {
		return nil, "", err
	}
	digest, err := img.Digest()
	return img, digest.String(), err
}

// resolver reads the kernels of Driver Toolkits out of their registry, or out
// of the cache of earlier runs.
func (s *session) resolver() plan.Resolver {
	reader := &toolkit.Reader{
		Client: s.client, Cache: toolkit.NewCache(filepath.Join(s.CacheDir, "kernels")), Locate: s.locateReady, Log: s.log,
	}
	return func(ctx context.Context, toolkits []string) []plan.Resolved {
		results := reader.Kernels(ctx, toolkits, toolkitReaders)
		out := make([]plan.Resolved, len(toolkits))
		for i, t := range toolkits {
			err := withQuayAdvice(t, results[t].Err)
			if registry.IsUnauthorized(err) {
				s.refused = err
			}
			out[i] = plan.Resolved{Kernel: results[t].Kernel, Err: err}
		}
		return out
	}
}

func (s *session) httpClient() *http.Client { return &http.Client{Transport: s.transport} }
