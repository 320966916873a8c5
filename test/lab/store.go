package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// store keeps what takes long to make: one directory for each thing, called NAME-KEY, where KEY is a hash of the
// recipe. A directory that is there is complete.
type store struct {
	dir string
	log *slog.Logger
}

// lockPoll is how often a lock that another process holds is tried again.
const lockPoll = 50 * time.Millisecond

// make returns the directory of a thing, after having it made by build if it is not there yet. build gets an empty
// directory to fill, and the name has one maker at a time in all processes. Directories of the same name that an older
// recipe left are removed.
func (s *store) make(
	ctx context.Context, name, recipe string, build func(ctx context.Context, dir string) error,
) (string, error) {
	sum := sha256.Sum256([]byte(recipe))
	path := filepath.Join(s.dir, name+"-"+hex.EncodeToString(sum[:6]))
	if exists(path) {
		return path, nil
	}
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(path) {
		return path, nil
	}
	temp := filepath.Join(s.dir, "making-"+name)
	if err := removeAll(temp); err != nil { // what an interrupted run left
		return "", err
	}
	if err := os.MkdirAll(temp, 0o755); err != nil {
		return "", err
	}
	start := time.Now()
	s.log.Info("making", "what", name)
	if err := build(ctx, temp); err != nil {
		return "", errors.Join(fmt.Errorf("make %s: %w", name, err), removeAll(temp))
	}
	if err := s.retire(name); err != nil {
		return "", err
	}
	if err := os.Rename(temp, path); err != nil {
		return "", err
	}
	s.log.Info("made", "what", name, "seconds", int(time.Since(start).Seconds()))
	return path, nil
}

// lock waits until no other process makes the thing called name.
func (s *store) lock(ctx context.Context, name string) (unlock func(), err error) {
	dir := filepath.Join(s.dir, "locks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(dir, name))
	if _, err := l.TryLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() {
		if err := l.Unlock(); err != nil {
			s.log.Warn("unlock", "name", name, "error", err)
		}
	}, nil
}

// retire removes a thing that an older recipe made.
func (s *store) retire(name string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		key, ok := strings.CutPrefix(e.Name(), name+"-")
		if ok && len(key) == 12 && isHex(key) {
			if err := removeAll(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// removeAll is os.RemoveAll for trees that hold directories without write permission.
func removeAll(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o755)
	})
	return errors.Join(err, os.RemoveAll(dir))
}
