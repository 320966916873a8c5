package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"neuron-kmod/internal/platform/fault"
)

const (
	// DefaultRepository is KMOD_ECR_REPOSITORY_NAME's default (R1.3).
	DefaultRepository = "neuron-operator/kmod"
	// DefaultMirror is DTK_ECR_REPOSITORY_NAME's default (R1.3).
	DefaultMirror = "neuron-operator/driver-toolkit"
	// DefaultPublicRepository is KMOD_ECR_PUBLIC_REPOSITORY's default: alias and path below public.ecr.aws (R6.1).
	DefaultPublicRepository = "q5p6u7h8/neuron-openshift/neuron-kernel-module"
)

// AWS is what the environment says about AWS beyond what the SDK reads by itself.
type AWS struct {
	Region           string // AWS_REGION, else AWS_DEFAULT_REGION; "" leaves it to the profile or the machine
	AccountID        string // AWS_ACCOUNT_ID: whose ECR; "" is the caller's
	Profile          string // AWS_PROFILE, for messages; the SDK reads it itself
	Repository       string // KMOD_ECR_REPOSITORY_NAME: where target ecr puts images
	PublicRepository string // KMOD_ECR_PUBLIC_REPOSITORY: ALIAS/PATH, where target ecr-public puts images
	Mirror           string // DTK_ECR_REPOSITORY_NAME: copies of Driver Toolkits
	MirrorNamed      bool   // the variable names it, so it has to be usable

	// Role is the role to assume with the runner's own identity token (AWS_ROLE_ARN in GitHub Actions). It is "" where the
	// SDK finds keys or a token file by itself, which are more explicit.
	Role string
	// Session names what the role is assumed for, in AWS's logs.
	Session string
	// TokenURL and TokenRequest lead to the identity token (ACTIONS_ID_TOKEN_REQUEST_URL, ACTIONS_ID_TOKEN_REQUEST_TOKEN).
	// They are not set in a job without the permission id-token: write.
	TokenURL     string
	TokenRequest Secret
}

func readAWS(getenv func(string) string, actions bool) AWS {
	a := AWS{
		Region:     cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION")),
		AccountID:  getenv("AWS_ACCOUNT_ID"),
		Profile:    getenv("AWS_PROFILE"),
		Repository: cmp.Or(getenv("KMOD_ECR_REPOSITORY_NAME"), DefaultRepository),
		PublicRepository: strings.TrimPrefix(cmp.Or(getenv("KMOD_ECR_PUBLIC_REPOSITORY"), DefaultPublicRepository),
			"public.ecr.aws/"),
		Mirror:      cmp.Or(getenv("DTK_ECR_REPOSITORY_NAME"), DefaultMirror),
		MirrorNamed: getenv("DTK_ECR_REPOSITORY_NAME") != "",
	}
	explicit := cmp.Or(getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_PROFILE"), getenv("AWS_WEB_IDENTITY_TOKEN_FILE"))
	if actions && explicit == "" {
		a.Role = getenv("AWS_ROLE_ARN")
		a.Session = cmp.Or(getenv("AWS_ROLE_SESSION_NAME"), strings.TrimSuffix("neuron-kmod-"+getenv("GITHUB_RUN_ID"), "-"))
		a.TokenURL = getenv("ACTIONS_ID_TOKEN_REQUEST_URL")
		a.TokenRequest = NewSecret(getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
	}
	return a
}

// forms are those of the variables that end up in names of AWS. An example stands beside each, for the error.
var forms = []struct {
	variable string
	form     *regexp.Regexp
	example  string
}{
	{variable: "AWS_REGION", form: regionForm, example: "us-west-2"},
	{variable: "AWS_DEFAULT_REGION", form: regionForm, example: "us-west-2"},
	{variable: "AWS_ACCOUNT_ID", form: regexp.MustCompile(`^[0-9]{12}$`), example: "123456789012"},
	{variable: "AWS_ROLE_ARN", example: "arn:aws:iam::123456789012:role/neuron-kmod",
		form: regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$`)},
	{variable: "KMOD_ECR_REPOSITORY_NAME", form: repositoryForm, example: DefaultRepository},
	{variable: "DTK_ECR_REPOSITORY_NAME", form: repositoryForm, example: DefaultMirror},
	{variable: "KMOD_ECR_PUBLIC_REPOSITORY", example: DefaultPublicRepository,
		form: regexp.MustCompile(`^(public\.ecr\.aws/)?[a-z0-9-]+/` + repositoryName + `$`)},
}

const repositoryName = `[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*`

var (
	regionForm     = regexp.MustCompile(`^[a-z]+(-[a-z]+)+-[0-9]+$`)
	repositoryForm = regexp.MustCompile(`^` + repositoryName + `$`)
)

func checkForms(getenv func(string) string) error {
	var errs []error
	for _, f := range forms {
		if v := getenv(f.variable); v != "" && !f.form.MatchString(v) {
			errs = append(errs, fault.Wrap(fmt.Errorf("%s is %q", f.variable, v), "set it to something like "+f.example))
		}
	}
	return errors.Join(errs...)
}
