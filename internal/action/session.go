// Package action holds the use cases of the program: plan, build, release and the others, each a function of a
// request that returns a result. It knows neither command lines nor output: package cli makes requests of flags,
// package report renders results. Only action opens ways to the outside.
package action

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/oci/auth"
	"neuron-kmod/internal/oci/ecr"
	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/platform/config"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/progress"
	"neuron-kmod/internal/platform/transport"
)

// The one architecture that Trainium and Inferentia instances have, as catalogues and as registries name it.
const (
	arch     = "x86_64"
	platform = "linux/amd64"
)

// parallelReads is how many Driver Toolkits or images are read at the same time: enough to hide the latency, few
// enough to be a polite guest at quay.io.
const parallelReads = 8

// quayHost is where Driver Toolkits are from.
const quayHost = "quay.io"

// Env is what every use case runs in.
type Env struct {
	Settings config.Settings // of the environment; what a request has of the same name counts instead
	CAFile   string          // PEM file with certificates to trust besides the system's, "" for none
	Version  string          // of the program
	Log      *slog.Logger
	// Mask is told each short-lived secret before it is used, so that whoever keeps a log can hide it.
	Mask func(secret string)
	// Progress begins to show tasks that are under way. Whoever calls it closes what it returns.
	Progress func() *progress.Progress
}

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
	var named, kept []auth.Source
	for _, file := range env.Settings.AuthFiles {
		source := auth.NewFile(file.Path, file.Named)
		if file.Named == "" {
			kept = append(kept, source)
			continue
		}
		if _, err := os.Stat(file.Path); err != nil {
			return nil, fault.AsPrerequisite(fault.Wrap(fmt.Errorf("registry credentials: %s: %w", file.Named, err),
				file.Named+" must name an existing file"))
		}
		named = append(named, source)
	}
	rt, err := transport.New(transport.Options{CAFile: env.CAFile, UserAgent: "neuron-kmod/" + env.Version, Log: env.Log})
	if err != nil {
		return nil, fault.AsUsage(fmt.Errorf("--ca-file: %w", err))
	}
	s := &session{env: env, access: a, http: &http.Client{Transport: rt}}
	s.caller = &caller{load: s.loadIdentity}
	s.login = &ecr.Login{
		Identity: s.caller.identity, AnonymousPublic: a.readOnly || env.Settings.AnonymousPublic,
		Secret: env.Mask, Log: env.Log,
	}
	// The most explicit source comes first: an account for one registry, files that a variable names, AWS for its own
	// registries, and last what podman and docker have kept.
	sources := slices.Concat(named, []auth.Source{s.login}, kept)
	if quay := env.Settings.Quay; quay.User != "" {
		sources = slices.Insert(sources, 0, auth.Source(auth.Password{
			From: "QUAY_USERNAME and QUAY_PASSWORD", Host: quayHost, Username: quay.User, Secret: quay.Password.Reveal(),
		}))
	}
	s.keychain = auth.NewKeychain(sources...)
	s.client = registry.NewClient(s.keychain, rt, env.Log)
	return s, nil
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

// StateCounts says how many there are in each state, without the states that have none: "2 copied, 1 failed".
func StateCounts[S ~string](count func(S) int, states ...S) string {
	var parts []string
	for _, s := range states {
		if n := count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return strings.Join(parts, ", ")
}

// count returns how many elements of a list match.
func count[T any](list []T, match func(T) bool) int {
	n := 0
	for _, one := range list {
		if match(one) {
			n++
		}
	}
	return n
}
