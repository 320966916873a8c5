// Package identity determines the program's identity to AWS: it finds credentials, verifies them and renews them.
//
// It knows nothing of registries. From the environment and from files it reads what the AWS SDK's default chain reads:
// keys, profiles, SSO, web identity, the machine's own role.
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
	// expiryWindow is how long before their expiry credentials are renewed.
	expiryWindow = 5 * time.Minute
	// attempts bounds how often a request to AWS is sent in all.
	attempts = 5
	// machineTime bounds the request for the machine's region, which may not be a machine of AWS.
	machineTime = 2 * time.Second
)

// Options control how credentials are found.
type Options struct {
	// Region is AWS's name of a region, "us-west-2". "" means the profile's.
	Region string
	// Fallback is the region if neither is set; "" means that of the EC2 machine, else an error.
	Fallback string
	// CAFile is a PEM file with certificates to trust besides the system's; "" means none.
	CAFile string
	// Role is assumed with an identity token instead of the credentials of the default chain; nil means the chain.
	Role *Role
	// Profile is the one that the chain uses, for messages; "" if none is set.
	Profile string
	// Secret is called with each secret that is got for Role before it is used, so that a log can mask it.
	Secret func(secret string)
	Log    *slog.Logger // gets the SDK's messages, at level debug
}

// Role is an IAM role and the proof that this process may assume it.
type Role struct {
	ARN     string
	Session string // the session's name in AWS's logs
	// Token returns a fresh identity token, a secret. It may block until ctx ends.
	Token func(ctx context.Context) (string, error)
}

// Identity is a verified identity.
type Identity struct {
	Config    aws.Config // for clients of services; its credentials are renewed by themselves
	Account   string     // 12 digits
	ARN       string     // "arn:aws:iam::123456789012:user/me"
	Partition string     // "aws", "aws-us-gov", "aws-cn" ...
	Region    string     // "us-west-2"
	Source    string     // of the credentials, for the user
	Expires   time.Time  // of these credentials; zero if they do not expire or it is not known
}

// Load finds credentials and asks AWS whose they are. It blocks on the network until ctx ends. An error of the
// credentials, and not of the network, is a *CredentialError; all have hints.
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
		provider := &webIdentity{role: *o.Role, client: sts.NewFromConfig(cfg), secret: o.Secret}
		cfg.Credentials = aws.NewCredentialsCache(provider, renewEarly)
	}
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("find credentials: %w", classifyChain(redactProcess(err), o))
	}
	caller, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("check the credentials from %s: %w", sourceName(keys.Source, o), shorten(err))
	}
	id := &Identity{
		Config: cfg, Account: aws.ToString(caller.Account), ARN: aws.ToString(caller.Arn),
		Region: cfg.Region, Source: sourceName(keys.Source, o),
	}
	if keys.CanExpire {
		id.Expires = keys.Expires.Add(expiryWindow) // the cache has subtracted it
	}
	parts := strings.SplitN(id.ARN, ":", 3)
	if len(parts) != 3 || len(id.Account) != 12 {
		return nil, fmt.Errorf("check the credentials: AWS answers that they are of %.100q", id.ARN)
	}
	id.Partition = parts[1]
	return id, nil
}

func renewEarly(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = expiryWindow }

// loadConfig returns the default chain's configuration, with a region.
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
		config.WithCredentialsCacheOptions(renewEarly),
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
	cfg.HTTPClient = strictClient{next: cfg.HTTPClient}
	return cfg, nil
}

// machineRegion returns the region of the EC2 machine that this may be; "" if there is no answer within machineTime.
func machineRegion(ctx context.Context, cfg aws.Config) string {
	ctx, cancel := context.WithTimeout(ctx, machineTime)
	defer cancel()
	answer, err := imds.NewFromConfig(cfg).GetRegion(ctx, nil)
	if err != nil {
		return ""
	}
	return answer.Region
}

// sources are the SDK's names of the sources of credentials, and the user's.
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

// sourceName returns the user's name of a source of credentials. Where it is a file, the SDK has its name after a
// colon.
func sourceName(source string, o Options) string {
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
