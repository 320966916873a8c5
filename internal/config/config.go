// Package config is the one reader of the environment. It turns variables into
// a Settings value; flags override single fields of it; everything else
// receives values.
package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"neuron-kmod/internal/driver"
	"neuron-kmod/internal/hint"
)

const (
	// DefaultMatrix and DefaultCatalog are relative to the current folder.
	DefaultMatrix  = "build-matrix.json"
	DefaultCatalog = "driver-toolkit/driver-toolkit.json"
	// DefaultBaseImage is the base of R5.3.
	DefaultBaseImage = "public.ecr.aws/docker/library/busybox:stable-musl"
	// DefaultSourceURL is the project whose releases carry the GPL sources,
	// where GITHUB_REPOSITORY does not name another.
	DefaultSourceURL = "https://github.com/awslabs/kmod-with-kmm-for-ai-chips-on-aws"
)

// defaultTempDir holds the layers of a Driver Toolkit while they arrive, 1 to
// 2 GB: /tmp is in memory on many systems.
const defaultTempDir = "/var/tmp"

// Settings is all that the environment decides. The zero value of a field means
// that the environment says nothing and there is no default.
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
	NamedFiles   []string // the first of AuthFiles: those that a variable names, which have to exist
	AuthFiles    []string // registry credentials, the most explicit first; the others need not exist
	CacheDir     string   // the tool's own folder under the user's cache folder
	TempDir      string   // where a run makes its folder
}

// FromEnvironment reads GITHUB_ACTIONS, GITHUB_REPOSITORY, GITHUB_SERVER_URL,
// FORCE_BUILD, SOURCE_DATE_EPOCH, REGISTRY_AUTH_FILE, QUAY_AUTH_FILE,
// DOCKER_CONFIG, HOME, TMPDIR and the XDG variables. getenv returns "" for a
// variable that is not set. The error names the variable and its mend; the
// settings beside it are those of the other variables.
func FromEnvironment(getenv func(string) string) (Settings, error) {
	s := Settings{
		Actions:      getenv("GITHUB_ACTIONS") == "true",
		Matrix:       DefaultMatrix,
		Catalog:      DefaultCatalog,
		Target:       "ecr",
		SourceURL:    sourceURL(getenv),
		BaseImage:    DefaultBaseImage,
		DriverSource: driver.DefaultSource,
		AuthFiles:    authFiles(getenv),
		TempDir:      first(getenv("TMPDIR"), defaultTempDir),
	}
	for _, name := range []string{"REGISTRY_AUTH_FILE", "QUAY_AUTH_FILE"} {
		if file := getenv(name); file != "" {
			s.NamedFiles = append(s.NamedFiles, file)
		}
	}
	s.AuthFiles = append(slices.Clone(s.NamedFiles), s.AuthFiles...)
	if s.Actions {
		s.Target = "ecr-public"
	}
	var errs [3]error
	s.CacheDir, errs[0] = cacheDir(getenv)
	s.Force, errs[1] = boolean(getenv, "FORCE_BUILD")
	s.Created, errs[2] = epoch(getenv, "SOURCE_DATE_EPOCH")
	return s, errors.Join(errs[:]...)
}

func sourceURL(getenv func(string) string) string {
	repository := getenv("GITHUB_REPOSITORY")
	if repository == "" {
		return DefaultSourceURL
	}
	server := first(getenv("GITHUB_SERVER_URL"), "https://github.com")
	return strings.TrimRight(server, "/") + "/" + repository
}

// authFiles lists where podman and docker keep credentials, in the order of
// https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
func authFiles(getenv func(string) string) []string {
	var files []string
	add := func(base string, elem ...string) {
		if base != "" {
			files = append(files, filepath.Join(append([]string{base}, elem...)...))
		}
	}
	add(getenv("XDG_RUNTIME_DIR"), "containers", "auth.json")
	add(configHome(getenv), "containers", "auth.json")
	if docker := getenv("DOCKER_CONFIG"); docker != "" {
		add(docker, "config.json")
	} else {
		add(getenv("HOME"), ".docker", "config.json")
	}
	return files
}

func configHome(getenv func(string) string) string {
	if dir := getenv("XDG_CONFIG_HOME"); dir != "" {
		return dir
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".config")
	}
	return ""
}

func cacheDir(getenv func(string) string) (string, error) {
	base := getenv("XDG_CACHE_HOME")
	if base == "" && getenv("HOME") != "" {
		base = filepath.Join(getenv("HOME"), ".cache")
	}
	if !filepath.IsAbs(base) {
		return "", hint.Wrap(fmt.Errorf("no cache folder: neither XDG_CACHE_HOME nor HOME is an absolute path"),
			"set HOME or XDG_CACHE_HOME")
	}
	return filepath.Join(base, "neuron-kmod"), nil
}

func boolean(getenv func(string) string, name string) (bool, error) {
	v := getenv(name)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, hint.Wrap(fmt.Errorf("%s is %q", name, v), "set it to true or false")
	}
	return b, nil
}

func epoch(getenv func(string) string, name string) (time.Time, error) {
	v := getenv(name)
	if v == "" {
		return time.Time{}, nil
	}
	// 4102444800 is the year 2100: a larger value is milliseconds by mistake.
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 || n > 4102444800 {
		return time.Time{}, hint.Wrap(fmt.Errorf("%s is %q", name, v),
			"set it to seconds since 1970, for example the output of `git log -1 --format=%ct`")
	}
	return time.Unix(n, 0).UTC(), nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
