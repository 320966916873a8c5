package ecr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"neuron-kmod/internal/oci/identity"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/test/lab/fakeaws"
)

// all is what the program ever asks of AWS here.
var all = []string{"ecr:*", "ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"}

// newCloud starts an AWS with one user, whose keys the environment has.
func newCloud(t *testing.T, o fakeaws.Options, actions ...string) *fakeaws.Cloud {
	t.Helper()
	cloud, err := fakeaws.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(cloud.API())
	t.Cleanup(s.Close)
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	k := cloud.AddUser(fakeaws.User{Name: "me", Actions: actions})
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": s.URL, "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": cloud.Region(),
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none,
		"AWS_ACCESS_KEY_ID": k.ID, "AWS_SECRET_ACCESS_KEY": k.Secret,
	} {
		t.Setenv(name, value)
	}
	return cloud
}

func load(t *testing.T) func(ctx context.Context) (*identity.Identity, error) {
	t.Helper()
	return func(ctx context.Context) (*identity.Identity, error) {
		return identity.Load(ctx, identity.Options{Secret: func(string) {}, Log: slog.New(slog.DiscardHandler)})
	}
}

func newLogin(t *testing.T) (*Login, *strings.Builder) {
	t.Helper()
	var log strings.Builder
	return &Login{Identity: load(t), Secret: func(string) {},
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, &log
}

// use returns the user and the password that l has for a host, "" for none.
func use(t *testing.T, l *Login, host string) (string, error) {
	t.Helper()
	repo, err := name.NewRepository(host + "/some/repository")
	if err != nil {
		t.Fatal(err)
	}
	auth, err := l.Find(t.Context(), repo)
	if auth == nil || err != nil {
		return "", err
	}
	cfg, err := authn.Authorization(t.Context(), auth)
	if err != nil {
		return "", err
	}
	return cfg.Username + ":" + cfg.Password, nil
}

// R1.3: which hosts are Amazon's, in all partitions, and which only look like it.
func TestIsHost(t *testing.T) {
	for host, want := range map[string]string{
		"123456789012.dkr.ecr.us-west-2.amazonaws.com":          "us-west-2",
		"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com": "us-gov-west-1",
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":      "cn-north-1",
		"123456789012.dkr-ecr.eu-central-1.on.aws":              "eu-central-1",
		"123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov":         "us-iso-east-1",
		"quay.io": "",
		"123456789012.dkr.ecr.us-west-2.amazonaws.com.evil.example":     "",
		"12345.dkr.ecr.us-west-2.amazonaws.com":                         "",
		"evil-123456789012.dkr.ecr.us-west-2.amazonaws.com":             "",
		"123456789012.dkr.ecr.us-west-2.amazonaws.com:443":              "",
		"123456789012.dkr.ecr.us-west-2.evil.example/x.amazonaws.com":   "",
		"123456789012.dkr.ecr.us-west-2.amazonaws.com\n.evil.example":   "",
		"123456789012.dkr.ecr.evil.example#.us-west-2.amazonaws.com":    "",
		"123456789012.dkr.ecr.evil.example/.us-west-2.amazonaws.com.cn": "",
	} {
		if got := privateRegion(host); got != want || IsHost(host) != (want != "") {
			t.Errorf("%q: region %q, want %q", host, got, want)
		}
	}
	if !IsHost("public.ecr.aws") {
		t.Error("public.ecr.aws is not Amazon's")
	}
}

// R1.3: one token for each region, and one for ECR Public, whose API is in us-east-1 wherever the program is.
func TestLogin(t *testing.T) {
	c := newCloud(t, fakeaws.Options{}, all...)
	l, _ := newLogin(t)
	west := "999988887777.dkr.ecr.us-west-2.amazonaws.com"
	for _, host := range []string{c.RegistryHost("us-west-2"), west, c.RegistryHost("eu-west-1"), PublicHost, PublicHost} {
		got, err := use(t, l, host)
		if err != nil || !strings.HasPrefix(got, "AWS:") {
			t.Errorf("%s: %v", host, err)
		}
	}
	if got, err := use(t, l, "quay.io"); got != "" || err != nil {
		t.Errorf("quay.io: %q, %v", got, err)
	}
	regions := map[string]int{}
	for _, call := range c.Calls() {
		if strings.HasSuffix(call.Action, ":GetAuthorizationToken") {
			regions[call.Action+" "+call.Region]++
		}
	}
	want := map[string]int{"ecr:GetAuthorizationToken us-west-2": 1, "ecr:GetAuthorizationToken eu-west-1": 1,
		"ecr-public:GetAuthorizationToken us-east-1": 1}
	if fmt.Sprint(regions) != fmt.Sprint(want) {
		t.Errorf("tokens %v, want %v", regions, want)
	}
}

// R1.3: a token is renewed before it ends, and kept while that fails, as long as it is good.
func TestLoginRenews(t *testing.T) {
	c := newCloud(t, fakeaws.Options{}, all...)
	l, log := newLogin(t)
	host := c.RegistryHost("us-west-2")
	first, err := use(t, l, host)
	if err != nil {
		t.Fatal(err)
	}
	kept := l.tokens["us-west-2"]
	if life := kept.expires.Sub(kept.renew); life != renewBefore {
		t.Errorf("renewed %s before its end, want %s", life, renewBefore)
	}
	c.SetActions("arn:aws:iam::" + c.Account + ":user/me")
	kept.renew = time.Now().Add(-time.Second)
	if again, err := use(t, l, host); err != nil || again != first {
		t.Errorf("a renewal that failed: %v", err)
	}
	if !strings.Contains(log.String(), "cannot be renewed yet") {
		t.Errorf("no warning in %s", log)
	}
	asked := func() (n int) {
		for _, call := range c.Calls() {
			if call.Action == "ecr:GetAuthorizationToken" {
				n++
			}
		}
		return n
	}
	before := asked()
	if again, err := use(t, l, host); err != nil || again != first || asked() != before {
		t.Errorf("soon after a failure: %v, %d more questions", err, asked()-before)
	}
	kept.renew = time.Now().Add(-time.Second)
	kept.expires = kept.renew
	if _, err := use(t, l, host); err == nil || !strings.Contains(fault.Of(err), "ecr:GetAuthorizationToken") {
		t.Errorf("an ended token: error %v, advice %q", err, fault.Of(err))
	}
	c.SetActions("arn:aws:iam::"+c.Account+":user/me", all...)
	c.SetLifetimes(fakeaws.Lifetimes{ECRToken: 4 * time.Minute})
	if second, err := use(t, l, host); err != nil || second == first {
		t.Errorf("not renewed: %v", err)
	}
	if life := kept.expires.Sub(kept.renew).Round(time.Second); life != time.Minute {
		t.Errorf("a short token is renewed %s before its end, want a quarter of its life", life)
	}
	for _, secret := range c.Secrets() {
		if strings.Contains(log.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

// R1.3, R8.1: without AWS credentials another source may serve; credentials that do not serve are an error, which names
// the action that is missing.
func TestLoginRefused(t *testing.T) {
	for action, host := range map[string]string{
		"ecr:GetAuthorizationToken":        "111122223333.dkr.ecr.us-west-2.amazonaws.com",
		"ecr-public:GetAuthorizationToken": PublicHost,
		"sts:GetServiceBearerToken":        PublicHost,
	} {
		var allowed []string
		for _, a := range all {
			if a != action && !(a == "ecr:*" && strings.HasPrefix(action, "ecr:")) {
				allowed = append(allowed, a)
			}
		}
		newCloud(t, fakeaws.Options{}, allowed...)
		l, log := newLogin(t)
		_, err := use(t, l, host)
		if _, ok := errors.AsType[*identity.CredentialError](err); !ok || !strings.Contains(fault.Of(err), "allow "+action) {
			t.Errorf("%s: error %v, advice %q", action, err, fault.Of(err))
		}
		l.AnonymousPublic = true
		got, err := use(t, l, host)
		public := host == PublicHost
		warnings := strings.Count(log.String(), "without credentials")
		if (err == nil) != public || got != "" || warnings != map[bool]int{true: 1}[public] {
			t.Errorf("%s, anonymous if public: %q, %v, log %s", action, got, err, log)
		}
	}
	newCloud(t, fakeaws.Options{})
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	l, log := newLogin(t)
	for _, host := range []string{PublicHost, "111122223333.dkr.ecr.us-west-2.amazonaws.com"} {
		if got, err := use(t, l, host); got != "" || err != nil || log.String() != "" {
			t.Errorf("no AWS at all: %q, %v, log %s", got, err, log)
		}
	}
}

// R6.1: the repository's name comes from AWS, in any partition; one that is missing can be created.
func TestRepositories(t *testing.T) {
	for partition, domain := range map[string]string{
		fakeaws.AWS: "us-west-2.amazonaws.com", fakeaws.China: "cn-north-1.amazonaws.com.cn",
	} {
		c := newCloud(t, fakeaws.Options{Partition: partition}, all...)
		id, err := load(t)(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		repositories := NewRepositories(id, "")
		_, err = repositories.URI(t.Context(), "neuron-operator/kmod")
		advice := "--region " + c.Region() + " --repository-name neuron-operator/kmod"
		if !errors.Is(err, ErrNoRepository) || !strings.Contains(fault.Of(err), advice) {
			t.Errorf("missing: error %v, advice %q", err, fault.Of(err))
		}
		want := c.Account + ".dkr.ecr." + domain + "/neuron-operator/kmod"
		for range 2 { // the second finds it there
			if uri, err := repositories.Create(t.Context(), "neuron-operator/kmod", false); err != nil || uri != want {
				t.Errorf("created %q, %v, want %q", uri, err, want)
			}
		}
		made, _ := c.Repository(c.Region(), "neuron-operator/kmod")
		if !made.Immutable || !made.ScanOnPush {
			t.Errorf("made %+v", made)
		}
		if _, err := repositories.Create(t.Context(), "mutable", true); err != nil {
			t.Error(err)
		}
		if made, _ := c.Repository(c.Region(), "mutable"); made.Immutable {
			t.Errorf("made %+v", made)
		}
	}
}

// R8.1: who may not look or create reads which action is missing; AWS_ACCOUNT_ID is whose registry is looked at.
func TestRepositoriesRefused(t *testing.T) {
	newCloud(t, fakeaws.Options{}, "ecr:GetAuthorizationToken")
	id, err := load(t)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewRepositories(id, "").URI(t.Context(), "kmod")
	if !strings.Contains(fault.Of(err), "ecr:DescribeRepositories") {
		t.Errorf("error %v, advice %q", err, fault.Of(err))
	}
	_, err = NewRepositories(id, "").Create(t.Context(), "kmod", false)
	if !strings.Contains(fault.Of(err), "ecr:CreateRepository") {
		t.Errorf("error %v, advice %q", err, fault.Of(err))
	}
	_, err = NewRepositories(id, "999988887777").URI(t.Context(), "kmod")
	if err == nil || !strings.Contains(err.Error(), "account 999988887777") {
		t.Errorf("another account: %v", err)
	}
}

// R10.2: an answer that leads elsewhere gets no login.
func TestHolds(t *testing.T) {
	r := &Repositories{}
	for uri, want := range map[string]bool{
		"111122223333.dkr.ecr.us-west-2.amazonaws.com/kmod":              true,
		"111122223333.dkr.ecr.us-west-2.amazonaws.com/other":             false,
		"111122223333.dkr.ecr.us-west-2.amazonaws.com.evil.example/kmod": false,
		"kmod": false,
	} {
		if got := r.holds(uri, "kmod"); got != want {
			t.Errorf("%s: %v", uri, got)
		}
	}
}
