package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/limit"
)

// File is a file of docker or podman as a source. It is read at the first Find. One that does not exist has no
// credentials; one that is malformed makes each Find fail with an error that names it.
//
// For one host a helper for just that host (credHelpers) comes first, then the entry with the longest matching
// host/path, then the helper for all hosts (credsStore). Find blocks while a helper runs, which ends when ctx does.
type File struct {
	name string
	load func() (*authFile, error)
}

// NewFile returns the file at path as a source; variable is the environment variable that names it, "" if none does.
func NewFile(path, variable string) *File {
	name := path
	if variable != "" {
		name = variable + " (" + path + ")"
	}
	return &File{name: name, load: sync.OnceValues(func() (*authFile, error) {
		f, err := readAuthFile(path)
		return f, fault.Wrap(err, "mend the file, or log in again with podman login or docker login")
	})}
}

// Name implements Source.
func (a *File) Name() string { return a.name }

// Find implements Source.
func (a *File) Find(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	f, err := a.load()
	if f == nil || err != nil {
		return nil, err
	}
	cfg, err := f.find(ctx, r)
	if err != nil || cfg == (authn.AuthConfig{}) {
		return nil, err
	}
	return authn.FromConfig(cfg), nil
}

// find returns the file's credentials for r, the zero value if it has none.
func (f *authFile) find(ctx context.Context, r authn.Resource) (authn.AuthConfig, error) {
	host := r.RegistryStr()
	if helper := f.helpers[host]; helper != "" {
		if cfg, err := f.runHelper(ctx, helper, host); err != nil || cfg != (authn.AuthConfig{}) {
			return cfg, err
		}
	}
	if cfg, ok := f.lookup(r.String()); ok {
		return cfg, nil
	}
	if f.store != "" && f.helpers[host] == "" {
		return f.runHelper(ctx, f.store, host)
	}
	return authn.AuthConfig{}, nil
}

// maxAuthFile bounds an auth file; Red Hat's pull secrets are below 10 kB.
const maxAuthFile = 1 << 20

// authFile is what docker's config.json and podman's auth.json have in common, with normalised keys.
// https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
type authFile struct {
	path    string
	entries map[string]authn.AuthConfig // by host or host/path
	helpers map[string]string           // by host: the name after docker-credential-
	store   string                      // helper for every other host, "" if none
}

// readAuthFile reads path; nil if there is no such file.
func readAuthFile(path string) (*authFile, error) {
	data, err := limit.ReadFile(path, maxAuthFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("auth file: %w", err)
	}
	return parseAuthFile(path, data)
}

// parseAuthFile reads data. Errors name the file, never what is in it.
func parseAuthFile(path string, data []byte) (*authFile, error) {
	var raw struct {
		Auths map[string]struct {
			Auth          string `json:"auth"`
			Username      string `json:"username"`
			Password      string `json:"password"`
			IdentityToken string `json:"identitytoken"`
			RegistryToken string `json:"registrytoken"`
		} `json:"auths"`
		CredHelpers map[string]string `json:"credHelpers"`
		CredsStore  string            `json:"credsStore"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("auth file %s is not valid JSON%s", path, jsonPosition(err))
	}
	out := &authFile{
		path: path, entries: map[string]authn.AuthConfig{}, helpers: map[string]string{}, store: raw.CredsStore,
	}
	for key, e := range raw.Auths {
		cfg := authn.AuthConfig{
			Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken,
		}
		if e.Auth != "" {
			user, password, err := decodeAuth(e.Auth)
			if err != nil {
				return nil, fmt.Errorf("auth file %s: entry %q: %w", path, key, err)
			}
			cfg.Username, cfg.Password = user, password
		}
		if cfg != (authn.AuthConfig{}) { // docker leaves an empty entry where a helper has the credentials
			out.entries[authKey(key)] = cfg
		}
	}
	for host, helper := range raw.CredHelpers {
		out.helpers[authKey(host)] = helper
	}
	for _, helper := range append(slices.Collect(maps.Values(out.helpers)), out.store) {
		if !helperForm.MatchString(helper) {
			return nil, fmt.Errorf("auth file %s: %q is not the name of a credential helper", path, helper)
		}
	}
	return out, nil
}

// helperForm keeps a helper's name from being a path.
var helperForm = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)

// jsonPosition returns where in the file the JSON is invalid. The errors' own text may quote the file.
func jsonPosition(err error) string {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf(" at byte %d", e.Offset)
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf(" of the right form at byte %d", e.Offset)
	}
	return ""
}

// decodeAuth splits base64("user:password").
func decodeAuth(s string) (user, password string, err error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		if raw, err = base64.RawStdEncoding.DecodeString(s); err != nil {
			return "", "", errors.New("auth is not base64")
		}
	}
	user, password, ok := strings.Cut(string(raw), ":")
	if !ok || user == "" {
		return "", "", errors.New("auth is not user:password in base64")
	}
	return user, strings.TrimRight(password, "\x00"), nil
}

// authKey returns the normal form of a key: host or host/path. Docker writes some as URLs, and has three names for
// Docker Hub.
func authKey(key string) string {
	for _, scheme := range []string{"https://", "http://"} {
		key = strings.TrimPrefix(key, scheme)
	}
	key = strings.TrimRight(key, "/")
	for _, api := range []string{"/v1", "/v2"} {
		key = strings.TrimSuffix(key, api)
	}
	host, path, hasPath := strings.Cut(key, "/")
	switch host {
	case "docker.io", "registry-1.docker.io":
		host = name.DefaultRegistry
	}
	if hasPath {
		return host + "/" + path
	}
	return host
}

// lookup returns the entry for the longest prefix of a repository's name, split at slashes.
func (f *authFile) lookup(repo string) (authn.AuthConfig, bool) {
	for key := repo; ; {
		if e, ok := f.entries[key]; ok {
			return e, true
		}
		cut := strings.LastIndexByte(key, '/')
		if cut < 0 {
			return authn.AuthConfig{}, false
		}
		key = key[:cut]
	}
}
