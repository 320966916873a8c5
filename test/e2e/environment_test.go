//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"neuron-kmod/test/lab"
	"neuron-kmod/test/lab/fakeaws"
)

// cloud is an environment with AWS, GitHub's identities and Quay, in which the driver compiles quickly. The program
// finds all of it under the real names, without a flag.
func cloud(t *testing.T, o lab.CloudOptions, releases ...lab.Release) *lab.Env {
	t.Helper()
	env := start(t, lab.Options{
		Cloud: &o, SharedStorage: residents(t), Releases: releases,
		Matrix: []lab.MatrixEntry{{Driver: driver, OCPVersions: []string{"4.20"}}},
	})
	quickDriver(t, env)
	return env
}

// in is env with the variables of one kind of machine.
func in(env *lab.Env, vars []string, more ...string) *lab.Env {
	e := *env
	e.Vars = append(slices.Clone(vars), more...)
	return &e
}

// cloudArgs are the arguments of `build all` that an environment without GitHub needs: everything else is found.
func cloudArgs(env *lab.Env, more ...string) []string {
	return append(
		[]string{"build", "all", "-o", "json", "--matrix", env.Matrix, "--catalog", env.Catalog, "--no-release"}, more...)
}

// watchCloud looks for every secret that env holds or issues while a run goes on.
func watchCloud(t *testing.T, env *lab.Env) *secretWatch {
	t.Helper()
	return watchSecrets(t, func() [][]byte {
		var secrets [][]byte
		for _, s := range env.Secrets() {
			secrets = append(secrets, []byte(s))
		}
		return secrets
	}, tempDir(env))
}

// expectSecret checks a run that is over: no secret is in its output or in a file that it leaves.
func (w *secretWatch) expectSecret(r result, dirs ...string) {
	w.t.Helper()
	w.stop()
	for name, text := range map[string]string{"stdout": r.stdout, "stderr": r.stderr} {
		if w.holds([]byte(text)) {
			w.t.Errorf("a secret is in %s:\n%s", name, text)
		}
	}
	if !w.sawAuthFile {
		w.t.Error("the file for the engine was never seen: this test shows nothing")
	}
	w.expectNone(dirs...)
}

// expectOnly fails if something else was asked for than what the environment has.
func expectOnly(t *testing.T, env *lab.Env) {
	t.Helper()
	if refused := env.Internet.Refused(); len(refused) > 0 {
		t.Errorf("asked for %q", refused)
	}
}

// In GitHub Actions the job's identity gets a role, the role a token for ECR Public, Quay's account the Driver Toolkit.
// All of them end before the run does, which goes on with new ones.
// R1.1, R1.3, R6.1, R10.2
func TestActions(t *testing.T) {
	t.Parallel()
	lives := fakeaws.Lifetimes{ECRToken: 8 * time.Second, Role: 8 * time.Second, BearerToken: 4 * time.Second}
	env := cloud(
		t, lab.CloudOptions{Lifetimes: lives, Proxy: &lab.Account{User: "me", Password: "proxy-password"}}, unknown(),
	)
	actions := in(env, env.ActionsVars())
	before := images(t, actions)
	w := watchCloud(t, env)

	t.Run("terminated", func(t *testing.T) {
		g := newGate()
		t.Cleanup(g.open)
		env.ToolkitFaults.Set(g.fault(http.MethodGet, regexp.MustCompile(toolkitPath.String()+"blobs/")))
		p := launchProgram(t, actions, cloudArgs(env, "-v")...)
		p.await("the pull", g.reached)
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		expect(t, p.result(), 143)
		expectClean(t, actions, before)
		env.ToolkitFaults.Set()
	})
	// The Driver Toolkit arrives when every token is over that there was when the run began.
	g := newGate()
	env.ToolkitFaults.Set(g.fault(http.MethodGet, regexp.MustCompile(toolkitPath.String()+"blobs/")))
	p := launchProgram(t, actions, cloudArgs(env, "-v")...)
	p.await("the pull", g.reached)
	tokens, roles := env.Cloud.Count("ecr-public:GetAuthorizationToken"), env.Cloud.Count("sts:AssumeRoleWithWebIdentity")
	time.AfterFunc(lives.ECRToken, g.open)
	r := p.result()
	expect(t, r, 0)
	expectState(t, r, "built")
	if len(r.masks) == 0 {
		t.Error("nothing is masked")
	}
	w.expectSecret(r, filepath.Join(env.Dir, "cache"), tempDir(env))
	expectPublished(t, env, r, lab.PublicRepository, env.PublicTarget)
	expectStep(t, w, env, r)
	if n := env.Cloud.Count("ecr-public:GetAuthorizationToken"); n <= tokens {
		t.Errorf("%d tokens for the registry before the pull, %d in all", tokens, n)
	}
	if n := env.Cloud.Count("sts:AssumeRoleWithWebIdentity"); n <= roles || env.Cloud.Count("actions:GetIDToken") < n {
		t.Errorf(
			"the role was assumed %d times before the pull, %d in all, with %d identity tokens", roles, n,
			env.Cloud.Count("actions:GetIDToken"),
		)
	}
	expectFirst(t, env)
	expectClean(t, actions, before)
	expectOnly(t, env)
}

// expectStep checks what the step of GitHub Actions shows: the kernel's log lines as a group, a summary, outputs.
// R8.3
func expectStep(t *testing.T, w *secretWatch, env *lab.Env, r result) {
	t.Helper()
	b := r.report.Builds[0]
	_, group, _ := strings.Cut(r.stderr, "::group::"+b.Kernel+": 1 built\n")
	group, _, ended := strings.Cut(group, "::endgroup::")
	for _, line := range []string{"the Driver Toolkit is here", "compiled the module", "published the image"} {
		if !ended || !strings.Contains(group, line) {
			t.Errorf("the kernel's group has no %q:\n%s", line, r.stderr)
		}
	}
	for file, want := range map[string]string{
		"step-summary.md": "| ✅ built | " + driver + " |", "step-output": "[\"" + b.Tag + "\"]",
	} {
		text, err := os.ReadFile(filepath.Join(env.Dir, file))
		if err != nil || !strings.Contains(string(text), want) || w.holds(text) {
			t.Errorf("%s: %v, want %q in\n%s", file, err, want, text)
		}
	}
}

// expectPublished checks that a repository has the one image of a run's report, and that the report names it there.
func expectPublished(t *testing.T, env *lab.Env, r result, repository, target string) {
	t.Helper()
	tags, err := env.Tags(t.Context(), repository)
	if err != nil || len(r.report.Builds) != 1 {
		t.Fatalf("tags %q, %v; report %+v", tags, err, r.report)
	}
	if b := r.report.Builds[0]; !slices.Equal(tags, []string{b.Tag}) || b.Image != target+":"+b.Tag ||
		!strings.HasPrefix(b.Tag, driver+"-") {
		t.Errorf("tags %q, reported %+v", tags, b)
	}
}

// expectFirst checks that AWS was asked whose the credentials are before they were used for anything else.
func expectFirst(t *testing.T, env *lab.Env) {
	t.Helper()
	for _, call := range env.Cloud.Calls() {
		switch call.Action {
		case "actions:GetIDToken", "sts:AssumeRoleWithWebIdentity":
		case "sts:GetCallerIdentity":
			return
		default:
			t.Errorf("%s was asked before sts:GetCallerIdentity", call.Action)
			return
		}
	}
	t.Error("sts:GetCallerIdentity was not asked")
}

// On an engineer's machine the profile gets a token for private ECR, and the Driver Toolkit comes from the mirror
// there: nothing of quay.io is needed. A second run builds nothing.
// R1.1, R1.3, R6.1, R10.2
func TestLocal(t *testing.T) {
	t.Parallel()
	release := unknown()
	env := cloud(t, lab.CloudOptions{}, release)
	if err := env.MirrorToolkit(t.Context(), release); err != nil {
		t.Fatal(err)
	}
	local := in(env, env.LocalVars())
	before := images(t, local)
	w := watchCloud(t, env)
	r := launchProgram(t, local, cloudArgs(env, "-v")...).result()
	expect(t, r, 0)
	expectState(t, r, "built")
	w.expectSecret(r, filepath.Join(env.Dir, "cache"), tempDir(env))
	if n := env.Internet.Asked("quay.io"); n != 0 {
		t.Errorf("quay.io was asked %d times", n)
	}
	expectPublished(t, env, r, lab.KmodRepository, env.PrivateTarget)
	expectFirst(t, env)
	expectClean(t, local, before)
	expectOnly(t, env)

	again := run(t, local, cloudArgs(env)...)
	expect(t, again, 0)
	expectState(t, again, "published")
}
