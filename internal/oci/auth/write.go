package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/renameio/v2"
)

// authEntry is one entry of "auths" as docker and podman write it.
type authEntry struct {
	Auth          string `json:"auth,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
}

// WriteFile writes the credentials that k has for the images refs, and no others, to path: docker's config.json,
// which podman reads as well, with mode 0600. A container engine gets credentials this way, never as an argument.
// Where k has none for an image there is no entry; the file is written in any case.
//
// Entries are by host, except where two of refs share a host with different credentials: those are by repository, which
// podman supports and docker does not.
func WriteFile(ctx context.Context, path string, k *Keychain, refs []string) error {
	found := map[string]map[string]authEntry{} // by host, then by repository
	for _, ref := range refs {
		parsed, err := name.ParseReference(ref, name.StrictValidation)
		if err != nil {
			return fmt.Errorf("image %q: %w", ref, err)
		}
		repo := parsed.Context()
		if _, known := found[repo.RegistryStr()][repo.Name()]; known {
			continue
		}
		entry, err := entryFor(ctx, k, repo)
		if err != nil {
			return fmt.Errorf("find credentials for %s: %w", repo.RegistryStr(), err)
		}
		if found[repo.RegistryStr()] == nil {
			found[repo.RegistryStr()] = map[string]authEntry{}
		}
		found[repo.RegistryStr()][repo.Name()] = entry
	}
	auths := map[string]authEntry{}
	for host, byRepo := range found {
		addEntries(auths, host, byRepo)
	}
	data, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		return fmt.Errorf("auth file: %w", err)
	}
	err = renameio.WriteFile(path, data, 0o600,
		renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return fmt.Errorf("write the auth file: %w", err)
	}
	return nil
}

// addEntries adds one host's entries to auths.
func addEntries(auths map[string]authEntry, host string, byRepo map[string]authEntry) {
	distinct := map[authEntry]bool{}
	for _, e := range byRepo {
		distinct[e] = true
	}
	if host == name.DefaultRegistry {
		host = authn.DefaultAuthKey
	}
	for repo, e := range byRepo {
		switch {
		case e == authEntry{}:
		case len(distinct) == 1:
			auths[host] = e
		default:
			auths[repo] = e
		}
	}
}

// entryFor returns the entry for repo, the zero value if k has no credentials for it.
func entryFor(ctx context.Context, k *Keychain, repo name.Repository) (authEntry, error) {
	auth, err := k.ResolveContext(ctx, repo)
	if err != nil {
		return authEntry{}, err
	}
	cfg, err := authn.Authorization(ctx, auth)
	if err != nil {
		return authEntry{}, err
	}
	entry := authEntry{Auth: cfg.Auth, IdentityToken: cfg.IdentityToken, RegistryToken: cfg.RegistryToken}
	if entry.Auth == "" && cfg.Username != "" {
		entry.Auth = base64.StdEncoding.EncodeToString([]byte(cfg.Username + ":" + cfg.Password))
	}
	return entry, nil
}
