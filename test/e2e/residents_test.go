//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"testing"

	"neuron-kmod/test/lab"
)

// warm is an environment whose storage the other ones share: it has a Driver Toolkit for most of the demo's kernels. They
// are no release's, so that the program pulls those of the releases, all but the layers.
var warm struct {
	env *lab.Env
	dir string
}

// residents returns the shared storage. A test to which it matters how a Driver Toolkit is pulled goes without it, or takes
// the kernel that is not in there: lab.Cloud.
func residents(t testing.TB) string {
	t.Helper()
	if warm.env != nil {
		return warm.env.Storage
	}
	dir, err := os.MkdirTemp("", "residents")
	if err != nil {
		t.Fatal(err)
	}
	env, err := sharedLab.Start(context.WithoutCancel(t.Context()), lab.Options{Dir: dir})
	if err != nil {
		t.Fatal(errors.Join(err, os.RemoveAll(dir)))
	}
	warm.env, warm.dir = env, dir
	for _, kernel := range sharedLab.DemoKernels() {
		if kernel == sharedLab.DebianKernel(lab.Cloud) {
			continue
		}
		dtk, err := env.PushToolkit(t.Context(), lab.Toolkit{Kernel: kernel, Release: "resident"})
		if err != nil {
			t.Fatal(err)
		}
		podman(t, env, "pull", "--quiet", "--authfile", env.AuthFile, dtk)
	}
	return env.Storage
}

// closeWarm ends that environment, after those that share it; TestMain calls it.
func closeWarm() error {
	if warm.env == nil {
		return nil
	}
	return errors.Join(warm.env.Close(), os.RemoveAll(warm.dir))
}
