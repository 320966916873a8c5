package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/platform/fault"
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

// R1.1: what differs between a runner and other machines.
func TestEnvironments(t *testing.T) {
	type differences struct{ tools, quay, mirror, anonymous bool }
	for value, want := range map[string]differences{"": {true, false, true, true}, "true": {false, true, false, false}} {
		s, err := FromEnvironment(env("GITHUB_ACTIONS", value))
		if err != nil {
			t.Fatal(err)
		}
		if got := (differences{s.CheckTools, s.NeedQuay, s.UseMirror, s.AnonymousPublic}); got != want {
			t.Errorf("GITHUB_ACTIONS=%q: %+v, want %+v", value, got, want)
		}
	}
}

// R1.3: where in ECR images and Driver Toolkits are, and which variables override what is found.
func TestAWS(t *testing.T) {
	s, err := FromEnvironment(env())
	if err != nil {
		t.Fatal(err)
	}
	want := AWS{
		Repository: "neuron-operator/kmod", Mirror: "neuron-operator/driver-toolkit",
		PublicRepository: "q5p6u7h8/neuron-openshift/neuron-kernel-module",
	}
	if s.AWS != want {
		t.Errorf("defaults: %+v", s.AWS)
	}
	s, err = FromEnvironment(env("AWS_DEFAULT_REGION", "eu-west-1", "AWS_REGION", "us-gov-west-1", "AWS_ACCOUNT_ID", "123456789012", "AWS_PROFILE", "p",
		"KMOD_ECR_REPOSITORY_NAME", "a/b", "DTK_ECR_REPOSITORY_NAME", "c", "KMOD_ECR_PUBLIC_REPOSITORY", "public.ecr.aws/alias/x/y"))
	if err != nil {
		t.Fatal(err)
	}
	want = AWS{
		Region: "us-gov-west-1", AccountID: "123456789012", Profile: "p", Repository: "a/b", Mirror: "c", MirrorNamed: true, PublicRepository: "alias/x/y",
	}
	if s.AWS != want {
		t.Errorf("named: %+v", s.AWS)
	}
}

// R1.3: on a runner the role is assumed with the job's own token, unless something more explicit is there.
func TestRole(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:role/ci"
	tests := map[string]struct {
		more []string
		want string
	}{
		"runner":     {[]string{"GITHUB_ACTIONS", "true"}, arn},
		"elsewhere":  {nil, ""},
		"keys":       {[]string{"GITHUB_ACTIONS", "true", "AWS_ACCESS_KEY_ID", "AKIA"}, ""},
		"profile":    {[]string{"GITHUB_ACTIONS", "true", "AWS_PROFILE", "p"}, ""},
		"token file": {[]string{"GITHUB_ACTIONS", "true", "AWS_WEB_IDENTITY_TOKEN_FILE", "/t"}, ""},
	}
	for name, tt := range tests {
		s, err := FromEnvironment(env(append(tt.more, "AWS_ROLE_ARN", arn, "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2", "GITHUB_RUN_ID", "7")...))
		if err != nil {
			t.Fatal(err)
		}
		if s.AWS.Role != tt.want || tt.want != "" && (s.AWS.Session != "neuron-kmod-7" || s.AWS.TokenRequest.Reveal() != "hunter2") {
			t.Errorf("%s: %+v", name, s.AWS)
		}
	}
}

// R8.1, R10.2: values of a wrong form are named with their mend; those that may be secrets are not repeated.
func TestWrongValues(t *testing.T) {
	tests := map[string]struct{ name, value, want string }{
		"region":            {"AWS_REGION", "us-west", "us-west-2"},
		"default region":    {"AWS_DEFAULT_REGION", "Oregon", "us-west-2"},
		"account":           {"AWS_ACCOUNT_ID", "1234-5678-9012", "123456789012"},
		"role":              {"AWS_ROLE_ARN", "role/ci", "arn:aws:iam::"},
		"repository":        {"KMOD_ECR_REPOSITORY_NAME", "Neuron", "neuron-operator/kmod"},
		"mirror":            {"DTK_ECR_REPOSITORY_NAME", "a/../b", "neuron-operator/driver-toolkit"},
		"public repository": {"KMOD_ECR_PUBLIC_REPOSITORY", "no-path", "q5p6u7h8/"},
		"quay user":         {"QUAY_USERNAME", "me", "set both or neither"},
		"quay password":     {"QUAY_PASSWORD", "hunter2", "set both or neither"},
		"proxy":             {"HTTPS_PROXY", "http://me:hunter2%zz@proxy:3128", "http://HOST:PORT"},
		"proxy's scheme":    {"https_proxy", "ftp://me:hunter2@proxy", "http://HOST:PORT"},
	}
	for name, tt := range tests {
		_, err := FromEnvironment(env(tt.name, tt.value))
		if err == nil || !strings.Contains(err.Error(), tt.name) || !strings.Contains(fault.Of(err), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v, hint %q", name, err, fault.Of(err))
		}
	}
	for _, good := range []string{"http://me:hunter2@proxy:3128", "proxy:3128", "socks5://proxy"} {
		if _, err := FromEnvironment(env("HTTPS_PROXY", good)); err != nil {
			t.Errorf("HTTPS_PROXY=%s: %v", good, err)
		}
	}
}

// R10.2: however settings are shown, no secret is in them.
func TestNoSecretShown(t *testing.T) {
	s, err := FromEnvironment(env("QUAY_USERNAME", "me", "QUAY_PASSWORD", "hunter2", "GITHUB_ACTIONS", "true", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	s.DriverSource = "https://me:hunter2@yum.test/"
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("settings", "settings", s, "password", s.Quay.Password)
	encoded, err := json.Marshal(s.Quay)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		log.String(), string(encoded), fmt.Sprint(s.Describe()), fmt.Sprintf("%v %+v %#v %s %q", s.Quay, s.Quay, s.Quay, s.Quay.Password, s.Quay.Password),
	} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, "secret") {
			t.Errorf("shows %s", text)
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
	if err == nil || !strings.Contains(err.Error(), "FORCE_BUILD") || fault.Of(err) == "" {
		t.Errorf("FORCE_BUILD=yes please: error %v, hint %q", err, fault.Of(err))
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
	want := []AuthFile{
		{"/a.json", "REGISTRY_AUTH_FILE"}, {"/q.json", "QUAY_AUTH_FILE"}, {Path: "/run/user/1/containers/auth.json"},
		{Path: "/home/u/.config/containers/auth.json"}, {Path: "/home/u/.docker/config.json"},
	}
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
		t.Errorf("cache directory %q, error %v", s.CacheDir, err)
	}
}
