//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"neuron-kmod/test/lab"
)

// program is the binary under test, compiled with the race detector; sharedLab
// is what all tests build on. TestMain sets both before any test runs.
var (
	program   string
	sharedLab *lab.Lab
)

func TestMain(m *testing.M) {
	code, err := setUp(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func setUp(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program = filepath.Join(dir, "neuron-kmod")
	build := exec.Command("go", "build", "-o", program, "../../cmd/neuron-kmod")
	if os.Getenv("E2E_RACE") != "0" { // the benchmarks measure the program as it is shipped
		build.Args = append(build.Args[:2:2], append([]string{"-race"}, build.Args[2:]...)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("compile the program: %w\n%s", err, out)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	sharedLab, err = lab.Open(context.Background(), cmp.Or(os.Getenv("LAB_DIR"), "../../.lab"), log)
	if err != nil {
		return 1, fmt.Errorf("open the lab: %w", err)
	}
	return m.Run(), nil
}

// residents returns a storage with Driver Toolkits, for lab.Options.SharedStorage.
func residents(t testing.TB) string {
	t.Helper()
	storage, err := sharedLab.Residents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return storage
}

// start brings an environment up for one test, in a directory of its own.
func start(t testing.TB, o lab.Options) *lab.Env {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	env, err := sharedLab.Start(context.WithoutCancel(t.Context()), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	})
	return env
}

// report is the JSON that plan and build print.
type report struct {
	Drivers    []string `json:"driver_versions"`
	Builds     []built  `json:"builds"`
	Unresolved []struct {
		Release, Toolkit, Reason string
	} `json:"unresolved"`
}

type built struct {
	Driver, Kernel, Tag, Image, State string
	Releases, Toolkits                []string
	Digest                            string
	Size                              int64
	Seconds                           float64
	Error                             string
}

func (r report) count(state string) int {
	n := 0
	for _, b := range r.Builds {
		if b.State == state {
			n++
		}
	}
	return n
}

// result is one run of the program.
type result struct {
	code           int
	stdout, stderr string
	masks          []string // what GitHub's runner is told to hide; it hides those lines of stderr, which are not in there
	report         report   // of -o json
}

// masked separates the lines that GitHub's runner hides.
func masked(log string) (masks []string, shown string) {
	var rest []string
	for line := range strings.SplitSeq(log, "\n") {
		if secret, ok := strings.CutPrefix(line, "::add-mask::"); ok {
			masks = append(masks, secret)
		} else {
			rest = append(rest, line)
		}
	}
	return masks, strings.Join(rest, "\n")
}

// run runs the program to its end and parses its report.
func run(t testing.TB, env *lab.Env, args ...string) result {
	t.Helper()
	cmd, stdout, stderr := command(t, env, args...)
	err := cmd.Run()
	return finish(t, cmd, err, stdout, stderr)
}

// tempDir is where the program under test makes its temporary files.
func tempDir(env *lab.Env) string { return filepath.Join(env.Dir, "tmp") }

// command is the program with the environment of env, plus what a test adds.
func command(t testing.TB, env *lab.Env, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	return commandOf(t, program, env, args...)
}

// commandOf is the same with another program.
func commandOf(t testing.TB, program string, env *lab.Env, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(program, args...)
	temp := tempDir(env)
	if err := os.MkdirAll(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(append(os.Environ(), "TMPDIR="+temp), env.Vars...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return cmd, &stdout, &stderr
}

func finish(t testing.TB, cmd *exec.Cmd, err error, stdout, stderr *bytes.Buffer) result {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String()}
	r.masks, r.stderr = masked(stderr.String())
	if strings.HasPrefix(r.stdout, "{") {
		if err := json.Unmarshal(stdout.Bytes(), &r.report); err != nil {
			t.Fatalf("the report is not JSON: %v\n%s", err, r.stdout)
		}
	}
	if strings.Contains(r.stderr, "DATA RACE") {
		t.Errorf("data race:\n%s", r.stderr)
	}
	return r
}

// build runs `build all` with a JSON report.
func build(t testing.TB, env *lab.Env, more ...string) result {
	t.Helper()
	return run(t, env, buildArgs(env, more...)...)
}

func buildArgs(env *lab.Env, more ...string) []string {
	args := append([]string{"build", "all", "-o", "json"}, env.BuildFlags()...)
	return append(args, more...)
}

// mustBuild runs a build that has to succeed in full.
func mustBuild(t testing.TB, env *lab.Env, more ...string) result {
	t.Helper()
	r := build(t, env, more...)
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	return r
}

// podman runs the real podman with the storage of the lab and returns its output's fields.
func podman(t testing.TB, env *lab.Env, args ...string) []string {
	t.Helper()
	return strings.Fields(tool(t, env, "podman", args...))
}

// tool runs a program of the system and returns its stdout.
func tool(t testing.TB, env *lab.Env, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env.Vars...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// leftovers lists what a run may not leave: containers, images that were not
// there before, and directories.
func leftovers(t testing.TB, env *lab.Env, imagesBefore []string) []string {
	t.Helper()
	var left []string
	for _, id := range podman(t, env, "ps", "--all", "--quiet") {
		left = append(left, "container "+id)
	}
	before := map[string]bool{}
	for _, id := range imagesBefore {
		before[id] = true
	}
	for _, id := range images(t, env) {
		if !before[id] {
			left = append(left, "image "+id)
		}
	}
	dirs, err := os.ReadDir(tempDir(env))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range dirs {
		left = append(left, "directory "+f.Name())
	}
	return left
}

// images lists the IDs of all images, also those without a name.
func images(t testing.TB, env *lab.Env) []string {
	t.Helper()
	return podman(t, env, "images", "--all", "--quiet", "--no-trunc")
}

// expectClean fails the test if the run has left anything.
func expectClean(t testing.TB, env *lab.Env, imagesBefore []string) {
	t.Helper()
	if left := leftovers(t, env, imagesBefore); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, "; "))
	}
}
