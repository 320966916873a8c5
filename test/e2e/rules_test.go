//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"neuron-kmod/test/lab"
)

// otherRules compiles the program with another text in the rule class-show, as a later version might have.
func otherRules(t *testing.T) string {
	t.Helper()
	const before = "Replace: \"RHEL_RELEASE_CODE >= RHEL_RELEASE_VERSION(9, 4)\""
	const after = "Replace: \"RHEL_RELEASE_CODE >=  RHEL_RELEASE_VERSION(9, 4)\""
	rules, err := filepath.Abs("../../internal/kmod/driver/rules.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(rules)
	if err != nil || bytes.Count(text, []byte(before)) != 1 {
		t.Fatalf("rules.go has no %s (%v)", before, err)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "rules.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {rules: changed}})
	text = bytes.Replace(text, []byte(before), []byte(after), 1)
	if err := errors.Join(err, os.WriteFile(changed, text, 0o644), os.WriteFile(overlay, replace, 0o644)); err != nil {
		t.Fatal(err)
	}
	later := filepath.Join(dir, "neuron-kmod")
	build := exec.Command("go", "build", "-overlay", overlay, "-o", later, "../../cmd/neuron-kmod")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return later
}

// sourceTrees are the kernels of the trees in the release's archive, by the trees' names.
func sourceTrees(t *testing.T, env *lab.Env) map[string]string {
	t.Helper()
	data, err := env.Attachment(t.Context(), "neuron-driver-"+driver, "aws-neuronx-dkms-"+driver+"-modified-source.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	trees := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return trees
		}
		if err != nil {
			t.Fatal(err)
		}
		if name, found := strings.CutSuffix(filepath.Base(h.Name), ".kernels"); found {
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			trees[name] = strings.Join(strings.Fields(string(text)), " ")
		}
	}
}

// The archive of the driver's source has what all published modules were compiled from: after a rule has changed,
// after one of the kernels was compiled anew, and after a kernel has left the catalogue. Where that cannot be had
// nothing is released.
// R7.2
func TestReleaseAfterAnotherRule(t *testing.T) {
	t.Parallel()
	plain, patched := known(), known()
	patched.Version, patched.Toolkit.Kernel = "4.20.2", sharedLab.RHELKernels()[0]
	env := cloud(t, lab.CloudOptions{}, plain, patched)
	actions := in(env, append(env.ActionsVars(), env.ReleaseVars()...))
	later := otherRules(t)
	// with runs a program and returns how often it has written to GitHub.
	with := func(program string, code int, args ...string) (writes int, stderr string) {
		t.Helper()
		env.GitHub.Forget()
		cmd, stdout, errs := commandOf(t, program, actions, releaseArgs(env, args...)...)
		expect(t, finish(t, cmd, cmd.Run(), stdout, errs), code)
		return len(env.GitHub.Writes()), errs.String()
	}
	with(program, 0, "build", "all")
	first := sourceTrees(t, env)
	var old string // the tree for the kernel with the rule
	for name, kernels := range first {
		if strings.HasPrefix(name, "class-show-") && kernels == patched.Toolkit.Kernel {
			old = name
		}
	}
	if len(first) != 2 || old == "" {
		t.Fatalf("trees %v", first)
	}

	made := theRelease(t, env)
	if writes, _ := with(later, 0, "build", "all"); writes != 0 || !slices.Equal(theRelease(t, env).Assets, made.Assets) {
		t.Errorf("a rule changed and nothing was built: %d writes", writes)
	}

	with(later, 0, "build", "all", "--force", "--kernel", patched.Toolkit.Kernel)
	second := sourceTrees(t, env)
	if len(second) != 3 || second[old] != patched.Toolkit.Kernel { // the image that was replaced had been given away
		t.Errorf("compiled anew with another rule: trees %v, before %v", second, first)
	}

	made = theRelease(t, env)
	if writes, _ := with(program, 0, "release", "all"); writes != 0 ||
		!slices.Equal(theRelease(t, env).Assets, made.Assets) {
		t.Errorf("the program with the old rule: %d writes", writes)
	}

	if err := env.WriteCatalog(t.Context(), []lab.Release{plain}); err != nil {
		t.Fatal(err)
	}
	with(later, 0, "release", "all")
	if now := theRelease(t, env); strings.Contains(now.Body, patched.Toolkit.Kernel) ||
		!slices.Equal(now.Assets, made.Assets) {
		t.Errorf("a kernel has left the catalogue, and its image stays: %+v", now)
	}

	env.DeleteReleases()
	if writes, stderr := with(program, 1, "release", "all"); writes != 0 || !strings.Contains(stderr, "--force") ||
		!strings.Contains(stderr, patched.Toolkit.Kernel) {
		t.Errorf("the source is gone: %d writes\n%s", writes, stderr)
	}
}
