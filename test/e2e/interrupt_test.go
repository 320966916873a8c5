//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"neuron-kmod/test/lab"
)

// stage is where a run is when a signal meets it.
type stage struct {
	name    string
	planned bool // the plan is made, so that the run reports on its builds
	// hold makes the next run reach the gate in this stage and stay there. It returns the run's further flags.
	hold func(t *testing.T, env *lab.Env, g *gate) []string
}

var stages = []stage{
	{"reading kernels", false, func(t *testing.T, env *lab.Env, g *gate) []string {
		if err := env.WriteCatalog(t.Context(), []lab.Release{unknown()}); err != nil {
			t.Fatal(err)
		}
		env.ToolkitFaults.Set(g.fault(http.MethodGet, toolkitPath))
		return nil
	}},
	{"downloading the source", true, func(_ *testing.T, env *lab.Env, g *gate) []string {
		env.Downloads.Faults.Set(g.fault(http.MethodGet, nil))
		return nil
	}},
	{"pulling", true, func(_ *testing.T, env *lab.Env, g *gate) []string {
		env.ToolkitFaults.Set(g.fault(http.MethodGet, regexp.MustCompile(toolkitPath.String()+"blobs/")))
		return nil
	}},
	{"compiling", true, func(t *testing.T, env *lab.Env, g *gate) []string {
		go g.watch(func() bool { return len(runContainers(t, env)) > 0 })
		return []string{"--container-dir", containerDir(t, "exec sleep 600\n")}
	}},
	{"publishing", true, func(_ *testing.T, env *lab.Env, g *gate) []string {
		upload := g.fault(http.MethodPost, regexp.MustCompile(`/blobs/uploads/`))
		upload.Skip = 1 // the first one only asks whether images are taken
		env.TargetFaults.Set(upload)
		return nil
	}},
}

// watch passes the gate's mark when there is true. It ends with the gate.
func (g *gate) watch(there func() bool) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if there() {
			g.reach()
			return
		}
		select {
		case <-tick.C:
		case <-g.opened:
			return
		}
	}
}

// runContainers lists the running containers of the program.
func runContainers(t *testing.T, env *lab.Env) []string {
	return podman(t, env, "ps", "--quiet", "--filter", "label=neuron-kmod.run")
}

// A signal in any stage ends the run with the exit code of that signal; it removes all that is its own and
// reports the builds it did not come to. The next run completes.
// R8.1, R8.2
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for i, s := range stages {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			signal, code := syscall.SIGTERM, 143
			if i%2 == 1 {
				signal, code = syscall.SIGINT, 130
			}
			env := scenario(t, known())
			toRegistry(t, env)
			before := images(t, env)
			p := runInto(t, env, s)
			// To the whole group, as a terminal does for Ctrl-C.
			if err := syscall.Kill(-p.cmd.Process.Pid, signal); err != nil {
				t.Fatal(err)
			}
			r := p.result()
			expect(t, r, code)
			if s.planned {
				expectState(t, r, "skipped", map[int]string{130: "SIGINT", 143: "SIGTERM"}[code])
			}
			if code == 130 && !strings.Contains(r.stderr, "SIGINT") || code == 143 && !strings.Contains(r.stderr, "SIGTERM") {
				t.Errorf("stderr does not tell of the signal:\n%s", r.stderr)
			}
			expectClean(t, env, before)
			expectTags(t, env)
			completes(t, env, before)
		})
	}
}

// After a SIGKILL in any stage the next run completes, and removes what was left: directories, containers, images.
// R8.2
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, s := range stages {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			env := scenario(t, known())
			toRegistry(t, env)
			before := images(t, env)
			p := runInto(t, env, s)
			if err := p.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			if s.planned {
				if left := leftovers(t, env, before); len(left) == 0 {
					t.Error("the killed run has left nothing: this test shows nothing")
				}
			}
			completes(t, env, before)
		})
	}
}

// A run that is killed when its last image is published has left a Driver Toolkit and its directory. The next one has
// nothing to build, and removes them all the same.
// R8.2
func TestKilledAfterPublishing(t *testing.T) {
	t.Parallel()
	env := scenario(t, known())
	toRegistry(t, env)
	before := images(t, env)
	var pushed atomic.Bool
	p := runInto(t, env, stage{"published", true, func(_ *testing.T, env *lab.Env, g *gate) []string {
		manifest := regexp.MustCompile(`/manifests/2`)
		gate := g.fault(http.MethodHead, manifest)
		hold := gate.Wait
		gate.Wait = func(ctx context.Context) {
			if pushed.Load() { // this is the tag being read back
				hold(ctx)
			}
		}
		put := lab.Fault{Method: http.MethodPut, Path: manifest, Wait: func(context.Context) { pushed.Store(true) }}
		env.TargetFaults.Set(gate, put)
		return nil
	}})
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if left := leftovers(t, env, before); len(left) == 0 {
		t.Error("the killed run has left nothing: this test shows nothing")
	}
	r := build(t, env)
	expect(t, r, 0)
	expectState(t, r, "published")
	expectClean(t, env, before)
}

// runInto starts a run, waits until it is in the stage, and takes away what holds it there only when the run has
// got its signal: the stage's servers answer no more requests of it.
func runInto(t *testing.T, env *lab.Env, s stage) *process {
	t.Helper()
	g := newGate()
	t.Cleanup(func() { g.open() })
	p := launch(t, env, s.hold(t, env, g)...)
	p.await(s.name, g.reached)
	env.ToolkitFaults.Set()
	env.TargetFaults.Set()
	env.Downloads.Faults.Set()
	return p
}

// completes runs the program again, without anything that holds it, and checks that it does the work and leaves
// nothing.
func completes(t *testing.T, env *lab.Env, before []string) {
	t.Helper()
	r := build(t, env)
	expect(t, r, 0)
	expectState(t, r, "built")
	expectTags(t, env, r.report.Builds[0].Tag)
	expectClean(t, env, before)
	expectNoState(t, env)
}

// Without podman the program says how to get it, before it pulls or writes anything.
// R1.2, R8.1
func TestPodmanMissing(t *testing.T) {
	t.Parallel()
	env := scenario(t, known())
	env.Vars = append(env.Vars, "PATH="+t.TempDir())
	env.ToolkitFaults.Reset()
	r := build(t, env)
	expect(t, r, 4, `"podman": executable file not found`, "hint: install podman")
	if n := env.ToolkitFaults.Total().Requests; n != 0 {
		t.Errorf("the registry was asked %d times", n)
	}
	expectNothingPublished(t, env)
	if left, err := os.ReadDir(tempDir(env)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
}
