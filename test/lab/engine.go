package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

// engineSettings are what podman needs on this machine: a containers.conf where containers do not run without. The
// product has no part in this; it honours CONTAINERS_CONF because podman does.
type engineSettings struct {
	conf string // empty: podman works as it is set up
}

// env is podman's environment with a storage of its own, so that nothing touches the user's images and whoever counts
// pulls begins with none.
func (s *engineSettings) env(storageConf string) []string {
	env := []string{"CONTAINERS_STORAGE_CONF=" + storageConf}
	if s.conf != "" {
		env = append(env, "CONTAINERS_CONF="+s.conf)
	}
	return env
}

// workaround is for virtual machines where crun cannot set up cgroups and raising rlimits is not permitted.
const workaround = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "host"
[engine]
runtime = "runc"
`

const probeImage = "localhost/neuron-kmod-lab-probe:1"

// probeEngine finds out, once for a lab and a version of podman, whether containers run as podman is set up, else with
// the workaround.
func (l *Lab) probeEngine(ctx context.Context) (*engineSettings, error) {
	version, err := command.Output(ctx, command.Cmd{Name: "podman", Args: []string{"--version"}})
	if err != nil {
		return nil, fault.Wrap(err, "scripts/setup.sh installs podman")
	}
	recipe := fmt.Sprintf("engine 2 %s %d %s", version, os.Getuid(), workaround)
	dir, err := l.store.make(ctx, "engine", recipe, l.probe)
	if err != nil {
		return nil, err
	}
	settings := &engineSettings{}
	if conf := filepath.Join(dir, containersConf); exists(conf) {
		settings.conf = conf
	}
	return settings, nil
}

const containersConf = "containers.conf"

// probe leaves a containers.conf in dir if containers run with it only.
func (l *Lab) probe(ctx context.Context, dir string) (err error) {
	own, err := newPodmanStorage(dir)
	if err != nil {
		return err
	}
	env := own.vars()
	defer func() { err = errors.Join(err, own.remove(ctx)) }()
	if err := l.loadProbe(ctx, dir, env); err != nil {
		return err
	}
	run := func(env []string) error {
		return command.Run(ctx, command.Cmd{Name: "podman", Env: env, Args: []string{
			"run", "--rm", "--network=none", "--pull=never", "--cap-drop=all", "--security-opt=no-new-privileges", probeImage,
			"true",
		}})
	}
	plain := run(env)
	if plain == nil {
		return nil
	}
	conf := filepath.Join(dir, containersConf)
	if err := os.WriteFile(conf, []byte(workaround), 0o644); err != nil {
		return err
	}
	if err := run(append(env, "CONTAINERS_CONF="+conf)); err != nil {
		return fault.Wrap(errors.Join(plain, err),
			"podman cannot run containers here: `podman run --rm IMAGE true` has to work first")
	}
	l.log.Info("podman needs a containers.conf here; the lab uses its own", "because", plain)
	return nil
}

func (l *Lab) loadProbe(ctx context.Context, dir string, env []string) error {
	img, err := l.busybox.image(l.busybox.binary)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(probeImage)
	if err != nil {
		return err
	}
	archive := filepath.Join(dir, "probe.tar")
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		return err
	}
	err = command.Run(ctx, command.Cmd{Name: "podman", Env: env, Args: []string{"load", "--quiet", "--input", archive}})
	return errors.Join(err, os.Remove(archive))
}
