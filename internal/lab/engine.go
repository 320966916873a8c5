package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/renameio/v2"

	"neuron-kmod/internal/command"
	"neuron-kmod/internal/hint"
)

// engineSettings are what podman needs on this machine, as environment variables: a storage of the lab's
// own, so that tests never touch a person's images, and a containers.conf where containers do not run
// without. The product has no part in this; it honours the variables because podman does.
type engineSettings struct {
	Env []string
}

// workaround is for virtual machines where crun cannot set up cgroups and raising rlimits is not permitted.
const workaround = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "host"
[engine]
runtime = "runc"
`

const probeImage = "localhost/neuron-kmod-lab-probe:1"

// probeEngine finds out, once for a lab and a version of podman, whether containers run as podman is
// set up, else with the workaround.
func (l *Lab) probeEngine(ctx context.Context) (*engineSettings, error) {
	version, err := command.Output(ctx, command.Cmd{Name: "podman", Args: []string{"--version"}})
	if err != nil {
		return nil, hint.Wrap(err, "scripts/setup.sh installs podman")
	}
	storage, err := l.storageConf()
	if err != nil {
		return nil, err
	}
	env := []string{"CONTAINERS_STORAGE_CONF=" + storage}
	recipe := fmt.Sprintf("engine 1 %s %d %s", version, os.Getuid(), workaround)
	dir, err := l.store.make(ctx, "engine", recipe, func(ctx context.Context, dir string) error {
		return l.probe(ctx, dir, env)
	})
	if err != nil {
		return nil, err
	}
	if conf := filepath.Join(dir, containersConf); exists(conf) {
		env = append(env, "CONTAINERS_CONF="+conf)
	}
	return &engineSettings{Env: env}, nil
}

const containersConf = "containers.conf"

// probe leaves a containers.conf in dir if containers run with it only.
func (l *Lab) probe(ctx context.Context, dir string, env []string) error {
	if err := l.loadProbe(ctx, dir, env); err != nil {
		return err
	}
	run := func(env []string) error {
		return command.Run(ctx, command.Cmd{Name: "podman", Env: env, Args: []string{
			"run", "--rm", "--network=none", "--pull=never", "--cap-drop=all", "--security-opt=no-new-privileges", probeImage, "true",
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
		return hint.Wrap(errors.Join(plain, err), "podman cannot run containers here: `podman run --rm IMAGE true` has to work first")
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

// storageConf writes the storage.conf of the lab's podman. The run root is outside of the lab: podman wants
// its path short and expects that a reboot empties it.
func (l *Lab) storageConf() (string, error) {
	graph := filepath.Join(l.Dir, "storage")
	conf := fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %s\nrunroot = %s\n",
		strconv.Quote(graph), strconv.Quote(l.runRoot()))
	path := filepath.Join(l.Dir, "storage.conf")
	if old, err := os.ReadFile(path); err == nil && string(old) == conf {
		return path, nil
	}
	return path, renameio.WriteFile(path, []byte(conf), 0o644)
}

func (l *Lab) runRoot() string {
	sum := sha256.Sum256([]byte(l.Dir))
	return filepath.Join(os.TempDir(), fmt.Sprintf("neuron-kmod-lab-%d-%s", os.Getuid(), hex.EncodeToString(sum[:4])))
}
