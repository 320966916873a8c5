package lab

import (
	"context"
	"errors"
	"path/filepath"
)

// Clean removes a lab's directory with the environments in it, podman's storages included.
func Clean(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	confs, err := filepath.Glob(filepath.Join(dir, "*", "storage.conf"))
	if err != nil {
		return err
	}
	var errs []error
	for _, conf := range confs {
		storage, err := newPodmanStorage(filepath.Dir(conf))
		if err == nil {
			err = storage.remove(ctx)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return removeAll(dir)
}
