package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/transport"
)

// CredentialError is a failure that the user has to fix: credentials or a region are missing, wrong or expired, or lack
// a permission. Sending the request again would not help.
type CredentialError struct{ Err error }

func (e *CredentialError) Error() string { return e.Err.Error() }
func (e *CredentialError) Unwrap() error { return e.Err }

// FaultKind implements fault.KindOf.
func (e *CredentialError) FaultKind() fault.Kind { return fault.Prerequisite }

// ErrNone reports that no AWS credentials are configured.
var ErrNone = errors.New("there are no AWS credentials")

// classifyChain marks an error of the SDK's chain that is about credentials and not about the network. The last link of
// the chain is the EC2 machine, so an error of that one means that there are no credentials.
func classifyChain(err error, o Options) error {
	if op, ok := errors.AsType[*smithy.OperationError](err); ok && op.ServiceID == machineService {
		o.Log.Debug("no AWS credentials", "error", err)
		return &CredentialError{ErrNone}
	}
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok || o.Role != nil {
		return err
	}
	return &CredentialError{err}
}

// redactProcess replaces the error of a credential process: the SDK quotes the output of the process in it, which may
// be the credentials. Others stay.
func redactProcess(err error) error {
	if _, ok := errors.AsType[*processcreds.ProviderError](err); !ok {
		return err
	}
	err = errors.New("the credential process failed, or answers with something else than credentials")
	return &CredentialError{fault.Wrap(err,
		"run what the profile has in credential_process and see: it has to print one JSON object and nothing else")}
}

// machineService is the SDK's name for the metadata service of an EC2 machine.
const machineService = "ec2imds"

// Classify returns the error of a client of one of AWS's services with a hint and a shorter text, as a *CredentialError
// if it is one. nil stays nil.
func Classify(err error) error { return classify(shorten(redactProcess(err)), Options{}) }

// requestError is an error of a request to AWS, without the text that the SDK puts around it.
type requestError struct {
	err  error
	text string
}

func (e *requestError) Error() string { return e.text }
func (e *requestError) Unwrap() error { return e.err }

// shorten reduces the SDK's text of a service's answer, or of a request that could not be sent, to what the user needs.
// Other errors stay.
func shorten(err error) error {
	op, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return err
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		text := fmt.Sprintf("%s: %s: %s", iamAction(op), api.ErrorCode(), api.ErrorMessage())
		return &requestError{err: err, text: text}
	}
	if send, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return &requestError{err: err, text: fmt.Sprintf("%s: %v", iamAction(op), send.Err)}
	}
	return err
}

// iamAction returns IAM's name of an operation: "ecr:GetAuthorizationToken".
func iamAction(op *smithy.OperationError) string {
	return strings.ToLower(strings.ReplaceAll(op.ServiceID, " ", "-")) + ":" + op.OperationName
}

func classify(err error, o Options) error {
	if err == nil {
		return nil
	}
	credential, advice := diagnose(err, o)
	if _, already := errors.AsType[*CredentialError](err); credential && !already {
		err = &CredentialError{err}
	}
	if fault.Of(err) != "" {
		return err
	}
	return fault.Wrap(err, advice)
}

// codes are the errors of AWS's services that the user has to fix, with the advice. Each service has its own codes.
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html
var codes = map[string]string{
	"ExpiredToken":                expiredAdvice,
	"ExpiredTokenException":       expiredAdvice,
	"InvalidClientTokenId":        keyAdvice,
	"UnrecognizedClientException": keyAdvice,
	"SignatureDoesNotMatch":       secretAdvice,
	"InvalidSignatureException":   secretAdvice,
	"MissingAuthenticationToken":  "give credentials: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
	"OptInRequired":               "this account may not use the service in this region yet: enable it in the AWS console",
	"InvalidIdentityToken":        providerAdvice,
	"AccessDenied":                "",
	"AccessDeniedException":       "",
	"RequestTimeTooSkewed":        clockAdvice,
	"RequestExpired":              clockAdvice,
}

const (
	expiredAdvice = "the credentials have expired: get new ones (aws sso login, aws login, or new keys)"
	keyAdvice     = "AWS does not know this access key: see that it is whole, active, and of this partition"
	secretAdvice  = "the secret access key does not belong to the access key: set both anew"
	clockAdvice   = "this machine's clock is wrong: set it, for example with chrony or systemd-timesyncd"
	// What a role that GitHub's tokens can assume needs.
	providerAdvice = "the role's OIDC provider has to be https://token.actions.githubusercontent.com " +
		"with audience sts.amazonaws.com"
	trustAdvice = "the role's trust policy does not name this repository or branch, or the role is not there: " +
		"see AWS_ROLE_ARN and the condition on token.actions.githubusercontent.com:sub"
)

// diagnose reports whether err is one of the credentials, which the user has to fix, and returns the advice.
func diagnose(err error, o Options) (credential bool, advice string) {
	if _, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return true, "AWS_PROFILE names a profile that is not in the AWS configuration: see `aws configure list-profiles`"
	}
	if _, ok := errors.AsType[*ssocreds.InvalidTokenError](err); ok {
		return true, "the SSO session is over: aws sso login" + profileFlag(o)
	}
	if op, ok := errors.AsType[*smithy.OperationError](err); ok && strings.HasPrefix(op.ServiceID, "SSO") {
		if _, answered := errors.AsType[smithy.APIError](err); answered {
			return true, "the SSO session is over: aws sso login" + profileFlag(o)
		}
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return diagnoseAPI(api, err)
	}
	if _, ok := errors.AsType[*CredentialError](err); ok {
		return true, noCredentials(o)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return false, "if a proxy opens TLS, or the endpoint has a certificate of a private CA, " +
			"give the CA's with --ca-file or SSL_CERT_FILE"
	}
	if errors.Is(err, transport.ErrPlainHTTP) {
		return false, "AWS is asked with TLS only: correct AWS_ENDPOINT_URL, or endpoint_url in the profile"
	}
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); !ok {
		return false, ""
	}
	return false, "AWS cannot be reached: check the network and the proxy settings (HTTPS_PROXY, NO_PROXY); " +
		"what is done stays done"
}

func diagnoseAPI(api smithy.APIError, err error) (bool, string) {
	code, message := api.ErrorCode(), api.ErrorMessage()
	advice, known := codes[code]
	if !known {
		return false, "AWS answers " + code + ": if it is not clear from that, run again later; what is done stays done"
	}
	switch {
	case strings.Contains(message, "Signature expired"), strings.Contains(message, "Signature not yet current"):
		advice = clockAdvice
	case strings.Contains(message, "AssumeRoleWithWebIdentity"):
		advice = trustAdvice
	case advice == "":
		advice = "allow " + deniedAction(message, err) + " in the IAM policy of that identity, or use another one"
	}
	return true, advice
}

// deniedForm is the wording of AWS's refusals:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
var deniedForm = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]{1,40}:[A-Za-z]{1,60})`)

// deniedAction returns the IAM action that is missing: from the message, else the operation that was requested.
func deniedAction(message string, err error) string {
	if m := deniedForm.FindStringSubmatch(message); m != nil {
		return m[1]
	}
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		return iamAction(op)
	}
	return "this"
}

func profileFlag(o Options) string {
	if o.Profile == "" {
		return ""
	}
	return " --profile " + o.Profile
}

func noCredentials(o Options) string {
	if o.Profile != "" {
		return fmt.Sprintf("mend profile %s, or unset AWS_PROFILE: aws configure%s, aws sso login%s",
			o.Profile, profileFlag(o), profileFlag(o))
	}
	return "give credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, `aws configure`, " +
		"`aws sso login`, or in GitHub Actions AWS_ROLE_ARN; " +
		"or choose a target that needs none of AWS: --target REGISTRY/REPOSITORY or oci:DIR"
}
