//go:build e2e

package lab

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"neuron-kmod/internal/platform/command"
)

// podmanWith runs podman with variables and returns what it printed.
func podmanWith(t *testing.T, vars []string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := command.Run(t.Context(), command.Cmd{Name: "podman", Args: args, Env: vars, Stdout: &out, Stderr: &out})
	return out.String(), err
}

// expectPodman fails unless podman succeeds; with a text, unless it fails and says that.
func expectPodman(t *testing.T, said string, vars []string, args ...string) {
	t.Helper()
	out, err := podmanWith(t, vars, args...)
	if (said == "") != (err == nil) || !strings.Contains(out, said) {
		t.Errorf("podman %s: error %v, want %q in\n%s", args[0], err, said, out)
	}
}

// quayImage puts a small image where the DTKs are and returns its reference.
func quayImage(t *testing.T, e *Env) string {
	t.Helper()
	img, err := e.lab.busybox.image([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.push(t.Context(), ToolkitRepository+"@"+digest.String(), img); err != nil {
		t.Fatal(err)
	}
	return "quay.io/" + ToolkitRepository + "@" + digest.String()
}

// R1.3: real podman reaches the registries under their real names, and each wants what the real one wants.
func TestCloudRegistries(t *testing.T) {
	l := openLab(t)
	e := startEnv(t, l, Options{Dir: t.TempDir(), Cloud: &CloudOptions{Proxy: &Account{User: "me", Password: "p@ss"}}})
	vars := e.LocalVars()
	dtk := quayImage(t, e)
	expectPodman(t, "not authorized", vars, "pull", "--quiet", dtk)
	expectPodman(t, "Invalid Username or Password", vars, "pull", "--quiet", "--creds", e.Quay.User+":wrong", dtk)
	expectPodman(t, "", vars, "pull", "--quiet", "--creds", e.Quay.User+":"+e.Quay.Password, dtk)
	expectPodman(t, "", e.Vars, "pull", "--quiet", dtk) // its auth file is a pull secret
	expectPodman(t, "", vars, "pull", "--quiet", e.BaseImage)
	if n := e.Internet.Asked("quay.io"); n == 0 || e.ToolkitFaults.Total(Manifest).Requests == 0 {
		t.Errorf("quay.io was connected with %d times, %d manifests", n, e.ToolkitFaults.Total(Manifest).Requests)
	}

	private := privateLogin(t, e)
	expectPodman(t, "", vars, "push", "--quiet", "--creds", private, e.BaseImage, e.PrivateTarget+":1")
	if tags, err := e.Tags(t.Context(), KmodRepository); err != nil || len(tags) != 1 || tags[0] != "1" {
		t.Errorf("tags %v, error %v; want 1", tags, err)
	}
	expectPodman(t, "", vars, "pull", "--quiet", "--creds", private, e.PrivateTarget+":1")
	expectPodman(t, "400", vars, "push", "--quiet", "--creds", "AWS:invented", e.BaseImage, e.PrivateTarget+":2")
	expectPodman(t, "name unknown", vars, "push", "--quiet", "--creds", private, e.BaseImage, e.PrivateTarget+"x:1")
	expectPodman(t, "", vars, "push", "--quiet", "--creds", publicLogin(t, e), e.BaseImage, e.PublicTarget+":1")
	expectPodman(t, "", vars, "pull", "--quiet", e.PublicTarget+":1")
	e.Cloud.SetActions(e.Role, PublisherActions()[:2]...) // tokens, and nothing that they are for
	expectPodman(
		t, "not authorized to perform: ecr-public:", vars, "push", "--quiet", "--creds", publicLogin(t, e), e.BaseImage,
		e.PublicTarget+":2",
	)

	if got := e.Internet.Refused(); len(got) != 0 {
		t.Errorf("something else was asked for: %q", got)
	}
	expectPodman(t, "Forbidden", vars, "pull", "--quiet", "registry.example.com/x:1")
	if got := e.Internet.Refused(); len(got) == 0 || got[0] != "registry.example.com:443" {
		t.Errorf("refused %q", got)
	}
}

// outside is an HTTP client that is in the environment's internet.
func outside(t *testing.T, e *Env) *http.Client {
	t.Helper()
	transport, err := e.lab.ca.transport()
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := url.Parse(e.Internet.URL())
	if err != nil {
		t.Fatal(err)
	}
	transport.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "127.0.0.1" {
			return nil, nil // as http.ProxyFromEnvironment does
		}
		return proxy, nil
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func decodeLogin(t *testing.T, token *string) string {
	t.Helper()
	login, err := base64.StdEncoding.DecodeString(aws.ToString(token))
	if err != nil {
		t.Fatal(err)
	}
	return string(login)
}

// privateLogin gets a login for the private registry as the SDK does by itself with an engineer's variables, but from
// the real endpoints' names.
func privateLogin(t *testing.T, e *Env) string {
	t.Helper()
	for _, v := range append(e.LocalVars(), "AWS_ENDPOINT_URL=") {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithHTTPClient(outside(t, e)))
	if err != nil {
		t.Fatal(err)
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
	if err != nil || aws.ToString(who.Arn) != e.User {
		t.Fatalf("identity %+v, error %v; want %s", who, err, e.User)
	}
	out, err := ecr.NewFromConfig(cfg).GetAuthorizationToken(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return decodeLogin(t, out.AuthorizationData[0].AuthorizationToken)
}

// publicLogin gets a login for ECR Public as a workflow does: an identity token, the role's credentials, a token.
func publicLogin(t *testing.T, e *Env) string {
	t.Helper()
	client := outside(t, e)
	cfg := aws.Config{Region: "us-east-1", HTTPClient: client, BaseEndpoint: aws.String(e.api)}
	cfg.Credentials = stscreds.NewWebIdentityRoleProvider(
		sts.NewFromConfig(cfg), e.Role, identityOf{t.Context(), client, e},
	)
	out, err := ecrpublic.NewFromConfig(cfg).GetAuthorizationToken(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return decodeLogin(t, out.AuthorizationData.AuthorizationToken)
}

// identityOf gets the workflow's identity token.
type identityOf struct {
	ctx    context.Context
	client *http.Client
	env    *Env
}

func (i identityOf) GetIdentityToken() ([]byte, error) {
	req, err := http.NewRequestWithContext(i.ctx, http.MethodGet, i.env.oidcURL+"&audience=sts.amazonaws.com", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "bearer "+i.env.Cloud.RequestToken())
	resp, err := i.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct{ Value string }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return []byte(answer.Value), err
}

// The variables are complete: whatever account the person has who runs the tests, the program does not see it. R1.1
func TestCloudVars(t *testing.T) {
	for _, name := range []string{
		"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL_STS", "QUAY_PASSWORD", "GITHUB_TOKEN",
		"NO_PROXY",
	} {
		t.Setenv(name, "of-the-person")
	}
	e := startEnv(t, openLab(t), Options{Dir: t.TempDir(), Cloud: &CloudOptions{}})
	for name, tt := range map[string]struct{ vars, has, hasNot []string }{
		"Actions": {e.ActionsVars(),
			[]string{
				"GITHUB_ACTIONS=true", "AWS_ROLE_ARN=" + e.Role, "QUAY_USERNAME=" + e.Quay.User,
				"AWS_EC2_METADATA_DISABLED=true", "HTTPS_PROXY=" + e.Internet.URL(),
			},
			[]string{e.key.ID, e.key.Secret}},
		"local": {e.LocalVars(),
			[]string{
				"AWS_PROFILE=lab", "GITHUB_TOKEN=", "QUAY_PASSWORD=", "REGISTRY_AUTH_FILE=", "HTTPS_PROXY=" + e.Internet.URL(),
			},
			[]string{"GITHUB_ACTIONS=true", e.Quay.Password, e.Cloud.RequestToken(), e.key.Secret}},
	} {
		out, err := command.Output(t.Context(), command.Cmd{Name: "env", Env: tt.vars})
		if err != nil {
			t.Fatal(err)
		}
		lines := "\n" + string(out)
		for _, want := range tt.has {
			if !strings.Contains(lines, "\n"+want+"\n") {
				t.Errorf("%s: %q is missing", name, want)
			}
		}
		for _, bad := range append(tt.hasNot, "of-the-person") {
			if strings.Contains(lines, bad) {
				t.Errorf("%s: has %q", name, bad)
			}
		}
	}
	if info, err := os.Stat(e.awsFile("credentials")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the credentials file: %v, error %v", info, err)
	}
}

// The mirror has the catalogue's images under the releases, until a test puts others there.
func TestMirror(t *testing.T) {
	t.Parallel()
	l := openLab(t)
	releases := Releases(2, l.DemoKernels()[:1])
	e := startEnv(t, l, Options{Dir: t.TempDir(), Releases: releases, Cloud: &CloudOptions{}})
	if err := e.MirrorToolkit(t.Context(), releases[0]); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(e.Catalog)
	if err != nil {
		t.Fatal(err)
	}
	var catalog []catalogEntry
	if err := json.Unmarshal(data, &catalog); err != nil {
		t.Fatal(err)
	}
	digest := func(tag string) string {
		t.Helper()
		img, err := e.Image(t.Context(), MirrorRepository, tag)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return digest.String()
	}
	version := releases[0].Version
	if want := "quay.io/" + ToolkitRepository + "@" + digest(version); catalog[0].Version != version ||
		catalog[0].DTK != want {
		t.Errorf("catalogue %+v; want %s", catalog[0], want)
	}
	if tags, err := e.Tags(t.Context(), MirrorRepository); err != nil || len(tags) != 1 {
		t.Errorf("tags %q, error %v; want one", tags, err)
	}
	other, err := l.Toolkit(t.Context(), Toolkit{Kernel: releases[0].Toolkit.Kernel, Release: "another"})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.MirrorImage(t.Context(), version, other); err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(catalog[0].DTK, digest(version)) {
		t.Error("the mirror's image is still the catalogue's")
	}
}
