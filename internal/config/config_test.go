package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/hint"
)

func env(pairs ...string) func(string) string {
	m := map[string]string{"HOME": "/home/u"}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return m[name] }
}

// R1.1, R6.1: the environment decides the default target.
func TestTarget(t *testing.T) {
	for value, want := range map[string]string{"": "ecr", "false": "ecr", "true": "ecr-public"} {
		s, err := FromEnvironment(env("GITHUB_ACTIONS", value))
		if err != nil {
			t.Fatal(err)
		}
		if s.Target != want {
			t.Errorf("GITHUB_ACTIONS=%q: target %q, want %q", value, s.Target, want)
		}
	}
}

// R2.3: FORCE_BUILD, and values that are no answer.
func TestForceBuild(t *testing.T) {
	for value, want := range map[string]bool{"": false, "false": false, "0": false, "true": true, "1": true} {
		s, err := FromEnvironment(env("FORCE_BUILD", value))
		if err != nil {
			t.Fatal(err)
		}
		if s.Force != want {
			t.Errorf("FORCE_BUILD=%q: %v, want %v", value, s.Force, want)
		}
	}
	_, err := FromEnvironment(env("FORCE_BUILD", "yes please"))
	if err == nil || !strings.Contains(err.Error(), "FORCE_BUILD") || hint.Of(err) == "" {
		t.Errorf("FORCE_BUILD=yes please: error %v, hint %q", err, hint.Of(err))
	}
}

func TestSourceDateEpoch(t *testing.T) {
	s, err := FromEnvironment(env("SOURCE_DATE_EPOCH", "1700000000"))
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC); !s.Created.Equal(want) {
		t.Errorf("created %v, want %v", s.Created, want)
	}
	for _, bad := range []string{"now", "-1", "1700000000000", "1.5"} {
		if _, err := FromEnvironment(env("SOURCE_DATE_EPOCH", bad)); err == nil {
			t.Errorf("SOURCE_DATE_EPOCH=%s: no error", bad)
		}
	}
}

// R1.3: where credentials are looked for, the most explicit first.
func TestAuthFiles(t *testing.T) {
	s, err := FromEnvironment(env("REGISTRY_AUTH_FILE", "/a.json", "QUAY_AUTH_FILE", "/q.json", "XDG_RUNTIME_DIR", "/run/user/1"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/a.json", "/q.json", "/run/user/1/containers/auth.json", "/home/u/.config/containers/auth.json", "/home/u/.docker/config.json"}
	if diff := cmp.Diff(want, s.AuthFiles); diff != "" {
		t.Error(diff)
	}
}

// R5.2: the labels name the repository that publishes.
func TestSourceURL(t *testing.T) {
	for _, tt := range []struct{ repository, server, want string }{
		{"", "", DefaultSourceURL},
		{"me/kmod", "", "https://github.com/me/kmod"},
		{"me/kmod", "https://git.example.com/", "https://git.example.com/me/kmod"},
	} {
		s, err := FromEnvironment(env("GITHUB_REPOSITORY", tt.repository, "GITHUB_SERVER_URL", tt.server))
		if err != nil {
			t.Fatal(err)
		}
		if s.SourceURL != tt.want {
			t.Errorf("%+v: got %s", tt, s.SourceURL)
		}
	}
}

func TestCacheDir(t *testing.T) {
	if _, err := FromEnvironment(func(string) string { return "" }); err == nil {
		t.Error("no HOME and no XDG_CACHE_HOME: no error")
	}
	s, err := FromEnvironment(env("XDG_CACHE_HOME", "/c"))
	if err != nil || s.CacheDir != "/c/neuron-kmod" {
		t.Errorf("cache folder %q, error %v", s.CacheDir, err)
	}
}
