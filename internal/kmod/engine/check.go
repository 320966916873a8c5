package engine

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

// Check asks the engine to describe itself. An engine that is not installed is errors.Is(err, exec.ErrNotFound). That
// docker will not heed CAFile is no error, since its daemon may trust the registry already; the log says it.
func (c *CLI) Check(ctx context.Context) (Info, error) {
	info, err := c.store.info(ctx)
	if err == nil && c.opts.CAFile != "" && info.Name == "docker" {
		c.opts.Log.Warn("docker does not read the CA file: its daemon trusts the certificates of its own machine; "+
			"put the CA into /etc/docker/certs.d/HOST/ca.crt there", "file", c.opts.CAFile)
	}
	return info, err
}

func (s *store) info(ctx context.Context) (Info, error) {
	out, err := command.Output(ctx, s.command(s.dialect.info()...))
	if err != nil {
		return Info{}, s.advise(fmt.Errorf("container engine: %w", err), "info")
	}
	info, err := s.dialect.parseInfo(out)
	if err != nil {
		return Info{}, err
	}
	if info.Path, err = exec.LookPath(s.program); err != nil {
		return Info{}, fmt.Errorf("container engine: %w", err)
	}
	return info, nil
}

// advise attaches to a failure of the engine that has no advice yet what to do about it: what is known about the
// engine's words, else to make the command `podman ARGS` work.
func (s *store) advise(err error, args string) error {
	if fault.Of(err) != "" {
		return err
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fault.Wrap(err,
			"install podman: apt-get install podman, dnf install podman or brew install podman; or use --engine docker")
	}
	var said string
	if failed, ok := errors.AsType[*command.Error](err); ok {
		said = lastWord(failed.Stderr)
	}
	if exit, ok := errors.AsType[*ExitError](err); ok {
		said = lastWord(exit.Tail)
	}
	for _, known := range troubles {
		if slices.ContainsFunc(known.texts, func(text string) bool { return strings.Contains(said, text) }) {
			return fault.Wrap(err, known.advice)
		}
	}
	return fault.Wrap(err, fmt.Sprintf("make `%s %s` work first", s.program, args))
}

const notShared = "the engine does not see this machine's directory of temporary files: have podman machine or " +
	"docker share it, or set TMPDIR to one that is shared"

// troubles are what engines say where they are not set up well, lower case, most telling first.
var troubles = []struct {
	texts  []string
	advice string
}{
	{
		texts:  []string{"docker daemon", "docker api", "error during connect"},
		advice: "start the docker daemon, and see that you may use it (group docker)",
	},
	{
		texts:  []string{"cannot connect to podman", "podman machine"},
		advice: "podman runs containers in a virtual machine here: podman machine init, then podman machine start",
	},
	{ // https://github.com/containers/podman/blob/main/docs/tutorials/rootless_tutorial.md
		texts: []string{"newuidmap", "newgidmap", "subuid", "subgid", "insufficient uids or gids"},
		advice: "without root, podman needs newuidmap (package uidmap, or shadow-utils) and user IDs of its own: " +
			"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER; podman system migrate",
	},
	{
		texts: []string{"user namespace", "cannot clone", "cannot re-exec process"},
		advice: "without root, podman needs user namespaces: see sysctl user.max_user_namespaces, " +
			"kernel.unprivileged_userns_clone and, " +
			"on Ubuntu, kernel.apparmor_restrict_unprivileged_userns; or run it as root",
	},
	{
		texts: []string{"cgroup"},
		advice: "the OCI runtime cannot use this machine's cgroups: boot with cgroups v2, or install runc and choose it in " +
			"containers.conf ([engine] runtime = \"runc\")",
	},
	{
		texts: []string{"rlimit"},
		advice: "lower the limits in containers.conf, such as [containers] default_ulimits = [\"nofile=1024:1024\", " +
			"\"nproc=1024:1024\"]",
	},
	{
		texts:  []string{"conmon binary", "oci runtime \""},
		advice: "install the programs that podman runs containers with: conmon, and crun or runc",
	},
	{
		texts:  []string{"exec: \"/bin/sh\"", "command that was not found"},
		advice: "the base image has no shell, which Kernel Module Management needs as well: choose another one",
	},
	{
		texts:  []string{"exec format error"},
		advice: "the image is for linux/amd64: use an x86_64 machine, or install qemu-user-static",
	},
	{
		texts: []string{"oci runtime", "oci permission denied", "crun:", "runc:"},
		advice: "see what SELinux, AppArmor or a container around this one forbid, or choose another OCI runtime in " +
			"containers.conf ([engine] runtime)",
	},
	{
		texts:  []string{jobScript, "statfs "},
		advice: notShared,
	},
	{
		texts:  []string{"no space left on device"},
		advice: "make room where the container engine keeps its images",
	},
	{
		texts:  []string{"not supported over", "does not support overlay"},
		advice: "choose another storage driver in storage.conf: fuse-overlayfs, or vfs, which works everywhere and is slow",
	},
	{
		texts: []string{"read-only file system", "permission denied", "not writable"},
		advice: "the container engine has to be able to write where it keeps images and containers: mend the " +
			"directory's owner and modes, or choose another in storage.conf (graphroot, runroot)",
	},
}
