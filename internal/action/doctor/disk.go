package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Driver Toolkit is at most about 2 GB as it is sent, and takes up to three times that in the engine's store while
// it arrives. Two of them are there at once: one in use, one arriving.
const (
	storedToolkit  = 6 << 30
	arrivingLayers = 2 << 30
)

// Store returns the check of the free disk where the engine keeps images.
func Store(dir string) Check {
	return room(Check{Group: "engine", Name: "room for images"}, dir, storedToolkit)
}

// Temporary returns the check of the free disk where layers are kept while they arrive.
func Temporary(dir string) Check {
	return room(Check{Group: "engine", Name: "room for downloads"}, dir, arrivingLayers)
}

// room fails c where dir has no room for one Driver Toolkit, and warns where it has none for two.
func room(c Check, dir string, one uint64) Check {
	if dir == "" {
		return c.Skip("the engine does not say where it keeps images")
	}
	free, err := free(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return c.Skip(dir + " is not on this machine, as in a podman machine: its disk cannot be seen from here")
	}
	if err != nil {
		return c.Fail(fmt.Errorf("free disk of %s: %w", dir, err))
	}
	c.State, c.Detail = OK, fmt.Sprintf("%d GB free in %s", free>>30, dir)
	switch {
	case free < one:
		c.State, c.Hint = Failed, fmt.Sprintf("one Driver Toolkit needs up to %d GB there: make room", one>>30)
	case free < 2*one:
		c.State, c.Hint = Warning, fmt.Sprintf("two Driver Toolkits need up to %d GB there", 2*one>>30)
	}
	return c
}

// free returns the bytes that this user may still write to the disk of dir, or of the nearest directory above that is
// there. A dir of which not even the first directory is there is fs.ErrNotExist.
func free(dir string) (uint64, error) {
	for at := dir; ; at = filepath.Dir(at) {
		var s unix.Statfs_t
		err := unix.Statfs(at, &s)
		if err == nil && at == filepath.Dir(at) && dir != at {
			return 0, fs.ErrNotExist
		}
		if err == nil {
			return uint64(s.Bavail) * uint64(s.Bsize), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			return 0, err
		}
	}
}
