package docs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"neuron-kmod/test/lab"
)

var jsonBlock = regexp.MustCompile("(?s)```json\n(.*?)```")

// actions lists the IAM actions of the policies that a guide shows, without those of trust policies.
func actions(t *testing.T, guide string) []string {
	t.Helper()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, block := range jsonBlock.FindAllStringSubmatch(string(text), -1) {
		var policy struct {
			Statement []struct {
				Action    any
				Principal any
			}
		}
		if err := json.Unmarshal([]byte(block[1]), &policy); err != nil {
			t.Fatalf("%s: %v in\n%s", guide, err, block[1])
		}
		for _, s := range policy.Statement {
			if s.Principal != nil {
				continue
			}
			switch a := s.Action.(type) {
			case string:
				found = append(found, a)
			case []any:
				for _, one := range a {
					found = append(found, one.(string))
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// R10.2: the policies of the guides are the ones with which the end-to-end tests publish: nothing is missing, and nothing
// is there for comfort. What one flag or the base image needs is named beside the policy.
func TestPolicies(t *testing.T) {
	public := slices.Sorted(slices.Values(lab.PublisherActions()))
	if got := actions(t, "guides/github-actions.md"); !slices.Equal(got, public) {
		t.Errorf("github-actions.md allows\n%q, the lab\n%q", got, public)
	}
	private := slices.DeleteFunc(lab.EngineerActions(), func(a string) bool {
		return a == "ecr:CreateRepository" || a == "ecr-public:GetAuthorizationToken" || a == "sts:GetServiceBearerToken"
	})
	slices.Sort(private)
	if got := actions(t, "guides/ecr.md"); !slices.Equal(got, private) {
		t.Errorf("ecr.md allows\n%q, the lab\n%q", got, private)
	}
	text, err := os.ReadFile("guides/ecr.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range lab.EngineerActions() {
		if !strings.Contains(string(text), a) {
			t.Errorf("ecr.md does not name %s", a)
		}
	}
}

// The variables that the guides name are ones that the program, or the SDK it uses, reads.
func TestGuideVariables(t *testing.T) {
	guides, err := filepath.Glob("guides/*.md")
	if err != nil || len(guides) == 0 {
		t.Fatal("no guides", err)
	}
	theirs := []string{"AWS_CA_BUNDLE", "SSL_CERT_FILE", "NO_PROXY", "AWS_SECRET_ACCESS_KEY"}
	code := source(t)
	variable := regexp.MustCompile(`\b(?:AWS|KMOD|DTK|QUAY|REGISTRY|GITHUB)_[A-Z_]+\b|\b[A-Z]+_PROXY\b|\bSSL_CERT_FILE\b`)
	for _, guide := range guides {
		text, err := os.ReadFile(guide)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range variable.FindAllString(string(text), -1) {
			if !slices.Contains(theirs, name) && !strings.Contains(code, `"`+name+`"`) {
				t.Errorf("%s names %s, which nothing reads", guide, name)
			}
		}
	}
}
