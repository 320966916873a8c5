package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/filelock"
	"neuron-kmod/internal/platform/limit"
)

// Lease is an image that stays until it is released. Each user of an image, in this process or another of the same
// user, holds a shared lock on the image's marker file; the marker remembers whether we have pulled the image. The last
// one to leave removes what we pulled. A user that was killed leaves by itself, because the kernel frees its lock;
// Sweep then does what is left to do.
type Lease struct {
	cli   *CLI
	image string
	lock  *filelock.Lock // nil after Release
}

// marker is the content of a marker file. An empty or unreadable one counts as not pulled: rather leave an image of
// ours than remove one of somebody else.
type marker struct {
	Engine string `json:"engine"`
	Image  string `json:"image"`
	Pulled bool   `json:"pulled"`
}

// Acquire makes image available, pulling it if it is absent, and keeps it until the lease is released. While it pulls,
// it calls progress, which may be nil, from another goroutine with how many layers have arrived of those the engine has
// named. It blocks for as long as the pull takes. An image that could not be pulled, while another might, is a
// *PullError.
func (c *CLI) Acquire(ctx context.Context, image string, progress func(done, total int64)) (*Lease, error) {
	ref, err := parseReference(image)
	if err != nil {
		return nil, err
	}
	dir, err := c.markers()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(c.store.engineName() + "\n" + image))
	lock, err := filelock.Shared(ctx, filepath.Join(dir, hex.EncodeToString(sum[:])))
	if err != nil {
		return nil, fmt.Errorf("lease %s: %w", image, err)
	}
	lease := &Lease{cli: c, image: image, lock: lock}
	if err := c.ensure(ctx, ref, lock.Path(), progress); err != nil {
		// What a failed pull has left in the store goes too, if nobody else wants it.
		return nil, errors.Join(err, lease.Release(context.WithoutCancel(ctx)))
	}
	return lease, nil
}

// ensure pulls the image if it is absent. That we pull it is written down first: a run that is killed in between must
// not leave an image that nobody knows of.
func (c *CLI) ensure(ctx context.Context, image reference, markerPath string, progress func(done, total int64)) error {
	there, err := c.store.exists(ctx, image.text)
	if failed, ok := errors.AsType[*command.Error](err); ok && strings.Contains(failed.Stderr, "may be corrupted") {
		// Podman has the image's record without its manifest: another run's pull is about to write that, or was killed
		// before it could. A pull makes it whole.
		there, err = false, nil
	}
	if err != nil || there {
		return err
	}
	ours := marker{Engine: c.store.engineName(), Image: image.text, Pulled: true}
	if readMarker(markerPath) != ours {
		if err := writeMarker(markerPath, ours); err != nil {
			return err
		}
	}
	return c.pull(ctx, image, progress)
}

// Image is the reference that the lease holds.
func (l *Lease) Image() string { return l.image }

// Release gives the image up, and removes it if we pulled it and nobody else of ours uses it. An image that cannot be
// removed, for instance because a container of somebody else uses it, is an error and is tried again by the next Sweep.
// Releasing twice does no harm.
func (l *Lease) Release(ctx context.Context) error {
	if l.lock == nil {
		return nil
	}
	lock := l.lock
	l.lock = nil
	last, err := lock.TryUpgrade()
	if err != nil || !last {
		return errors.Join(err, lock.Close())
	}
	return l.cli.retire(ctx, lock)
}

// retire removes the image of an exclusively locked marker, if we pulled it, and then the marker.
func (c *CLI) retire(ctx context.Context, lock *filelock.Lock) error {
	m := readMarker(lock.Path())
	if m.Pulled && m.Engine != c.store.engineName() {
		return lock.Close() // another engine's store: its own Sweep sees to it
	}
	if m.Pulled {
		if err := c.store.removeImage(ctx, m.Image); err != nil {
			return errors.Join(err, lock.Close())
		}
	}
	return lock.Remove()
}

// removeImage takes an image's name away, and the image with it if it has no other. One that is not there is no error.
func (s *store) removeImage(ctx context.Context, image string) error {
	if _, err := parseReference(image); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cleanupTime)
	defer cancel()
	err := command.Run(ctx, s.command("image", "rm", image))
	if err == nil {
		return nil
	}
	if there, existsErr := s.exists(ctx, image); existsErr == nil && !there {
		return nil
	}
	return fmt.Errorf("remove image %s: %w", image, err)
}

// exists reports whether the engine's store holds image.
func (s *store) exists(ctx context.Context, image string) (bool, error) {
	err := command.Run(ctx, s.command(s.dialect.exists(image)...))
	if err == nil {
		return true, nil
	}
	failed, ok := errors.AsType[*command.Error](err)
	if ok && failed.ExitCode == 1 && ctx.Err() == nil {
		said := strings.ToLower(failed.Stderr)
		if said == "" || strings.Contains(said, "no such") {
			return false, nil
		}
	}
	return false, fmt.Errorf("look for image %s: %w", image, err)
}

// engineName is which engine's store a marker speaks of.
func (s *store) engineName() string { return filepath.Base(s.program) }

// markers is the directory of the marker files.
func (c *CLI) markers() (string, error) {
	dir := filepath.Join(c.opts.StateDir, "images")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the directory of image markers: %w", err)
	}
	return dir, nil
}

// writeMarker writes in place: the lock is on this very file. All who write to it write the same.
func writeMarker(path string, m marker) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write image marker: %w", err)
	}
	return nil
}

// maxMarker is far above what a reference needs.
const maxMarker = 4 << 10

func readMarker(path string) marker {
	data, err := limit.ReadFile(path, maxMarker)
	var m marker
	if err != nil || json.Unmarshal(data, &m) != nil {
		return marker{}
	}
	return m
}
