package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"neuron-kmod/internal/platform/command"
)

// podmanStorage is a storage for podman in a directory of ours.
type podmanStorage struct {
	conf  string // storage.conf
	graph string // images and containers
	run   string // what a reboot may forget; outside of the directory, because podman wants its path short
}

// newPodmanStorage describes the storage in dir to podman, which makes it when it first needs it. Podman finds the
// images and layers of the storages in shared as well, and does not change them.
func newPodmanStorage(dir string, shared ...string) (*podmanStorage, error) {
	sum := sha256.Sum256([]byte(dir))
	s := &podmanStorage{
		conf:  filepath.Join(dir, "storage.conf"),
		graph: filepath.Join(dir, "storage"),
		run:   filepath.Join(os.TempDir(), fmt.Sprintf("neuron-kmod-lab-%d-%s", os.Getuid(), hex.EncodeToString(sum[:4]))),
	}
	text := fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %s\nrunroot = %s\n", strconv.Quote(s.graph),
		strconv.Quote(s.run))
	if len(shared) > 0 {
		quoted := make([]string, len(shared))
		for i, graph := range shared {
			quoted[i] = strconv.Quote(graph)
		}
		text += "[storage.options]\nadditionalimagestores = [" + strings.Join(quoted, ", ") + "]\n"
	}
	return s, renameio.WriteFile(s.conf, []byte(text), 0o644)
}

// vars lead podman to the storage.
func (s *podmanStorage) vars() []string { return []string{"CONTAINERS_STORAGE_CONF=" + s.conf} }

// detach leaves of the storage what others can share, images and layers, at whatever path it will have.
func (s *podmanStorage) detach(ctx context.Context) error {
	return errors.Join(s.unmount(ctx), os.RemoveAll(s.run), os.Remove(s.conf),
		os.RemoveAll(filepath.Join(s.graph, "libpod")))
}

// storageRemoval bounds the removal, which goes on after an interruption.
const storageRemoval = 2 * time.Minute

// remove ends the containers and removes everything, also when ctx is done. Podman takes part: its storage holds
// mounts, and without root it holds files of other user ids.
func (s *podmanStorage) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageRemoval)
	defer cancel()
	if exists(s.graph) {
		run := func(name string, args ...string) error {
			return command.Run(ctx, command.Cmd{Name: name, Args: args, Env: s.vars()})
		}
		if err := run("podman", "rm", "--all", "--force", "--time=0"); err != nil {
			return err
		}
		if os.Getuid() != 0 {
			if err := run("podman", "unshare", "rm", "-rf", s.graph); err != nil {
				return err
			}
		} else if err := s.unmount(ctx); err != nil {
			return err
		}
	}
	return errors.Join(removeAll(s.graph), os.RemoveAll(s.run), os.RemoveAll(s.conf))
}

// unmount ends what is mounted below the storage's directory. Podman that runs as root mounts a directory there on
// itself and leaves it so; on a busy machine it leaves at times what it has tried the kernel with.
func (s *podmanStorage) unmount(ctx context.Context) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	var below []string
	for line := range strings.Lines(string(mounts)) {
		// The fifth field is the mount point: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], s.graph+"/") {
			below = append(below, f[4])
		}
	}
	var errs []error
	for _, path := range slices.Backward(below) { // the last one mounted may be in an earlier one
		errs = append(errs, command.Run(ctx, command.Cmd{Name: "umount", Args: []string{"--lazy", path}}))
	}
	return errors.Join(errs...)
}

// Podman makes a storage in dir, which has to exist, and returns the variables that lead podman to it, with the
// containers.conf that this machine may need. remove ends its containers and removes it, also when ctx is done.
func (l *Lab) Podman(ctx context.Context, dir string) (vars []string, remove func() error, err error) {
	storage, err := newPodmanStorage(dir)
	if err != nil {
		return nil, nil, err
	}
	return l.engine.env(storage.conf), func() error { return storage.remove(ctx) }, nil
}
