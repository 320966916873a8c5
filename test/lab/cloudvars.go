package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ActionsVars are the variables of a workflow on GitHub Actions: an identity that the role trusts, Quay's account, no
// AWS keys. They are for adding to the environment of this process, of which they hide what would tell of another
// account.
func (e *Env) ActionsVars() []string {
	return append(e.ownVars(),
		"GITHUB_ACTIONS=true",
		"CI=true",
		"GITHUB_REPOSITORY="+workflow,
		"GITHUB_SERVER_URL=https://github.com",
		"GITHUB_STEP_SUMMARY="+filepath.Join(e.Dir, "step-summary.md"),
		"GITHUB_OUTPUT="+filepath.Join(e.Dir, "step-output"),
		"ACTIONS_ID_TOKEN_REQUEST_URL="+e.oidcURL,
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN="+e.Cloud.RequestToken(),
		"AWS_ROLE_ARN="+e.Role,
		"AWS_CONFIG_FILE="+e.awsFile("none"),
		"AWS_SHARED_CREDENTIALS_FILE="+e.awsFile("none"),
		"QUAY_USERNAME="+e.Quay.User,
		"QUAY_PASSWORD="+e.Quay.Password,
	)
}

// LocalVars are the variables of an engineer: an AWS profile, which has the region, and no account at Quay. They are
// for adding to the environment of this process, of which they hide what would tell of another account.
func (e *Env) LocalVars() []string {
	return append(e.ownVars(),
		"AWS_CONFIG_FILE="+e.awsFile("config"),
		"AWS_SHARED_CREDENTIALS_FILE="+e.awsFile("credentials"),
		"AWS_PROFILE="+profile,
	)
}

// ownVars lead to the environment's services and away from the accounts of whoever runs this.
func (e *Env) ownVars() []string {
	vars := append(e.hiddenVars(), e.Vars...)
	return append(vars,
		"HOME="+e.home(),
		"REGISTRY_AUTH_FILE=", // of e.Vars
		"AWS_ENDPOINT_URL="+e.api,
		"AWS_EC2_METADATA_DISABLED=true",
	)
}

// home is where nobody has logged in to anything.
func (e *Env) home() string { return filepath.Join(e.Dir, "home") }

// hiddenVars set to nothing what this process has inherited and the program under test would use.
func (e *Env) hiddenVars() []string {
	prefixes := []string{"AWS_", "GITHUB_", "GH_", "ACTIONS_", "RUNNER_", "QUAY_", "KMOD_", "DTK_"}
	vars := []string{"CI=", "FORCE_BUILD=", "DOCKER_CONFIG=", "XDG_CONFIG_HOME="}
	if os.Getuid() == 0 {
		// Where root's podman keeps a login. Without root, podman cannot do without this directory.
		vars = append(vars, "XDG_RUNTIME_DIR=")
	}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			vars = append(vars, name+"=")
		}
	}
	return vars
}

// proxyVars lead everything but loopback addresses through the environment's internet.
func (e *Env) proxyVars() []string {
	url := e.Internet.URL()
	return []string{
		"HTTPS_PROXY=" + url, "https_proxy=" + url, "HTTP_PROXY=" + url, "http_proxy=" + url,
		"NO_PROXY=", "no_proxy=", "ALL_PROXY=", "all_proxy=",
	}
}

// Secrets returns every secret of the environment, as it is and as auth files have it, for a test to look for in what
// the program under test writes.
func (e *Env) Secrets() []string {
	var secrets []string
	accounts := []Account{toolkitAccount, targetAccount}
	if e.proxyAccount != nil {
		accounts = append(accounts, *e.proxyAccount)
	}
	for _, a := range accounts {
		secrets = append(secrets, a.Password, a.encoded())
	}
	if e.Cloud != nil {
		secrets = slices.Concat(secrets, e.Cloud.Secrets(), e.Quay.Secrets(), []string{e.GitHubToken})
	}
	return secrets
}
