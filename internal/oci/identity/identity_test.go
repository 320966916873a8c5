package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/test/lab/fakeaws"
)

// newCloud starts an AWS, and clears the environment of this machine's own.
func newCloud(t *testing.T, o fakeaws.Options) *fakeaws.Cloud {
	t.Helper()
	cloud, err := fakeaws.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(cloud.API())
	t.Cleanup(s.Close)
	home := t.TempDir()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": s.URL, "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": cloud.Region(), "HOME": home,
		"AWS_CONFIG_FILE": filepath.Join(home, "config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(home, "credentials"),
	} {
		t.Setenv(name, value)
	}
	return cloud
}

// useKeys puts an access key into the variables.
func useKeys(t *testing.T, k fakeaws.AccessKey) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", k.ID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", k.Secret)
	t.Setenv("AWS_SESSION_TOKEN", k.SessionToken)
}

// configure writes the AWS configuration file.
func configure(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(os.Getenv("AWS_CONFIG_FILE"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func options() Options { return Options{Secret: func(string) {}, Log: slog.New(slog.DiscardHandler)} }

// R1.3, R10.2: the chain's ways to credentials, each checked with AWS before it is used.
func TestLoad(t *testing.T) {
	tests := map[string]struct {
		set  func(t *testing.T, c *fakeaws.Cloud)
		o    Options
		from string
	}{
		"keys": {
			set:  func(t *testing.T, c *fakeaws.Cloud) { useKeys(t, c.AddUser(fakeaws.User{Name: "me"})) },
			from: "AWS_ACCESS_KEY_ID",
		},
		"default profile": {
			set: func(t *testing.T, c *fakeaws.Cloud) {
				k := c.AddUser(fakeaws.User{Name: "me"})
				configure(t, fmt.Sprintf("[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n", k.ID, k.Secret))
			},
			from: "profile default",
		},
		"profile": {
			set: func(t *testing.T, c *fakeaws.Cloud) {
				k := c.AddUser(fakeaws.User{Name: "me"})
				configure(t, fmt.Sprintf("[profile work]\naws_access_key_id=%s\naws_secret_access_key=%s\n", k.ID, k.Secret))
				t.Setenv("AWS_PROFILE", "work")
			},
			o: Options{Profile: "work"}, from: "profile work",
		},
		"credential process": {
			set: func(t *testing.T, c *fakeaws.Cloud) {
				k := c.AddUser(fakeaws.User{Name: "me"})
				answer := filepath.Join(t.TempDir(), "answer")
				keys := fmt.Appendf(nil, `{"Version":1,"AccessKeyId":%q,"SecretAccessKey":%q}`, k.ID, k.Secret)
				if err := os.WriteFile(answer, keys, 0o600); err != nil {
					t.Fatal(err)
				}
				configure(t, "[default]\ncredential_process=cat "+answer+"\n")
			},
			from: "the credential process of profile default",
		},
		"token file": {
			set: func(t *testing.T, c *fakeaws.Cloud) {
				arn := c.AddRole(fakeaws.Role{Name: "ci", Audience: "sts.amazonaws.com", Subject: c.Subject()})
				token, err := c.IDToken("sts.amazonaws.com", c.Subject(), time.Minute)
				file := filepath.Join(t.TempDir(), "token")
				if err := errors.Join(err, os.WriteFile(file, []byte(token), 0o600)); err != nil {
					t.Fatal(err)
				}
				t.Setenv("AWS_ROLE_ARN", arn)
				t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)
				// When the SDK makes this client it has not read AWS_ENDPOINT_URL yet.
				t.Setenv("AWS_ENDPOINT_URL_STS", os.Getenv("AWS_ENDPOINT_URL"))
			},
			from: "AWS_WEB_IDENTITY_TOKEN_FILE",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, fakeaws.Options{})
			tt.set(t, c)
			tt.o.Log, tt.o.Secret = options().Log, options().Secret
			id, err := Load(t.Context(), tt.o)
			if err != nil {
				t.Fatalf("%v (%s)", err, fault.Of(err))
			}
			if id.Account != c.Account || id.Partition != "aws" || id.Region != "us-west-2" ||
				!strings.HasPrefix(id.Source, tt.from) || !strings.Contains(id.ARN, ":"+c.Account+":") {
				t.Errorf("identity %+v, want one from %s", id, tt.from)
			}
			if n := c.Count("sts:GetCallerIdentity"); n != 1 {
				t.Errorf("%d checks, want 1", n)
			}
		})
	}
}

// R1.3: other partitions than the commercial one.
func TestLoadPartitions(t *testing.T) {
	for partition, region := range map[string]string{fakeaws.GovUS: "us-gov-west-1", fakeaws.China: "cn-north-1"} {
		c := newCloud(t, fakeaws.Options{Partition: partition})
		useKeys(t, c.AddUser(fakeaws.User{Name: "me"}))
		id, err := Load(t.Context(), options())
		if err != nil || id.Partition != partition || id.Region != region {
			t.Errorf("%s: %+v, %v", partition, id, err)
		}
	}
}

// oidc is a role that is assumed with identity tokens of the cloud.
func oidc(c *fakeaws.Cloud, arn string) *Role {
	return &Role{ARN: arn, Session: "neuron-kmod-7", Token: func(context.Context) (string, error) {
		return c.IDToken("sts.amazonaws.com", c.Subject(), time.Minute)
	}}
}

// R1.3: in GitHub Actions the job's own token gets a role's credentials, a new one each time they are renewed.
func TestLoadRole(t *testing.T) {
	c := newCloud(t, fakeaws.Options{})
	arn := c.AddRole(fakeaws.Role{Name: "ci", Audience: "sts.amazonaws.com", Subject: "repo:example/*",
		Actions: []string{"*"}})
	c.SetLifetimes(fakeaws.Lifetimes{Role: time.Minute}) // shorter than the time before which they are renewed
	o := options()
	o.Role = oidc(c, arn)
	var told []string
	o.Secret = func(s string) { told = append(told, s) }
	id, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(id.ARN, ":assumed-role/ci/neuron-kmod-7") || id.Expires.IsZero() ||
		id.Source != "OIDC, role "+arn {
		t.Errorf("identity %+v", id)
	}
	for _, secret := range c.Secrets() {
		if !slices.Contains(told, secret) && secret != c.RequestToken() {
			t.Errorf("a secret was used and not told: %q", secret)
		}
	}
	before := c.Count("sts:AssumeRoleWithWebIdentity")
	if _, err := id.Config.Credentials.Retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.Count("sts:AssumeRoleWithWebIdentity"); got != before+1 {
		t.Errorf("assumed the role %d times more, want once", got-before)
	}
}

// R8.1, R10.2: what is wrong with credentials is told with what to do, as an error of credentials, and no secret.
func TestLoadFails(t *testing.T) {
	ci := fakeaws.Role{Name: "ci", Audience: "sts.amazonaws.com", Subject: "repo:somebody/else:*"}
	tests := map[string]struct {
		set          func(t *testing.T, c *fakeaws.Cloud, o *Options)
		text, advice string
	}{
		"none": {
			set:  func(*testing.T, *fakeaws.Cloud, *Options) {},
			text: "there are no AWS credentials", advice: "AWS_PROFILE",
		},
		"no region": {
			set:  func(t *testing.T, _ *fakeaws.Cloud, _ *Options) { t.Setenv("AWS_REGION", "") },
			text: "no region is set", advice: "AWS_REGION",
		},
		"no such profile": {
			set: func(t *testing.T, _ *fakeaws.Cloud, o *Options) {
				t.Setenv("AWS_PROFILE", "nobody")
				o.Profile = "nobody"
			},
			text: "nobody", advice: "aws configure list-profiles",
		},
		"unknown key": {
			set: func(t *testing.T, c *fakeaws.Cloud, _ *Options) {
				k := c.AddUser(fakeaws.User{Name: "me"})
				useKeys(t, k)
				c.DeleteKey(k.ID)
			},
			text: "InvalidClientTokenId", advice: "does not know this access key",
		},
		"wrong secret": {
			set: func(t *testing.T, c *fakeaws.Cloud, _ *Options) {
				k := c.AddUser(fakeaws.User{Name: "me"})
				useKeys(t, fakeaws.AccessKey{ID: k.ID, Secret: "hunter2"})
			},
			text: "SignatureDoesNotMatch", advice: "set both anew",
		},
		"expired": {
			set: func(t *testing.T, c *fakeaws.Cloud, _ *Options) {
				useKeys(t, c.AddSession(fakeaws.User{Name: "me"}, -time.Minute))
			},
			text: "ExpiredToken", advice: "get new ones",
		},
		"process that says more": {
			set: func(t *testing.T, _ *fakeaws.Cloud, _ *Options) {
				configure(t, "[default]\ncredential_process=echo hello "+
					`{"Version":1,"AccessKeyId":"A","SecretAccessKey":"hunter2"}`+"\n")
			},
			text: "the credential process failed", advice: "credential_process",
		},
		"process that fails": {
			set: func(t *testing.T, _ *fakeaws.Cloud, _ *Options) {
				configure(t, "[default]\ncredential_process=sh -c 'echo hunter2; echo hunter2 >&2; exit 3'\n")
			},
			text: "the credential process failed", advice: "credential_process",
		},
		"no SSO session": {
			set: func(t *testing.T, _ *fakeaws.Cloud, o *Options) {
				configure(t, "[profile sso]\nsso_start_url=https://x.awsapps.com/start\nsso_region=us-west-2\n"+
					"sso_account_id=111122223333\nsso_role_name=r\n")
				t.Setenv("AWS_PROFILE", "sso")
				o.Profile = "sso"
			},
			text: "SSO session", advice: "aws sso login --profile sso",
		},
		"role that trusts another": {
			set:  func(_ *testing.T, c *fakeaws.Cloud, o *Options) { o.Role = oidc(c, c.AddRole(ci)) },
			text: "sts:AssumeRoleWithWebIdentity", advice: "trust policy",
		},
		"expired identity token": {
			set: func(_ *testing.T, c *fakeaws.Cloud, o *Options) {
				o.Role = oidc(c, c.AddRole(fakeaws.Role{Name: "ci", Audience: "sts.amazonaws.com", Subject: "*"}))
				o.Role.Token = func(context.Context) (string, error) {
					return c.IDToken("sts.amazonaws.com", c.Subject(), -time.Minute)
				}
			},
			text: "ExpiredTokenException", advice: "get new ones",
		},
		"audience of another": {
			set: func(_ *testing.T, c *fakeaws.Cloud, o *Options) {
				o.Role = oidc(c, c.AddRole(fakeaws.Role{Name: "ci", Audience: "somebody", Subject: "*"}))
			},
			text: "InvalidIdentityToken", advice: "audience sts.amazonaws.com",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, fakeaws.Options{})
			o := options()
			tt.set(t, c, &o)
			_, err := Load(t.Context(), o)
			said := fmt.Sprint(err) + "\n" + fault.Of(err)
			if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.Of(err), tt.advice) {
				t.Fatalf("error %s\nwant %q with advice %q", said, tt.text, tt.advice)
			}
			if _, ok := errors.AsType[*CredentialError](err); !ok {
				t.Errorf("%v is no error of credentials", err)
			}
			for _, secret := range append(c.Secrets(), "hunter2") {
				if strings.Contains(said, secret) {
					t.Errorf("a secret is in %s", said)
				}
			}
		})
	}
}

// R8.1: a clock that is wrong by more than AWS forgives. The SDK mends what it can, so the answer has no date.
func TestLoadClockSkew(t *testing.T) {
	c := newCloud(t, fakeaws.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }})
	useKeys(t, c.AddUser(fakeaws.User{Name: "me"}))
	api := c.API()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.ServeHTTP(undated{w}, r)
	}))
	t.Cleanup(s.Close)
	t.Setenv("AWS_ENDPOINT_URL", s.URL)
	_, err := Load(t.Context(), options())
	if err == nil || !strings.Contains(fault.Of(err), "clock") {
		t.Errorf("error %v, advice %q", err, fault.Of(err))
	}
}

// undated sends no Date.
type undated struct{ http.ResponseWriter }

func (u undated) WriteHeader(status int) {
	u.Header()["Date"] = nil
	u.ResponseWriter.WriteHeader(status)
}

// R8.1: what is the network's fault is no error of credentials; nothing is sent in the clear over one.
func TestLoadNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	for endpoint, advice := range map[string]string{
		closed: "cannot be reached", "http://sts.example.com": "with TLS only",
	} {
		c := newCloud(t, fakeaws.Options{})
		useKeys(t, c.AddUser(fakeaws.User{Name: "me"}))
		t.Setenv("AWS_ENDPOINT_URL", endpoint)
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		_, err := Load(t.Context(), options())
		if _, ok := errors.AsType[*CredentialError](err); ok || err == nil || !strings.Contains(fault.Of(err), advice) {
			t.Errorf("%s: error %v, advice %q", endpoint, err, fault.Of(err))
		}
	}
}

func TestClassifyNil(t *testing.T) {
	if err := Classify(nil); err != nil {
		t.Errorf("nil became %v", err)
	}
}
