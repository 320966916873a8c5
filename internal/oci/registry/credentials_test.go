package registry

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"neuron-kmod/internal/oci/auth"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/platform/fault"
)

// authFile writes a file of credentials and returns its path.
func authFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "auth.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// R8.1: who is refused reads where the credentials were from, or where they were looked for.
func TestRefusedCredentials(t *testing.T) {
	s := registrytest.New(t, registrytest.BasicAuth("me", "secret"))
	file := authFile(t, `{"auths": {"elsewhere.test": {"auth": "bWU6c2VjcmV0"}}}`)
	keys := auth.NewKeychain(auth.NewFile(file, "QUAY_AUTH_FILE"))
	_, _, err := newTestClient(t, keys).Image(t.Context(), s.Host+"/me/kmod:x")
	want := "no credentials for " + s.Host + " (looked in QUAY_AUTH_FILE (" + file + "))"
	if !strings.Contains(fault.Of(err), want) {
		t.Errorf("none: error %v, advice %q, want %q", err, fault.Of(err), want)
	}
	keys = auth.NewKeychain(auth.Password{From: "QUAY_USERNAME", Host: s.Host, Username: "me", Secret: "hunter2"})
	_, _, err = newTestClient(t, keys).Image(t.Context(), s.Host+"/me/kmod:x")
	if !strings.Contains(fault.Of(err), "refuses the credentials from QUAY_USERNAME") ||
		strings.Contains(err.Error()+fault.Of(err), "hunter2") {
		t.Errorf("wrong: error %v, advice %q", err, fault.Of(err))
	}
}

// R8.2: a credential helper that hangs, for instance because it waits for input, ends with the run.
func TestCredentialHelperHangs(t *testing.T) {
	dir := t.TempDir()
	begun := filepath.Join(dir, "begun")
	helper := "#!/bin/sh\necho begun > '" + begun + "'; exec sleep 600\n"
	program := filepath.Join(dir, "docker-credential-testing")
	if err := errors.Join(syscall.Mkfifo(begun, 0o600), os.WriteFile(program, []byte(helper), 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("terminated")
	go func() {
		_, _ = os.ReadFile(begun) // until the helper runs
		cancel(cause)
	}()
	target := newTestTarget(t, "registry.test/me/kmod",
		auth.NewKeychain(auth.NewFile(authFile(t, `{"credsStore": "testing"}`), "")))
	if _, err := target.Tags(ctx); !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
}
