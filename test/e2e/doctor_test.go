//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"neuron-kmod/internal/action/doctor"
	"neuron-kmod/test/lab"
)

// diagnose runs doctor and returns its report.
func diagnose(t *testing.T, env *lab.Env, code int, args ...string) doctor.Report {
	t.Helper()
	r := run(
		t, env, append([]string{"doctor", "-o", "json", "--matrix", env.Matrix, "--catalog", env.Catalog}, args...)...)
	expect(t, r, code)
	var report doctor.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	for _, secret := range append(env.Secrets(), markerPassword) {
		if strings.Contains(r.stdout+r.stderr, secret) {
			t.Errorf("a secret is in the output:\n%s", r.stdout)
		}
	}
	return report
}

// check returns the check whose name begins so.
func check(t *testing.T, r doctor.Report, name string) doctor.Check {
	t.Helper()
	for _, c := range r.Checks {
		if strings.HasPrefix(c.Name, name) {
			return c
		}
	}
	t.Fatalf("no check %q in %+v", name, r.Checks)
	return doctor.Check{}
}

// What doctor finds where everything is as it should be: a real container runs, each credential is named with its place
// and its end, each registry answers; nothing is published or left.
// R1.1, R1.2, R1.3
func TestDoctor(t *testing.T) {
	t.Parallel()
	env := cloud(t, lab.CloudOptions{}, known())
	if err := env.MirrorToolkit(t.Context(), known()); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		vars    []string
		sources map[string]string // of credentials, by the check's name
		ends    []string          // checks whose credentials say when they end
	}{
		"actions": {env.ActionsVars(), map[string]string{
			"AWS identity": "OIDC, role " + env.Role, "Driver Toolkits (quay.io)": "QUAY_USERNAME and QUAY_PASSWORD",
			"target (public.ecr.aws)": "AWS", "base image (public.ecr.aws)": "AWS",
		}, []string{"AWS identity", "target (", "base image ("}},
		"local": {env.LocalVars(), map[string]string{
			"AWS identity": "profile lab", "Driver Toolkits (" + env.Cloud.Account: "AWS",
			"target (" + env.Cloud.Account: "AWS", "base image (public.ecr.aws)": "AWS",
		}, []string{"target (", "base image (", "Driver Toolkits ("}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			machine := in(env, tt.vars)
			before := images(t, machine)
			report := diagnose(t, machine, 0)
			if !report.OK || report.Count(doctor.Failed)+report.Count(doctor.Warning) > 0 {
				t.Errorf("report %+v", report.Checks)
			}
			for name, source := range tt.sources {
				if c := check(t, report, name); !strings.HasPrefix(c.Source, source) || c.Identity == "" {
					t.Errorf("%s: from %q, identity %q; want %q", name, c.Source, c.Identity, source)
				}
			}
			for _, name := range tt.ends {
				if c := check(t, report, name); c.ValidUntil == nil || time.Until(*c.ValidUntil) < time.Minute {
					t.Errorf("%s ends %v", name, c.ValidUntil)
				}
			}
			if c := check(t, report, "a container runs"); c.State != doctor.OK {
				t.Errorf("%+v", c)
			}
			expectClean(t, machine, before)
			expectOnly(t, env)
		})
	}
	for _, repository := range []string{lab.PublicRepository, lab.KmodRepository} {
		if tags, err := env.Tags(t.Context(), repository); err != nil || len(tags) > 0 {
			t.Errorf("%s has %q, %v", repository, tags, err)
		}
	}
}

// What would make a build fail fails here, with the same advice, and nothing else does.
// R1.2, R8.1
func TestDoctorFinds(t *testing.T) {
	t.Parallel()
	env := cloud(t, lab.CloudOptions{}, known())
	actions := in(env, env.ActionsVars(), "QUAY_PASSWORD="+markerPassword)
	report := diagnose(t, actions, 4)
	if c := check(t, report, "Driver Toolkits can be read"); c.State != doctor.Failed ||
		!strings.Contains(c.Hint, "quay.io refuses the credentials from QUAY_USERNAME and QUAY_PASSWORD") {
		t.Errorf("%+v", c)
	}
	if report.Count(doctor.Failed) != 1 {
		t.Errorf("more failed: %+v", report.Checks)
	}
	local := in(env, env.LocalVars(), "KMOD_ECR_REPOSITORY_NAME=me/absent")
	report = diagnose(t, local, 4)
	if c := check(t, report, "target can be listed"); c.State != doctor.Failed ||
		!strings.Contains(c.Hint, "--create-repository") {
		t.Errorf("%+v", c)
	}
	if c := check(t, report, "Driver Toolkits can be read"); c.State != doctor.Failed ||
		!strings.Contains(c.Hint, "no credentials for quay.io") {
		t.Errorf("%+v", c)
	}
	if c := check(t, report, "a container runs"); c.State != doctor.OK {
		t.Errorf("%+v", c)
	}
}
