package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/renameio/v2"

	"neuron-kmod/test/lab/fakeauth"
	"neuron-kmod/test/lab/fakeaws"
	"neuron-kmod/test/lab/fakegithub"
)

// CloudOptions say how the services are that stand for AWS, GitHub's identities and Quay. The zero value is good.
type CloudOptions struct {
	Partition string            // of AWS; amazon.AWS if empty
	Lifetimes fakeaws.Lifetimes // those of the real services where they are zero
	Proxy     *Account          // that the proxy asks for; nil if it asks for none
}

// Repositories of the cloud, named as the real ones.
const (
	PublicAlias      = "q5p6u7h8" // of ECR Public
	PublicRepository = PublicAlias + "/" + TargetRepository
	KmodRepository   = "neuron-operator/kmod"           // of the account's private registry
	MirrorRepository = "neuron-operator/driver-toolkit" // the same, for copies of DTKs
)

const (
	quayHost   = "quay.io"
	publicHost = "public.ecr.aws"
	// workflow is whose identity the role trusts.
	workflow = "awslabs/kmod-with-kmm-for-ai-chips-on-aws"
	// dockerAccount owns the base images of ECR Public.
	dockerAccount = "999900001111"
)

// cloudEnv is what Options.Cloud adds to an environment. Then ToolkitHost is quay.io, whose registry is behind Quay's
// door, and BaseImage is in public.ecr.aws; its registry and the account's private one keep their images where the
// target registry does, so that Tags and Image show what was pushed to them.
type cloudEnv struct {
	Cloud         *fakeaws.Cloud
	Quay          *fakeauth.Quay
	Internet      *Internet
	PublicFaults  *Faults // in front of ECR Public
	PrivateFaults *Faults // in front of the account's private registry

	PublicTarget  string // public.ecr.aws/REPOSITORY
	PrivateTarget string // ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY
	Mirror        string // the same for DTKs
	Role          string // ARN of the workflow's role
	User          string // ARN of the profile's user

	GitHub       *fakegithub.Forge // with the workflow's repository
	GitHubToken  string            // that may write its releases
	SourceFaults *Faults           // in front of the mirror of BusyBox's source

	key          fakeaws.AccessKey
	api, oidcURL string
	proxyAccount *Account
}

// PublisherActions are what a workflow's role has to be allowed for publishing to ECR Public, and no more.
func PublisherActions() []string {
	return []string{
		"sts:GetServiceBearerToken", "ecr-public:GetAuthorizationToken",
		"ecr-public:BatchCheckLayerAvailability", "ecr-public:InitiateLayerUpload", "ecr-public:UploadLayerPart",
		"ecr-public:CompleteLayerUpload", "ecr-public:PutImage",
	}
}

// EngineerActions are what an engineer has to be allowed for building into private ECR, with a mirror of DTKs, with
// authenticated pulls of base images, and for making repositories; and no more.
func EngineerActions() []string {
	return []string{
		"sts:GetServiceBearerToken", "ecr-public:GetAuthorizationToken",
		"ecr:GetAuthorizationToken", "ecr:DescribeRepositories", "ecr:CreateRepository",
		"ecr:ListImages", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer",
		"ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart",
		"ecr:CompleteLayerUpload", "ecr:PutImage",
	}
}

// startCloud starts the services, behind an internet of their own.
func (e *Env) startCloud(ctx context.Context, o Options) error {
	var err error
	if e.Cloud, err = fakeaws.New(fakeaws.Options{Partition: o.Cloud.Partition, Workflow: workflow}); err != nil {
		return err
	}
	e.Cloud.SetLifetimes(o.Cloud.Lifetimes)
	e.Quay = fakeauth.NewQuay("neuron+puller", "quay-"+rand.Text(), time.Now)
	if o.Anonymous {
		e.Quay.Public = []string{ToolkitRepository}
	}
	e.fillCloud()
	e.proxyAccount = o.Cloud.Proxy
	if e.Internet, err = startInternet(ctx, e.lab.ca, o.Cloud.Proxy); err != nil {
		return err
	}
	e.closers = append(e.closers, e.Internet.Close)
	if err := errors.Join(e.startRegistries(ctx), e.startAPI(ctx), e.startGitHub(ctx), e.writeProfile()); err != nil {
		return err
	}
	e.ToolkitHost = quayHost
	e.BaseImage = publicHost + "/" + BaseRepository + ":" + BaseTag
	e.Vars = append(e.Vars, e.proxyVars()...)
	return nil
}

// fillCloud makes the repositories and who may use them.
func (e *Env) fillCloud() {
	c := e.Cloud
	host := c.RegistryHost(c.Region())
	for _, name := range []string{KmodRepository, MirrorRepository} {
		c.AddRepository(fakeaws.Repository{Region: c.Region(), Name: name})
	}
	c.AddPublicRepository(fakeaws.PublicRepository{Alias: PublicAlias, Name: TargetRepository})
	c.AddPublicRepository(fakeaws.PublicRepository{Alias: "docker", Name: "library/busybox", Account: dockerAccount})
	e.PublicTarget = publicHost + "/" + PublicRepository
	e.PrivateTarget, e.Mirror = host+"/"+KmodRepository, host+"/"+MirrorRepository

	e.Role = c.AddRole(fakeaws.Role{
		Name: "neuron-kmod-publisher", Audience: "sts.amazonaws.com", Subject: c.Subject(), Actions: PublisherActions(),
	})
	const user = "engineer"
	e.key = c.AddUser(fakeaws.User{Name: user, Actions: EngineerActions()})
	e.User = "arn:" + c.Partition + ":iam::" + c.Account + ":user/" + user
}

// startRegistries lets the real registries' names lead to the lab's, through the doors, and the RPMs' to the downloads.
func (e *Env) startRegistries(ctx context.Context) error {
	toolkits, err := e.lab.ca.proxyTo(e.toolkits.Host, &toolkitAccount)
	if err != nil {
		return err
	}
	target, err := e.lab.ca.proxyTo(e.target.Host, &targetAccount)
	if err != nil {
		return err
	}
	region := e.Cloud.Region()
	e.ToolkitFaults, e.PublicFaults, e.PrivateFaults = &Faults{}, &Faults{}, &Faults{}
	for host, handler := range map[string]http.Handler{
		quayHost:                         e.ToolkitFaults.Wrap(e.Quay.Wrap(toolkits)),
		publicHost:                       e.PublicFaults.Wrap(e.Cloud.ECRPublic(target)),
		e.Cloud.RegistryHost(region):     e.PrivateFaults.Wrap(e.Cloud.ECR(region, target)),
		"yum.repos.neuron.amazonaws.com": e.Downloads.files,
	} {
		if err := e.Internet.Serve(ctx, host, handler); err != nil {
			return fmt.Errorf("start %s: %w", host, err)
		}
	}
	return nil
}

// startAPI starts AWS's API and the endpoint of workflows' identities, on this machine and in the internet.
func (e *Env) startAPI(ctx context.Context) error {
	api, err := serveHTTP(ctx, e.lab.ca, e.Cloud.API())
	if err != nil {
		return err
	}
	e.closers = append(e.closers, api.Close)
	oidc, err := serveHTTP(ctx, e.lab.ca, e.Cloud.OIDC())
	if err != nil {
		return err
	}
	e.closers = append(e.closers, oidc.Close)
	e.api, e.oidcURL = "https://"+api.Host, "https://"+oidc.Host+"/idtoken/1"+fakeaws.IDTokenQuery
	e.Internet.Route("pipelines.actions.githubusercontent.com", oidc.Host)
	if e.Cloud.Partition == fakeaws.AWS {
		for _, host := range []string{
			"sts.us-west-2.amazonaws.com", "sts.us-east-1.amazonaws.com", "api.ecr.us-west-2.amazonaws.com",
			"api.ecr.us-east-1.amazonaws.com", "api.ecr-public.us-east-1.amazonaws.com",
		} {
			e.Internet.Route(host, api.Host)
		}
	}
	return nil
}

// awsFile is the path of one of the AWS files of the environment.
func (e *Env) awsFile(name string) string { return filepath.Join(e.Dir, "aws", name) }

// profile is the name of the profile in the AWS files.
const profile = "lab"

// writeProfile writes the AWS files of an engineer, and an empty one.
func (e *Env) writeProfile() error {
	if err := errors.Join(os.MkdirAll(e.awsFile(""), 0o700), os.MkdirAll(e.home(), 0o700)); err != nil {
		return err
	}
	config := fmt.Sprintf("[profile %s]\nregion = %s\n", profile, e.Cloud.Region())
	credentials := fmt.Sprintf("[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", profile, e.key.ID,
		e.key.Secret)
	return errors.Join(
		renameio.WriteFile(e.awsFile("config"), []byte(config), 0o600),
		renameio.WriteFile(e.awsFile("credentials"), []byte(credentials), 0o600),
		renameio.WriteFile(e.awsFile("none"), nil, 0o600),
	)
}

// MirrorToolkit puts copies of the releases' DTKs into the mirror, each under its release as the tag. They have the
// digests of the catalogue.
func (e *Env) MirrorToolkit(ctx context.Context, releases ...Release) error {
	for _, r := range releases {
		r.Toolkit.Release = r.Version
		img, err := e.lab.Toolkit(ctx, r.Toolkit)
		if err != nil {
			return err
		}
		if err := e.MirrorImage(ctx, r.Version, img); err != nil {
			return err
		}
	}
	return nil
}

// MirrorImage puts any image into the mirror under a tag.
func (e *Env) MirrorImage(ctx context.Context, tag string, img v1.Image) error {
	return e.pushTo(ctx, e.target, targetAccount, MirrorRepository+":"+tag, img)
}
