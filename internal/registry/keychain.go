package registry

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"

	"neuron-kmod/internal/hint"
)

// Keychain finds credentials in auth files of docker and podman. It implements authn.Keychain and
// authn.ContextKeychain, and may be used from several goroutines.
type Keychain struct {
	paths []string
	load  func() ([]*authFile, error)
}

// NewKeychain returns a keychain over files, the most explicit first: the first file that has credentials for a
// repository decides. Files are read at the first Resolve. A file that does not exist is passed over; one that is
// malformed makes each Resolve fail with an error that names it.
func NewKeychain(files ...string) *Keychain {
	k := &Keychain{paths: files}
	k.load = sync.OnceValues(k.read)
	return k
}

func (k *Keychain) read() ([]*authFile, error) {
	var out []*authFile
	for _, path := range k.paths {
		f, err := readAuthFile(path)
		if err != nil {
			return nil, hint.Wrap(err, "mend the file, or log in again with podman login or docker login")
		}
		if f != nil {
			out = append(out, f)
		}
	}
	return out, nil
}

// ResolveContext returns the credentials for r, authn.Anonymous if there are none. In one file a helper for just that
// host (credHelpers) comes first, then the entry with the longest matching host/path, then the helper for all hosts
// (credsStore). It blocks while a helper runs, which ends when ctx does. It implements authn.ContextKeychain, which
// go-containerregistry prefers to Resolve.
func (k *Keychain) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	return k.resolve(r, func(f *authFile, helper, host string) (authn.AuthConfig, error) { return f.ask(ctx, helper, host) })
}

// Resolve is ResolveContext for callers without a context. As nothing could end a helper, it fails where one has to be
// asked.
func (k *Keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return k.resolve(r, func(f *authFile, helper, host string) (authn.AuthConfig, error) {
		return authn.AuthConfig{}, fmt.Errorf("auth file %s: docker-credential-%s for %s cannot be asked without a context", f.path, helper, host)
	})
}

// askHelper asks a credential helper that a file names.
type askHelper func(f *authFile, helper, host string) (authn.AuthConfig, error)

func (k *Keychain) resolve(r authn.Resource, ask askHelper) (authn.Authenticator, error) {
	files, err := k.load()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		cfg, err := f.find(r, ask)
		if err != nil {
			return nil, err
		}
		if cfg != (authn.AuthConfig{}) {
			return authn.FromConfig(cfg), nil
		}
	}
	return authn.Anonymous, nil
}

// find returns the file's credentials for r, the zero value if it has none.
func (f *authFile) find(r authn.Resource, ask askHelper) (authn.AuthConfig, error) {
	host := r.RegistryStr()
	if helper := f.helpers[host]; helper != "" {
		if cfg, err := ask(f, helper, host); err != nil || cfg != (authn.AuthConfig{}) {
			return cfg, err
		}
	}
	if cfg, ok := f.lookup(r.String()); ok {
		return cfg, nil
	}
	if f.store != "" && f.helpers[host] == "" {
		return ask(f, f.store, host)
	}
	return authn.AuthConfig{}, nil
}
