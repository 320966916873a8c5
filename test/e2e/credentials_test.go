//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"neuron-kmod/test/lab"
	"neuron-kmod/test/lab/fakeaws"
)

// What is missing or wrong is found before the driver or a Driver Toolkit is downloaded, and told with what to do; the
// exit code is 4. No secret is in what is told.
// R8.1, R10.2
func TestCredentialsRefused(t *testing.T) {
	t.Parallel()
	// The kernel is not known, so that something would be read of the Driver Toolkit.
	env := cloud(t, lab.CloudOptions{Proxy: &lab.Account{User: "me", Password: "proxy-password"}}, unknown())
	without := func(actions []string, action string) []string {
		return slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return a == action })
	}
	tests := []struct {
		name  string
		vars  func() []string
		set   func(t *testing.T) []string // changes the environment; returns further variables
		args  []string
		said  []string
		again bool // quay.io may be asked, for the login that is refused
	}{
		{
			name: "no repository", vars: env.LocalVars,
			set: func(*testing.T) []string { return []string{"KMOD_ECR_REPOSITORY_NAME=me/absent"} },
			said: []string{
				"ECR repository me/absent", "there is no such repository", "--create-repository", "aws ecr create-repository",
			},
		},
		{
			name: "may not look", vars: env.LocalVars,
			set: func(*testing.T) []string {
				env.Cloud.SetActions(env.User, without(lab.EngineerActions(), "ecr:DescribeRepositories")...)
				return nil
			},
			said: []string{"allow ecr:DescribeRepositories"},
		},
		{
			name: "may not log in", vars: env.LocalVars,
			set: func(*testing.T) []string {
				env.Cloud.SetActions(env.User, without(lab.EngineerActions(), "ecr:GetAuthorizationToken")...)
				return nil
			},
			said: []string{"allow ecr:GetAuthorizationToken"},
		},
		{
			name: "may not list", vars: env.LocalVars,
			set: func(*testing.T) []string {
				env.Cloud.SetActions(env.User, without(lab.EngineerActions(), "ecr:ListImages")...)
				return nil
			},
			said: []string{"allow ecr:ListImages"},
		},
		{
			name: "may not push", vars: env.LocalVars,
			set: func(*testing.T) []string {
				env.Cloud.SetActions(env.User, without(lab.EngineerActions(), "ecr:InitiateLayerUpload")...)
				return nil
			},
			said: []string{"allow ecr:InitiateLayerUpload"},
		},
		{
			name: "expired", vars: env.LocalVars,
			set: func(*testing.T) []string {
				k := env.Cloud.AddSession(fakeaws.User{Name: "late", Actions: lab.EngineerActions()}, -time.Minute)
				return []string{
					"AWS_PROFILE=", "AWS_REGION=us-west-2", "AWS_ACCESS_KEY_ID=" + k.ID, "AWS_SECRET_ACCESS_KEY=" + k.Secret,
					"AWS_SESSION_TOKEN=" + k.SessionToken,
				}
			},
			said: []string{"ExpiredToken", "get new ones"},
		},
		{
			name: "no credentials", vars: env.LocalVars,
			set:  func(*testing.T) []string { return []string{"AWS_PROFILE=", "AWS_REGION=us-west-2"} },
			said: []string{"there are no AWS credentials", "AWS_PROFILE"},
		},
		{
			name: "mirror that is not there", vars: env.LocalVars,
			set:  func(*testing.T) []string { return []string{"DTK_ECR_REPOSITORY_NAME=me/absent"} },
			said: []string{"mirror of Driver Toolkits", "DTK_ECR_REPOSITORY_NAME must name"},
		},
		{
			name: "role that does not trust", vars: env.ActionsVars,
			set: func(*testing.T) []string {
				return []string{
					"AWS_ROLE_ARN=" + env.Cloud.AddRole(
						fakeaws.Role{Name: "other", Audience: "sts.amazonaws.com", Subject: "repo:somebody/else:*"},
					),
				}
			},
			said: []string{"AssumeRoleWithWebIdentity", "trust policy"},
		},
		{
			name: "may not publish", vars: env.ActionsVars,
			set: func(*testing.T) []string {
				env.Cloud.SetActions(env.Role, without(lab.PublisherActions(), "sts:GetServiceBearerToken")...)
				return nil
			},
			said: []string{"allow sts:GetServiceBearerToken"},
		},
		{
			name: "no public repository", vars: env.ActionsVars,
			set: func(*testing.T) []string {
				return []string{"KMOD_ECR_PUBLIC_REPOSITORY=" + lab.PublicAlias + "/absent"}
			},
			said: []string{"aws ecr-public create-repository", "--repository-name absent"},
		},
		{
			name: "no account for quay.io", vars: env.ActionsVars,
			set:  func(*testing.T) []string { return []string{"QUAY_USERNAME=", "QUAY_PASSWORD="} },
			said: []string{"no credentials for quay.io", "QUAY_USERNAME and QUAY_PASSWORD from secrets"},
		},
		{
			name: "wrong password for quay.io", vars: env.ActionsVars, again: true,
			set:  func(*testing.T) []string { return []string{"QUAY_PASSWORD=" + markerPassword} },
			said: []string{"quay.io refuses the credentials from QUAY_USERNAME and QUAY_PASSWORD"},
		},
		{
			name: "pull secret without quay.io", vars: env.LocalVars, again: true,
			set: func(t *testing.T) []string {
				return []string{"REGISTRY_AUTH_FILE=" + pullSecret(t, "registry.redhat.io")}
			},
			said: []string{"there are no credentials for quay.io", "looked in REGISTRY_AUTH_FILE", "console.redhat.com"},
		},
		{
			name: "proxy's password", vars: env.LocalVars,
			set: func(*testing.T) []string {
				return []string{"HTTPS_PROXY=" + strings.Replace(env.Internet.URL(), "proxy-password", markerPassword, 1)}
			},
			said: []string{"the proxy refuses to connect to", "407", "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Cleanup(func() {
				env.Cloud.SetActions(env.User, lab.EngineerActions()...)
				env.Cloud.SetActions(env.Role, lab.PublisherActions()...)
			})
			more := tt.set(t)
			env.ToolkitFaults.Reset()
			downloads := env.Downloads.Faults.Total().Requests
			r := run(t, in(env, tt.vars(), more...), cloudArgs(env, tt.args...)...)
			expect(t, r, 4, tt.said...)
			for _, secret := range append(env.Secrets(), markerPassword) {
				if strings.Contains(r.stdout+r.stderr, secret) {
					t.Errorf("a secret is in the output:\n%s", r.stderr)
				}
			}
			if n := env.ToolkitFaults.Total(lab.Blob).Requests; n != 0 || env.ToolkitFaults.Total().Requests > 0 && !tt.again {
				t.Errorf("quay.io was asked %d times, for blobs %d times", env.ToolkitFaults.Total().Requests, n)
			}
			if n := env.Downloads.Faults.Total().Requests - downloads; n != 0 {
				t.Errorf("the driver was downloaded %d times", n)
			}
		})
	}
}

// pullSecret is an auth file with an entry for one host.
func pullSecret(t *testing.T, host string) string {
	t.Helper()
	data, err := json.Marshal(
		map[string]any{"auths": map[string]any{host: map[string]string{"auth": "bWU6" + "c2VjcmV0"}}},
	)
	path := filepath.Join(t.TempDir(), "pull-secret.json")
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A repository that is missing is created when that is asked for, with immutable tags; these withstand --force, with
// advice. The base image is read without credentials where ECR Public gives none, with a warning.
// R6.1, R8.1
func TestCreateRepository(t *testing.T) {
	t.Parallel()
	env := cloud(t, lab.CloudOptions{}, known())
	if err := env.MirrorToolkit(t.Context(), known()); err != nil {
		t.Fatal(err)
	}
	env.Cloud.SetActions(
		env.User,
		slices.DeleteFunc(lab.EngineerActions(), func(a string) bool { return strings.HasPrefix(a, "ecr-public:") })...)
	local := in(env, env.LocalVars(), "KMOD_ECR_REPOSITORY_NAME=me/new")
	r := run(t, local, cloudArgs(env, "--create-repository")...)
	expect(
		t, r, 0, "created the repository", "public.ecr.aws is read without credentials", "ecr-public:GetAuthorizationToken",
	)
	expectState(t, r, "built")
	made, ok := env.Cloud.Repository(env.Cloud.Region(), "me/new")
	if !ok || !made.Immutable || !made.ScanOnPush {
		t.Errorf("the repository is %+v, %v", made, ok)
	}
	forced := run(t, local, cloudArgs(env, "--force")...)
	expect(t, forced, 1, "tags are immutable")
	expectState(t, forced, "failed", "immutable")
}

// What the mirror has under a release's tag is not used if its digest is another than the catalogue's.
// R1.3
func TestMirrorRefused(t *testing.T) {
	t.Parallel()
	env := cloud(t, lab.CloudOptions{}, unknown())
	img, err := random.Image(100, 1)
	if err == nil {
		err = env.MirrorImage(t.Context(), "4.20.1", img)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"plan", "all", "-o", "json", "--matrix", env.Matrix, "--catalog", env.Catalog}
	r := run(t, in(env, env.LocalVars()), args...)
	expect(
		t, r, 4, "the mirror has another Driver Toolkit for this release than the catalogue",
		"there are no credentials for quay.io",
	)
	r = run(t, in(env, env.LocalVars(), "QUAY_USERNAME="+env.Quay.User, "QUAY_PASSWORD="+env.Quay.Password), args...)
	expect(t, r, 0, "the mirror has another Driver Toolkit")
	expectState(t, r, "missing")
}

// A CA that this machine does not know is told as such, and --ca-file makes AWS and the registries known.
// R8.1
func TestPrivateCA(t *testing.T) {
	t.Parallel()
	env := cloud(t, lab.CloudOptions{}, known())
	local := in(env, env.LocalVars(), "SSL_CERT_FILE=")
	args := []string{"plan", "all", "-o", "json", "--matrix", env.Matrix, "--catalog", env.Catalog}
	expect(t, run(t, local, args...), 5, "certificate", "--ca-file")
	expect(t, run(t, local, append(args, "--ca-file", env.CAFile)...), 0)
}
