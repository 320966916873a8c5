package registry

import (
	"fmt"
	"sync"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/credentials"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/hint"
)

// Keychain finds credentials in auth files of docker and podman. It implements authn.Keychain and may be used from
// several goroutines.
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

// Resolve returns the credentials for r, authn.Anonymous if there are none. In one file a helper for just that
// host (credHelpers) comes first, then the entry with the longest matching host/path, then the helper for all hosts
// (credsStore). It blocks while a helper runs.
func (k *Keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	files, err := k.load()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		cfg, err := f.find(r)
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
func (f *authFile) find(r authn.Resource) (authn.AuthConfig, error) {
	host := r.RegistryStr()
	if helper := f.helpers[host]; helper != "" {
		if cfg, err := f.ask(helper, host); err != nil || cfg != (authn.AuthConfig{}) {
			return cfg, err
		}
	}
	if cfg, ok := f.lookup(r.String()); ok {
		return cfg, nil
	}
	if f.store != "" && f.helpers[host] == "" {
		return f.ask(f.store, host)
	}
	return authn.AuthConfig{}, nil
}

// ask runs a credential helper, with the protocol of
// https://github.com/docker/docker-credential-helpers#development. "Not found" is the zero value.
func (f *authFile) ask(helper, host string) (authn.AuthConfig, error) {
	server := host
	if host == name.DefaultRegistry {
		server = authn.DefaultAuthKey
	}
	got, err := credentials.NewNativeStore(&configfile.ConfigFile{}, helper).Get(server)
	if err != nil {
		err = fmt.Errorf("auth file %s: docker-credential-%s for %s: %w", f.path, helper, host, err)
		return authn.AuthConfig{}, hint.Wrap(err, "install the helper, or take it out of credHelpers or credsStore in that file")
	}
	return authn.AuthConfig{Username: got.Username, Password: got.Password, IdentityToken: got.IdentityToken}, nil
}
