// Package identity finds out who the program is to AWS: it finds credentials, checks them and keeps them fresh.
//
// It knows nothing of registries. What it reads from the environment and from files is what the AWS SDK's default chain
// reads: keys, profiles, SSO, web identity, the machine's own role.
// https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/transport"
)

const (
	// expiryWindow is how long before their end credentials are renewed.
	expiryWindow = 5 * time.Minute
	// attempts bounds how often a request to AWS is sent in all.
	attempts = 5
	// machineTime bounds the question to a machine that may not be one of AWS for its region.
	machineTime = 2 * time.Second
)

// Options say where to look.
type Options struct {
	// Region is AWS's name of a region, "us-west-2". "" takes that of the profile.
	Region string
	// Fallback is the region where neither says one; "" takes that of the EC2 machine, or makes it an error.
	Fallback string
	// CAFile is a PEM file with certificates to trust besides the system's; "" is none.
	CAFile string
	// Role is assumed with an identity token instead of what the default chain finds; nil leaves it to the chain.
	Role *Role
	// Profile is the one that the chain uses, for messages; "" if none is named.
	Profile string
	// Secret is told each secret that is got for Role, before it is used, so that whoever keeps a log can hide it.
	Secret func(secret string)
	Log    *slog.Logger // what the SDK has to tell, at level debug
}

// Role is an IAM role and the proof that this process may assume it.
type Role struct {
	ARN     string
	Session string // what it is assumed for, in AWS's logs
	// Token returns a fresh identity token, a secret. It may block until ctx ends.
	Token func(ctx context.Context) (string, error)
}

// Identity is a checked identity.
type Identity struct {
	Config    aws.Config // for clients of services; its credentials renew themselves
	Account   string     // 12 digits
	ARN       string     // "arn:aws:iam::123456789012:user/me"
	Partition string     // "aws", "aws-us-gov", "aws-cn" ...
	Region    string     // "us-west-2"
	Source    string     // where the credentials are from, for people
	Expires   time.Time  // when these credentials end; zero if they do not, or do not say
}

// Load finds credentials and asks AWS whose they are. It blocks on the network until ctx ends. An error that is the
// credentials', and not the network's, is a *CredentialError; all have advice.
func Load(ctx context.Context, o Options) (*Identity, error) {
	id, err := load(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("AWS: %w", classify(err, o))
	}
	return id, nil
}

func load(ctx context.Context, o Options) (*Identity, error) {
	cfg, err := loadConfig(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.Role != nil {
		cfg.Credentials = aws.NewCredentialsCache(&webIdentity{*o.Role, sts.NewFromConfig(cfg), o.Secret}, early)
	}
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("find credentials: %w", unfound(quiet(err), o))
	}
	caller, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("check the credentials from %s: %w", describe(keys.Source, o), brief(err))
	}
	id := &Identity{
		Config: cfg, Account: aws.ToString(caller.Account), ARN: aws.ToString(caller.Arn),
		Region: cfg.Region, Source: describe(keys.Source, o),
	}
	if keys.CanExpire {
		id.Expires = keys.Expires.Add(expiryWindow) // the cache has taken it off
	}
	parts := strings.SplitN(id.ARN, ":", 3)
	if len(parts) != 3 || len(id.Account) != 12 {
		return nil, fmt.Errorf("check the credentials: AWS answers that they are of %.100q", id.ARN)
	}
	id.Partition = parts[1]
	return id, nil
}

func early(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = expiryWindow }

// loadConfig is the default chain's configuration, with a region.
func loadConfig(ctx context.Context, o Options) (aws.Config, error) {
	var configured error
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		configured = transport.Configure(t, o.CAFile)
	})
	if configured != nil {
		return aws.Config{}, configured
	}
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithAppID("neuron-kmod"),
		config.WithRetryMaxAttempts(attempts),
		config.WithCredentialsCacheOptions(early),
		config.WithLogger(logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) {
			o.Log.Debug("AWS SDK: " + fmt.Sprintf(format, v...))
		})),
	}
	if o.Region != "" {
		options = append(options, config.WithRegion(o.Region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, &CredentialError{fmt.Errorf("read the configuration: %w", err)}
	}
	if cfg.Region == "" {
		cfg.Region = o.Fallback
	}
	if cfg.Region == "" {
		cfg.Region = machineRegion(ctx, cfg)
	}
	if cfg.Region == "" {
		return aws.Config{}, &CredentialError{fault.Wrap(errors.New("no region is set"),
			"set AWS_REGION, for example to us-west-2, or a region in the profile (aws configure set region us-west-2)")}
	}
	cfg.HTTPClient = guarded{cfg.HTTPClient}
	return cfg, nil
}

// machineRegion asks the EC2 machine that this may be for its region; "" if there is no answer soon.
func machineRegion(ctx context.Context, cfg aws.Config) string {
	ctx, cancel := context.WithTimeout(ctx, machineTime)
	defer cancel()
	answer, err := imds.NewFromConfig(cfg).GetRegion(ctx, nil)
	if err != nil {
		return ""
	}
	return answer.Region
}

// sources are the SDK's names of where credentials are from, and a person's.
var sources = map[string]string{
	"EnvConfigCredentials":        "AWS_ACCESS_KEY_ID",
	"SharedConfigCredentials":     "profile %s",
	"SSOProvider":                 "SSO, profile %s",
	"LoginProvider":               "aws login, profile %s",
	"AssumeRoleProvider":          "a role of profile %s",
	"ProcessProvider":             "the credential process of profile %s",
	"WebIdentityCredentials":      "AWS_WEB_IDENTITY_TOKEN_FILE",
	"EC2RoleProvider":             "the role of this EC2 machine",
	"CredentialsEndpointProvider": "the role of this container",
}

// describe says where credentials are from. The SDK puts the file's name behind a colon where it is a file.
func describe(source string, o Options) string {
	if o.Role != nil {
		return "OIDC, role " + o.Role.ARN
	}
	name, file, _ := strings.Cut(source, ": ")
	text, known := sources[name]
	if !known {
		return source
	}
	if strings.Contains(text, "%s") {
		profile := o.Profile
		if profile == "" {
			profile = "default"
		}
		text = fmt.Sprintf(text, profile)
	}
	if file != "" {
		text += " (" + file + ")"
	}
	return text
}
