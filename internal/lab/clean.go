package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"neuron-kmod/internal/command"
)

// Clean removes a lab's folder. Podman's storage in it may hold mounts, and without root it holds files of
// other user ids, so podman takes part.
func Clean(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	l := &Lab{Dir: dir}
	if storage := filepath.Join(dir, "storage"); exists(storage) {
		env := []string{"CONTAINERS_STORAGE_CONF=" + filepath.Join(dir, "storage.conf")}
		args := [][]string{{"rm", "--all", "--force", "--time=0"}}
		if os.Getuid() != 0 {
			args = append(args, []string{"unshare", "rm", "-rf", storage})
		}
		for _, a := range args {
			if err := command.Run(ctx, command.Cmd{Name: "podman", Args: a, Env: env}); err != nil {
				return err
			}
		}
	}
	return errors.Join(removeAll(l.runRoot()), removeAll(dir))
}
