// Package config is the one reader of the environment. It turns variables into a Settings value; flags override
// single fields of it; everything else receives values.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"neuron-kmod/internal/platform/fault"
)

const (
	// DefaultMatrix and DefaultCatalog are relative to the current directory.
	DefaultMatrix  = "build-matrix.json"
	DefaultCatalog = "driver-toolkit/driver-toolkit.json"
	// DefaultBaseImage is the base of R5.3.
	DefaultBaseImage = "public.ecr.aws/docker/library/busybox:stable-musl"
	// DefaultDriverSource is where AWS publishes the driver: a dnf repository whose packages lie at its top.
	DefaultDriverSource = "https://yum.repos.neuron.amazonaws.com/"
	// DefaultSourceURL is the project whose releases carry the GPL sources,
	// where GITHUB_REPOSITORY does not name another.
	DefaultSourceURL = "https://github.com/awslabs/kmod-with-kmm-for-ai-chips-on-aws"
)

// defaultTempDir holds the layers of a Driver Toolkit while they arrive, 1 to
// 2 GB: /tmp is in memory on many systems.
const defaultTempDir = "/var/tmp"

// Settings is all that the environment decides. The zero value of a field means that the environment says nothing and
// there is no default. What differs between GitHub Actions and other machines is decided here and nowhere else.
type Settings struct {
	Actions      bool      // this is a GitHub Actions runner (GITHUB_ACTIONS)
	Matrix       string    // path of build-matrix.json
	Catalog      string    // path of driver-toolkit.json
	Target       string    // "ecr-public" in GitHub Actions, else "ecr"
	Force        bool      // FORCE_BUILD
	Created      time.Time // SOURCE_DATE_EPOCH in UTC; zero means now
	SourceURL    string    // URL of the project's repository, without a slash at the end
	BaseImage    string
	DriverSource string
	CacheDir     string // the tool's own directory under the user's cache directory
	TempDir      string // where a run makes its directory

	GitHub    GitHub
	AWS       AWS
	Quay      Login      // QUAY_USERNAME and QUAY_PASSWORD, the account for quay.io
	AuthFiles []AuthFile // registry credentials, the most explicit first

	StepSummary string // GITHUB_STEP_SUMMARY, a file; "" outside GitHub Actions
	StepOutputs string // GITHUB_OUTPUT, a file; "" outside GitHub Actions

	CheckTools      bool   // whether doctor looks for tools: a runner has them installed
	NeedQuay        bool   // whether a run ends where Driver Toolkits are at quay.io and there are no credentials for it
	UseMirror       bool   // whether Driver Toolkits are taken from the mirror in ECR where it has them
	ToolkitMirror   string // HOST/REPOSITORY of another mirror, which counts instead; only a flag sets it
	AnonymousPublic bool   // whether ECR Public is read without credentials where those of AWS fail
}

// GitHub is where releases are.
type GitHub struct {
	API        string // GITHUB_API_URL; "" is github.com's
	Repository string // GITHUB_REPOSITORY, OWNER/NAME
	Token      Secret // GITHUB_TOKEN, else GH_TOKEN
	Release    bool   // whether build releases what it has built
}

// Login is an account of a registry.
type Login struct {
	User     string
	Password Secret
}

// AuthFile is a file with registry credentials, in the form of docker or podman.
type AuthFile struct {
	Path  string
	Named string // the variable that names it, in which case it has to exist; "" for podman's and docker's own
}

// FromEnvironment reads GITHUB_ACTIONS, GITHUB_TOKEN, GH_TOKEN and other variables of a runner, FORCE_BUILD,
// SOURCE_DATE_EPOCH, QUAY_USERNAME, QUAY_PASSWORD, REGISTRY_AUTH_FILE, QUAY_AUTH_FILE, DOCKER_CONFIG, HOME, TMPDIR,
// the proxy's, XDG's and those of AWS that are named at type AWS. The AWS SDK reads others by itself: they are its
// default credential chain. getenv returns "" for a variable that is not set. The error names the variable and its
// mend, never its value where that may be a secret; the settings beside it are those of the other variables.
func FromEnvironment(getenv func(string) string) (Settings, error) {
	actions := getenv("GITHUB_ACTIONS") == "true"
	s := Settings{
		Actions:      actions,
		Matrix:       DefaultMatrix,
		Catalog:      DefaultCatalog,
		Target:       "ecr",
		SourceURL:    sourceURL(getenv),
		BaseImage:    DefaultBaseImage,
		DriverSource: DefaultDriverSource,
		AuthFiles:    authFiles(getenv),
		TempDir:      cmp.Or(getenv("TMPDIR"), defaultTempDir),
		AWS:          readAWS(getenv, actions),
		GitHub: GitHub{
			API: getenv("GITHUB_API_URL"), Repository: getenv("GITHUB_REPOSITORY"),
			Token: NewSecret(cmp.Or(getenv("GITHUB_TOKEN"), getenv("GH_TOKEN"))), Release: actions,
		},

		CheckTools:      !actions,
		NeedQuay:        actions,
		UseMirror:       !actions,
		AnonymousPublic: !actions,
	}
	if actions {
		s.Target = "ecr-public"
		s.StepSummary, s.StepOutputs = getenv("GITHUB_STEP_SUMMARY"), getenv("GITHUB_OUTPUT")
	}
	var errs []error
	keep := func(err error) { errs = append(errs, err) }
	var err error
	s.CacheDir, err = cacheDir(getenv)
	keep(err)
	s.Force, err = readForce(getenv)
	keep(err)
	s.Created, err = readCreated(getenv)
	keep(err)
	s.Quay, err = readQuay(getenv)
	keep(err)
	keep(checkProxy(getenv))
	keep(checkForms(getenv))
	return s, errors.Join(errs...)
}

// readQuay reads the account for quay.io. Half an account is a mistake, often a
// secret that a workflow from a fork does not get.
func readQuay(getenv func(string) string) (Login, error) {
	l := Login{User: getenv("QUAY_USERNAME"), Password: NewSecret(getenv("QUAY_PASSWORD"))}
	set, missing := "QUAY_USERNAME", "QUAY_PASSWORD"
	if l.User == "" {
		set, missing = missing, set
	}
	if (l.User == "") != l.Password.IsZero() {
		return Login{}, fault.Wrap(fmt.Errorf("%s is set and %s is not", set, missing), "set both or neither")
	}
	return l, nil
}

// checkProxy refuses a proxy that Go would refuse, because Go's error repeats the value, which may hold a password.
func checkProxy(getenv func(string) string) error {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		v := getenv(name)
		if v == "" {
			continue
		}
		if !strings.Contains(v, "://") {
			v = "http://" + v // as net/http reads it
		}
		u, err := url.Parse(v)
		if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
			return fault.Wrap(fmt.Errorf("%s is not the address of a proxy", name),
				"set it to http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT with special characters percent-encoded")
		}
	}
	return nil
}

func sourceURL(getenv func(string) string) string {
	repository := getenv("GITHUB_REPOSITORY")
	if repository == "" {
		return DefaultSourceURL
	}
	server := cmp.Or(getenv("GITHUB_SERVER_URL"), "https://github.com")
	return strings.TrimRight(server, "/") + "/" + repository
}

// authFiles lists where credentials are, in the order of
// https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
func authFiles(getenv func(string) string) []AuthFile {
	var files []AuthFile
	for _, name := range []string{"REGISTRY_AUTH_FILE", "QUAY_AUTH_FILE"} {
		if path := getenv(name); path != "" {
			files = append(files, AuthFile{Path: path, Named: name})
		}
	}
	add := func(base string, elem ...string) {
		if base != "" {
			files = append(files, AuthFile{Path: filepath.Join(append([]string{base}, elem...)...)})
		}
	}
	add(getenv("XDG_RUNTIME_DIR"), "containers", "auth.json")
	if dir := getenv("XDG_CONFIG_HOME"); dir != "" {
		add(dir, "containers", "auth.json")
	} else {
		add(getenv("HOME"), ".config", "containers", "auth.json")
	}
	if docker := getenv("DOCKER_CONFIG"); docker != "" {
		add(docker, "config.json")
	} else {
		add(getenv("HOME"), ".docker", "config.json")
	}
	return files
}

func cacheDir(getenv func(string) string) (string, error) {
	base := getenv("XDG_CACHE_HOME")
	if base == "" && getenv("HOME") != "" {
		base = filepath.Join(getenv("HOME"), ".cache")
	}
	if !filepath.IsAbs(base) {
		return "", fault.Wrap(fmt.Errorf("no cache directory: neither XDG_CACHE_HOME nor HOME is an absolute path"),
			"set HOME or XDG_CACHE_HOME")
	}
	return filepath.Join(base, "neuron-kmod"), nil
}

func readForce(getenv func(string) string) (bool, error) {
	v := getenv("FORCE_BUILD")
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, fault.Wrap(fmt.Errorf("FORCE_BUILD is %q", v), "set it to true or false")
	}
	return b, nil
}

func readCreated(getenv func(string) string) (time.Time, error) {
	v := getenv("SOURCE_DATE_EPOCH")
	if v == "" {
		return time.Time{}, nil
	}
	// 4102444800 is the year 2100: a larger value is milliseconds by mistake.
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 || n > 4102444800 {
		return time.Time{}, fault.Wrap(fmt.Errorf("SOURCE_DATE_EPOCH is %q", v),
			"set it to seconds since 1970, for example the output of `git log -1 --format=%ct`")
	}
	return time.Unix(n, 0).UTC(), nil
}
