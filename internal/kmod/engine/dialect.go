package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

// dialect is all that differs between podman's and docker's command line.
type dialect interface {
	// info is the arguments that ask for a description in JSON, which parseInfo reads.
	info() []string
	parseInfo(out []byte) (Info, error)
	// runFlags are added to the flags of `run` that both know.
	runFlags() []string
	// hasDaemon reports whether a daemon makes the containers, and goes on making one when the program that asked for it
	// is gone.
	hasDaemon() bool
	// exists is the arguments that fail with status 1 for an image that is not there.
	exists(image string) []string
	// pull is the command that pulls an image.
	pull(ctx context.Context, p pull) (args, env []string, err error)
	// removeContainer ends with the containers' names; one that is not there is no error.
	removeContainer() []string
	// listContainers is the arguments that print "ID IMAGE" of each container, also of builds' working containers.
	listContainers() []string
}

// pull is an image to pull and what is needed for it.
type pull struct {
	image    reference
	authFile string // with credentials; "" leaves them to the engine
	certDir  string // with CAs to trust, as *.crt; "" leaves them to the engine. Docker's daemon knows no such thing.
}

type podman struct{}

func (podman) info() []string { return []string{"info", "--format", "json"} }

func (podman) parseInfo(out []byte) (Info, error) {
	var d struct {
		Version struct{ Version string }
		Host    struct {
			Security struct{ Rootless bool }
		}
		Store struct{ GraphRoot string }
	}
	if err := json.Unmarshal(out, &d); err != nil {
		return Info{}, fmt.Errorf("read podman info: %w", err)
	}
	major, _, _ := strings.Cut(d.Version.Version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 4 {
		err := fmt.Errorf("podman %q is too old", d.Version.Version)
		return Info{}, fault.Wrap(err, "update podman to version 4.3 or later")
	}
	return Info{Name: "podman", Version: d.Version.Version, Rootless: d.Host.Security.Rootless,
		Storage: d.Store.GraphRoot}, nil
}

// runFlags: root in the container is the caller outside, so that the output is the caller's; and podman would otherwise
// hand the caller's proxy settings, which may hold a password, to the script.
func (podman) runFlags() []string { return []string{"--user=0:0", "--http-proxy=false"} }

func (podman) hasDaemon() bool { return false }

func (podman) exists(image string) []string { return []string{"image", "exists", image} }

// pull: with --cert-dir podman trusts the CAs of *.crt files there besides the system's, for every registry, and does
// not look into /etc/containers/certs.d. https://github.com/containers/image/blob/main/docs/containers-certs.d.5.md
func (podman) pull(_ context.Context, p pull) (args, env []string, err error) {
	args = []string{"pull"}
	if p.authFile != "" {
		args = append(args, "--authfile="+p.authFile)
	}
	switch {
	case p.certDir != "":
		args = append(args, "--cert-dir="+p.certDir)
	case p.image.loopback:
		// Nobody can listen in on a loopback connection; podman then also speaks plain http.
		args = append(args, "--tls-verify=false")
	}
	return append(args, p.image.text), nil, nil
}

func (podman) removeContainer() []string {
	return []string{"rm", "--force", "--time=0", "--ignore", "--volumes"}
}

// listContainers: --external shows the working containers of a build, which bear no label.
func (podman) listContainers() []string {
	return []string{"ps", "--all", "--external", "--format", "{{.ID}} {{.Image}}"}
}

type docker struct {
	program  string
	uid, gid int
}

func (*docker) info() []string { return []string{"info", "--format", "{{json .}}"} }

func (*docker) parseInfo(out []byte) (Info, error) {
	var d struct {
		ServerVersion   string
		DockerRootDir   string
		SecurityOptions []string
		ServerErrors    []string
		Store           json.RawMessage // podman's, where docker is another name of podman
	}
	if err := json.Unmarshal(out, &d); err != nil {
		return Info{}, fmt.Errorf("read docker info: %w", err)
	}
	switch {
	case d.Store != nil:
		return Info{}, fault.Wrap(errors.New("docker is podman under another name here"), "use --engine podman")
	case len(d.ServerErrors) > 0 || d.ServerVersion == "":
		err := fmt.Errorf("the docker daemon does not answer: %s", strings.Join(d.ServerErrors, "; "))
		return Info{}, fault.Wrap(err, "start the docker daemon, and see that you may use it")
	}
	if slices.ContainsFunc(d.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=rootless") }) {
		return Info{}, fault.Wrap(errors.New("the docker daemon is rootless"),
			"use --engine podman, which needs no root either")
	}
	return Info{Name: "docker", Version: d.ServerVersion, Storage: d.DockerRootDir}, nil
}

// runFlags: the output has to be the caller's, who is not the daemon's root.
func (d *docker) runFlags() []string { return []string{fmt.Sprintf("--user=%d:%d", d.uid, d.gid)} }

func (*docker) hasDaemon() bool { return true }

func (*docker) exists(image string) []string {
	return []string{"image", "inspect", "--format", "{{.Id}}", image}
}

// pull: docker takes credentials from the config.json of a directory. The same file chooses the daemon, so the user's
// choice is asked for first and kept.
func (d *docker) pull(ctx context.Context, p pull) (args, env []string, err error) {
	if p.authFile != "" {
		out, err := command.Output(ctx, command.Cmd{
			Name: d.program, Args: []string{"context", "inspect", "--format", "{{.Endpoints.docker.Host}}"},
		})
		if err != nil {
			return nil, nil, fmt.Errorf("ask docker for its daemon: %w", err)
		}
		env = append(env, "DOCKER_CONFIG="+filepath.Dir(p.authFile))
		if host := strings.TrimSpace(string(out)); host != "" {
			env = append(env, "DOCKER_HOST="+host)
		}
	}
	return []string{"pull", p.image.text}, env, nil
}

func (*docker) removeContainer() []string { return []string{"rm", "--force", "--volumes"} }

func (*docker) listContainers() []string {
	return []string{"ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Image}}"}
}
