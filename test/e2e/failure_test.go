//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"neuron-kmod/container"
	"neuron-kmod/internal/version"
	"neuron-kmod/test/lab"
)

// patience bounds every wait for something that has to happen.
const patience = 2 * time.Minute

// toolkitPath is any request for a Driver Toolkit; the base image is in the same registry.
var toolkitPath = regexp.MustCompile(`/` + lab.ToolkitRepository + `/`)

// scenario is an environment for one driver, quick to compile, whose target is an empty directory. Its podman has the
// residents' layers: a pull for one of their kernels takes a moment.
func scenario(t *testing.T, releases ...lab.Release) *lab.Env {
	t.Helper()
	env := start(t, lab.Options{
		SharedStorage: residents(t), Faults: true, Releases: releases,
		Matrix: []lab.MatrixEntry{{Driver: driver, OCPVersions: []string{"4.20"}}},
	})
	quickDriver(t, env)
	env.Target = "oci:" + filepath.Join(env.Dir, "images")
	return env
}

// driver is the one that a scenario builds; other is as quick to compile.
const (
	driver = "2.24.7.0"
	other  = "2.22.2.0"
)

// known is release 4.20.1 on the kernel of a resident; the catalogue has the kernel.
func known() lab.Release {
	return lab.Release{Version: "4.20.1", Toolkit: lab.Toolkit{Kernel: sharedLab.DebianKernel(lab.Plain)}, Known: true}
}

// unknown is the same without the kernel, so that the program has to find it out.
func unknown() lab.Release {
	r := known()
	r.Known = false
	return r
}

// quickDriver serves drivers that take no time to compile, with further edits. It still is the real job: the
// failures are not about what is compiled.
func quickDriver(t *testing.T, env *lab.Env, edits ...func(lab.Files)) {
	t.Helper()
	for _, version := range []string{driver, other} {
		spec := lab.RPMSpec{Version: driverVersion(t, version), Edit: func(f lab.Files) {
			f["Kbuild"] = []byte("obj-m += neuron.o\nneuron-objs := quick.o\n")
			f["quick.c"] = []byte("#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\nMODULE_VERSION(\"" + version + "\");\n")
			for _, edit := range edits {
				edit(f)
			}
		}}
		if err := lab.WriteDriver(env.Downloads.Dir, spec); err != nil {
			t.Fatal(err)
		}
	}
}

func driverVersion(t *testing.T, s string) version.Driver {
	t.Helper()
	v, err := version.ParseDriver(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// cacheDir is where the program keeps its state in a scenario.
func cacheDir(env *lab.Env) string {
	return filepath.Join(env.Dir, "cache", "neuron-kmod")
}

// toRegistry makes a repository of the target registry the target, one that no other test uses.
func toRegistry(t *testing.T, env *lab.Env) {
	env.Target = env.TargetHost + "/" + strings.ToLower(strings.ReplaceAll(t.Name(), "_", "-"))
}

// withPassword is env with another password for a registry, HOST:PORT or HOST:PORT/PATH.
func withPassword(t *testing.T, env *lab.Env, registry, password string) *lab.Env {
	t.Helper()
	var file struct {
		Auths map[string]map[string]string `json:"auths"`
	}
	data, err := os.ReadFile(env.AuthFile)
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	file.Auths[registry] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("somebody:" + password))}
	if data, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	e := *env
	e.AuthFile = filepath.Join(t.TempDir(), "auth.json")
	e.Vars = append(slices.Clip(env.Vars), "REGISTRY_AUTH_FILE="+e.AuthFile)
	if err := os.WriteFile(e.AuthFile, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return &e
}

// expect checks the exit code, and that the program said each of the texts, on stdout or stderr.
func expect(t *testing.T, r result, code int, said ...string) {
	t.Helper()
	all := r.stdout + r.stderr
	missing := slices.DeleteFunc(slices.Clone(said), func(s string) bool { return strings.Contains(all, s) })
	if r.code != code || len(missing) > 0 {
		t.Errorf("exit code %d, want %d; not said: %q\n%s%s", r.code, code, missing, r.stdout, r.stderr)
	}
}

// expectState checks the state of the report's only build and that its error has the texts.
func expectState(t *testing.T, r result, state string, said ...string) {
	t.Helper()
	if len(r.report.Builds) != 1 || r.report.Builds[0].State != state {
		t.Errorf("want one build that is %s:\n%s%s", state, r.stdout, r.stderr)
		return
	}
	for _, s := range said {
		if !strings.Contains(r.report.Builds[0].Error, s) {
			t.Errorf("the error does not say %q: %s", s, r.report.Builds[0].Error)
		}
	}
}

// struck adds to a fault that it counts how often it happened.
func struck(f lab.Fault) (lab.Fault, *atomic.Int32) {
	n := new(atomic.Int32)
	f.Wait = func(context.Context) { n.Add(1) }
	return f, n
}

// gate holds requests until it is opened or their client goes away.
type gate struct {
	reached, opened chan struct{}
	reach, open     func()
}

func newGate() *gate {
	g := &gate{reached: make(chan struct{}), opened: make(chan struct{})}
	g.reach = sync.OnceFunc(func() { close(g.reached) })
	g.open = sync.OnceFunc(func() { close(g.opened) })
	return g
}

// fault holds the requests with the method whose path matches.
func (g *gate) fault(method string, path *regexp.Regexp) lab.Fault {
	return lab.Fault{Method: method, Path: path, Wait: func(ctx context.Context) {
		g.reach()
		select {
		case <-g.opened:
		case <-ctx.Done():
		}
	}}
}

// process is a run of the program that has not ended.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr *bytes.Buffer
	ended          chan struct{}
	err            error // of Wait, once ended is closed
}

// launch starts `build all`, in a process group of its own as a shell does.
func launch(t *testing.T, env *lab.Env, more ...string) *process {
	t.Helper()
	return launchProgram(t, env, buildArgs(env, more...)...)
}

// launchProgram starts the program with these arguments alone.
func launchProgram(t *testing.T, env *lab.Env, args ...string) *process {
	t.Helper()
	p := &process{t: t, ended: make(chan struct{})}
	p.cmd, p.stdout, p.stderr = command(t, env, args...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() { // after a failed test
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// await waits until the run has come to a place.
func (p *process) await(place string, reached <-chan struct{}) {
	p.t.Helper()
	select {
	case <-reached:
	case <-p.ended:
		p.t.Fatalf("the run ended before it came to %s\n%s%s", place, p.stdout, p.stderr)
	case <-time.After(patience):
		p.t.Fatalf("the run did not come to %s", place)
	}
}

// result waits for the end.
func (p *process) result() result {
	p.t.Helper()
	return p.resultWithin(patience)
}

// resultWithin waits for the end of a run that has more to do than most.
func (p *process) resultWithin(limit time.Duration) result {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatal("the run does not end")
	}
	return finish(p.t, p.cmd, p.err, p.stdout, p.stderr)
}

// containerDir is the built-in container directory with another script instead of build-module.sh.
func containerDir(t *testing.T, script string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "container")
	if err := os.CopyFS(dir, container.Files); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "build-module.sh"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
