package config

import (
	"log/slog"
	"net/url"
	"strconv"
	"strings"
)

// Setting is one setting as the user reads it. Nothing in it is a secret.
type Setting struct {
	Name     string `json:"name"`
	Value    string `json:"value"`    // "" where nothing is set
	Override string `json:"override"` // the flag or variable that changes it
}

// Describe lists the settings, the ones that differ between environments first.
func (s Settings) Describe() []Setting {
	environment := "local"
	if s.Actions {
		environment = "GitHub Actions"
	}
	mirror := s.ToolkitMirror
	if mirror == "" && s.UseMirror {
		mirror = s.AWS.Mirror
	}
	var files []string
	for _, f := range s.AuthFiles {
		files = append(files, f.Path)
	}
	return []Setting{
		{"environment", environment, "GITHUB_ACTIONS"},
		{"target", s.Target, "--target"},
		{"AWS region", s.AWS.Region, "AWS_REGION"},
		{"AWS account", s.AWS.AccountID, "AWS_ACCOUNT_ID"},
		{"AWS profile", s.AWS.Profile, "AWS_PROFILE"},
		{"AWS role by OIDC", s.AWS.Role, "AWS_ROLE_ARN"},
		{"ECR repository", s.AWS.Repository, "KMOD_ECR_REPOSITORY_NAME"},
		{"ECR Public repository", s.AWS.PublicRepository, "KMOD_ECR_PUBLIC_REPOSITORY"},
		{"Driver Toolkit mirror", mirror, "DTK_ECR_REPOSITORY_NAME"},
		{"quay.io user", s.Quay.User, "QUAY_USERNAME"},
		{"quay.io password", s.Quay.Password.String(), "QUAY_PASSWORD"},
		{"GitHub repository", s.GitHub.Repository, "GITHUB_REPOSITORY"},
		{"GitHub token", s.GitHub.Token.String(), "GITHUB_TOKEN"},
		{"release after a build", strconv.FormatBool(s.GitHub.Release), "--release, --no-release"},
		{"credential files", strings.Join(files, ", "), "REGISTRY_AUTH_FILE"},
		{"matrix", s.Matrix, "--matrix"},
		{"catalogue", s.Catalog, "--catalog"},
		{"base image", s.BaseImage, "--base-image"},
		{"driver source", redacted(s.DriverSource), "--driver-source"},
		{"force", strconv.FormatBool(s.Force), "FORCE_BUILD"},
		{"cache folder", s.CacheDir, "XDG_CACHE_HOME"},
		{"temporary folder", s.TempDir, "TMPDIR"},
	}
}

// redacted takes the password out of an address.
func redacted(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		return u.Redacted()
	}
	return address
}

// LogValue implements slog.LogValuer: what is set, without secrets.
func (s Settings) LogValue() slog.Value {
	var attrs []slog.Attr
	word := strings.NewReplacer(" ", "_", ".", "_")
	for _, d := range s.Describe() {
		if d.Value != "" {
			attrs = append(attrs, slog.String(strings.ToLower(word.Replace(d.Name)), d.Value))
		}
	}
	return slog.GroupValue(attrs...)
}
