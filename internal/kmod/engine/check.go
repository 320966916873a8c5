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
		[]string{"docker daemon", "docker api", "error during connect"},
		"start the docker daemon, and see that you may use it (group docker)",
	},
	{
		[]string{"cannot connect to podman", "podman machine"},
		"podman runs containers in a virtual machine here: podman machine init, then podman machine start",
	},
	{ // https://github.com/containers/podman/blob/main/docs/tutorials/rootless_tutorial.md
		[]string{"newuidmap", "newgidmap", "subuid", "subgid", "insufficient uids or gids"},
		"without root, podman needs newuidmap (package uidmap, or shadow-utils) and user IDs of its own: " +
			"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER; podman system migrate",
	},
	{
		[]string{"user namespace", "cannot clone", "cannot re-exec process"},
		"without root, podman needs user namespaces: see sysctl user.max_user_namespaces, " +
			"kernel.unprivileged_userns_clone and, " +
			"on Ubuntu, kernel.apparmor_restrict_unprivileged_userns; or run it as root",
	},
	{
		[]string{"cgroup"},
		"the OCI runtime cannot use this machine's cgroups: boot with cgroups v2, or install runc and choose it in " +
			"containers.conf ([engine] runtime = \"runc\")",
	},
	{
		[]string{"rlimit"},
		"lower the limits in containers.conf, such as [containers] default_ulimits = [\"nofile=1024:1024\", " +
			"\"nproc=1024:1024\"]",
	},
	{
		[]string{"conmon binary", "oci runtime \""},
		"install the programs that podman runs containers with: conmon, and crun or runc",
	},
	{
		[]string{"exec: \"/bin/sh\"", "command that was not found"},
		"the base image has no shell, which Kernel Module Management needs as well: choose another one",
	},
	{
		[]string{"exec format error"},
		"the image is for linux/amd64: use an x86_64 machine, or install qemu-user-static",
	},
	{
		[]string{"oci runtime", "oci permission denied", "crun:", "runc:"},
		"see what SELinux, AppArmor or a container around this one forbid, or choose another OCI runtime in " +
			"containers.conf ([engine] runtime)",
	},
	{
		[]string{jobScript, "statfs "},
		notShared,
	},
	{
		[]string{"no space left on device"},
		"make room where the container engine keeps its images",
	},
	{
		[]string{"not supported over", "does not support overlay"},
		"choose another storage driver in storage.conf: fuse-overlayfs, or vfs, which works everywhere and is slow",
	},
	{
		[]string{"read-only file system", "permission denied", "not writable"},
		"the container engine has to be able to write where it keeps images and containers: mend the directory's owner " +
			"and modes, or choose another in storage.conf (graphroot, runroot)",
	},
}
