package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/platform/fault"
)

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// files is a keychain over auth files.
func files(paths ...string) *Keychain {
	var sources []Source
	for _, path := range paths {
		sources = append(sources, NewFile(path, ""))
	}
	return NewKeychain(sources...)
}

// resolve returns the user that k has for a repository, "" for none.
func resolve(t *testing.T, k *Keychain, repo string) string {
	t.Helper()
	r, err := name.NewRepository(repo)
	if err != nil {
		t.Fatal(err)
	}
	auth, err := k.ResolveContext(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := auth.Authorization()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Username != "" && cfg.Password == "" {
		t.Errorf("%s: user %q without a password", repo, cfg.Username)
	}
	return cfg.Username + cfg.IdentityToken
}

// R10.2, R1.3: credentials come from docker's and podman's files; the most explicit file and the longest key count.
func TestKeychain(t *testing.T) {
	first := write(t, "first.json", `{"auths": {
		"quay.io/openshift/private": {"auth": "`+basic("deep", "x")+`"},
		"https://index.docker.io/v1/": {"auth": "`+basic("hub", "x")+`"},
		"http://plain.test:5000/": {"username": "plain", "password": "x"},
		"empty.test": {},
		"token.test": {"identitytoken": "id"}}}`)
	second := write(t, "second.json", `{"auths": {
		"quay.io": {"auth": "`+basic("wide", "p:w")+`"},
		"quay.io/openshift": {"auth": "`+basic("middle", "x")+`"},
		"docker.io": {"auth": "`+basic("other hub", "x")+`"},
		"empty.test": {"auth": "`+basic("filled", "x")+`"}}}`)
	k := files("/nonexistent/auth.json", first, second)
	for repo, want := range map[string]string{
		"quay.io/openshift/private/x": "deep",
		"quay.io/openshift/private":   "deep",
		"quay.io/openshift/privates":  "middle",
		"quay.io/openshift/dtk":       "middle",
		"quay.io/me":                  "wide",
		"quay.io:443/me":              "",
		"busybox":                     "hub",
		"docker.io/me/x":              "hub",
		"plain.test:5000/a/b":         "plain",
		"empty.test/x":                "filled",
		"token.test/x":                "id",
		"unknown.test/x":              "",
	} {
		if got := resolve(t, k, repo); got != want {
			t.Errorf("%s: user %q, want %q", repo, got, want)
		}
	}
}

// R1.3: the first place that has credentials for a host decides, and can be named; an account is for its host alone.
func TestKeychainSources(t *testing.T) {
	filed := basic("filed", "x")
	file := write(t, "auth.json", `{"auths": {"quay.io": {"auth": "`+filed+`"}, "other.test": {"auth": "`+filed+`"}}}`)
	k := NewKeychain(Password{From: "QUAY_USERNAME and QUAY_PASSWORD", Host: "quay.io", Username: "given", Secret: "x"},
		NewFile(file, "REGISTRY_AUTH_FILE"))
	for repo, want := range map[string]struct{ user, source string }{
		"quay.io/me/x":    {"given", "QUAY_USERNAME and QUAY_PASSWORD"},
		"other.test/x":    {"filed", "REGISTRY_AUTH_FILE (" + file + ")"},
		"unknown.test/x":  {"", ""},
		"notquay.io/me/x": {"", ""},
	} {
		r, err := nameOf(repo)
		if err != nil {
			t.Fatal(err)
		}
		_, source, err := k.Find(t.Context(), r)
		if err != nil || source != want.source || resolve(t, k, repo) != want.user {
			t.Errorf("%s: user %q from %q (%v), want %+v", repo, resolve(t, k, repo), source, err, want)
		}
	}
}

// putHelper makes a shell script the credential helper "testing", the first in PATH.
func putHelper(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "docker-credential-testing")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// Credential helpers are asked as docker asks them.
func TestKeychainHelpers(t *testing.T) {
	putHelper(t, `[ "$*" = get ] || exit 2
read -r host
case $host in
has.test) echo '{"ServerURL":"has.test","Username":"helped","Secret":"x"}' ;;
token.test) echo '{"ServerURL":"token.test","Username":"<token>","Secret":"id"}' ;;
https://index.docker.io/v1/) echo '{"Username":"hub","Secret":"x"}' ;;
*) echo credentials not found in native keychain; exit 1 ;;
esac
`)
	hosts := files(
		write(t, "hosts.json", `{"credHelpers": {"has.test": "testing", "none.test": "testing"}, "auths": {`+
			`"has.test": {"auth": "`+basic("filed", "x")+`"}, "none.test": {"auth": "`+basic("filed", "x")+`"}}}`),
		write(t, "all.json", `{"credsStore": "testing", "auths": {"has.test": {}}}`))
	for repo, want := range map[string]string{
		"has.test/x": "helped", "none.test/x": "filed", "token.test/x": "id", "unknown.test/x": "", "busybox": "hub",
	} {
		if got := resolve(t, hosts, repo); got != want {
			t.Errorf("%s: user %q, want %q", repo, got, want)
		}
	}
	repo, err := nameOf("has.test/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hosts.Resolve(repo); err == nil {
		t.Error("a helper was asked without a context")
	}
}

// R8.1, R10.2: a helper that fails is named with its file, and nothing that it says is repeated.
func TestKeychainHelperFails(t *testing.T) {
	for name, tt := range map[string]struct{ helper, script, want string }{
		"fails":         {"testing", "echo hunter2; echo hunter2 >&2; exit 3", "exit status 3"},
		"no JSON":       {"testing", "echo hunter2", "JSON"},
		"cut off":       {"testing", `echo '{"Username":"u","Secret":"hunter2'`, "JSON"},
		"says too much": {"testing", `yes hunter2`, "more than"},
		"not installed": {"missing", "", "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			putHelper(t, tt.script)
			file := write(t, "auth.json", `{"credHelpers": {"some.test": "`+tt.helper+`"}}`)
			repo, err := nameOf("some.test/x")
			if err != nil {
				t.Fatal(err)
			}
			_, err = files(file).ResolveContext(t.Context(), repo)
			if err == nil || !strings.Contains(err.Error(), file) ||
				!strings.Contains(err.Error(), "docker-credential-"+tt.helper) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if !strings.Contains(fault.Of(err), "docker-credential-"+tt.helper+" get") ||
				strings.Contains(err.Error()+fault.Of(err), "hunter2") {
				t.Errorf("error %v, advice %q", err, fault.Of(err))
			}
		})
	}
}

// R8.2: a helper that hangs, for instance because it waits for people, ends with the run.
func TestKeychainHelperHangs(t *testing.T) {
	begun := filepath.Join(t.TempDir(), "begun")
	if err := syscall.Mkfifo(begun, 0o600); err != nil {
		t.Fatal(err)
	}
	putHelper(t, "echo begun > '"+begun+"'; exec sleep 600\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("terminated")
	go func() {
		_, _ = os.ReadFile(begun) // until the helper runs
		cancel(cause)
	}()
	repo, err := nameOf("registry.test/me/kmod")
	if err != nil {
		t.Fatal(err)
	}
	keys := files(write(t, "auth.json", `{"credsStore": "testing"}`))
	if _, err := keys.ResolveContext(ctx, repo); !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
}

// R8.1, R10.2: a broken file is named, and nothing of it is repeated.
func TestKeychainMalformed(t *testing.T) {
	for name, text := range map[string]string{
		"truncated":      `{"auths": {"quay.io": {"auth": "hunter2`,
		"empty":          ``,
		"a list":         `["hunter2"]`,
		"wrong type":     `{"auths": {"quay.io": {"auth": ["hunter2"]}}}`,
		"no base64":      `{"auths": {"quay.io": {"auth": "hunter2!"}}}`,
		"no colon":       `{"auths": {"quay.io": {"auth": "aHVudGVyMg=="}}}`,
		"no user":        `{"auths": {"quay.io": {"auth": "Omh1bnRlcjI="}}}`,
		"hostile helper": `{"credHelpers": {"quay.io": "../../bin/sh"}}`,
		"hostile store":  `{"credsStore": "a b"}`,
		"large":          `{"auths": {}}` + strings.Repeat(" ", maxAuthFile),
	} {
		path := write(t, "auth.json", text)
		repo, err := nameOf("other.test/x")
		if err != nil {
			t.Fatal(err)
		}
		_, err = files(path).ResolveContext(t.Context(), repo)
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hunter2") ||
			fault.Of(err) == "" {
			t.Errorf("%s: error %v, advice %q", name, err, fault.Of(err))
		}
	}
}

func nameOf(s string) (name.Repository, error) { return name.NewRepository(s) }

// R10.2: the engine gets the credentials that it needs, for its owner's eyes only.
func TestWriteAuthFile(t *testing.T) {
	k := files(write(t, "auth.json", `{"auths": {
		"quay.io": {"auth": "`+basic("wide", "x")+`"},
		"quay.io/me": {"auth": "`+basic("me", "x")+`"},
		"docker.io": {"auth": "`+basic("hub", "x")+`"},
		"token.test": {"identitytoken": "id"},
		"other.test": {"auth": "`+basic("other", "x")+`"}}}`))
	tests := map[string]struct {
		refs []string
		want map[string]authEntry
	}{
		"none": {nil, map[string]authEntry{}},
		"one": {[]string{"quay.io/openshift/dtk@sha256:" + strings.Repeat("0", 64), "quay.io/x:y"},
			map[string]authEntry{"quay.io": {Auth: basic("wide", "x")}}},
		"two on one": {[]string{"quay.io/x:y", "quay.io/me/x:y"},
			map[string]authEntry{"quay.io/x": {Auth: basic("wide", "x")}, "quay.io/me/x": {Auth: basic("me", "x")}}},
		"docker hub": {[]string{"docker.io/library/busybox:1"},
			map[string]authEntry{"https://index.docker.io/v1/": {Auth: basic("hub", "x")}}},
		"token":       {[]string{"token.test/x:y"}, map[string]authEntry{"token.test": {IdentityToken: "id"}}},
		"without one": {[]string{"unknown.test/x:y"}, map[string]authEntry{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "auth.json")
			if err := WriteFile(t.Context(), path, k, tt.refs); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ Auths map[string]authEntry }
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Auths); diff != "" {
				t.Errorf("auths (-want +got):\n%s", diff)
			}
			again := files(path)
			for _, ref := range tt.refs {
				repo, _, _ := strings.Cut(strings.ReplaceAll(ref, "@", ":"), ":")
				if got, want := resolve(t, again, repo), resolve(t, k, repo); got != want {
					t.Errorf("%s: user %q out of the file, want %q", repo, got, want)
				}
			}
		})
	}
	if err := WriteFile(t.Context(), filepath.Join(t.TempDir(), "auth.json"), k, []string{"not an image"}); err == nil {
		t.Error("no error for a name that is none")
	}
}

// The parser survives any file, and finds for a repository only what is filed under a prefix of its name.
func FuzzAuthFile(f *testing.F) {
	for _, seed := range []string{
		`{"auths": {"quay.io": {"auth": "dTpw"}}}`, `{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}}`,
		`{"auths": {"quay.io/a/b": {"username": "u", "password": "p"}}, "credHelpers": {"x": "y"}, "credsStore": "z"}`,
		`{"auths": {"": {"auth": "dTpw"}}}`, `{"auths": {"quay.io": {"auth": "dTpw"`, `[]`, `null`, ``,
	} {
		f.Add([]byte(seed), "quay.io/a/b/c")
	}
	f.Fuzz(func(t *testing.T, data []byte, repo string) {
		file, err := parseAuthFile("auth.json", data)
		if err != nil {
			if !strings.Contains(err.Error(), "auth.json") {
				t.Errorf("error %v does not name the file", err)
			}
			return
		}
		if cfg, ok := file.lookup(repo); ok && cfg == (authn.AuthConfig{}) {
			t.Error("an entry without credentials")
		}
		for key := range file.entries {
			if _, ok := file.lookup(key + "/x"); !ok {
				t.Errorf("nothing for a repository below %q", key)
			}
		}
	})
}
