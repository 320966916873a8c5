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
		{Name: "environment", Value: environment, Override: "GITHUB_ACTIONS"},
		{Name: "target", Value: s.Target, Override: "--target"},
		{Name: "AWS region", Value: s.AWS.Region, Override: "AWS_REGION"},
		{Name: "AWS account", Value: s.AWS.AccountID, Override: "AWS_ACCOUNT_ID"},
		{Name: "AWS profile", Value: s.AWS.Profile, Override: "AWS_PROFILE"},
		{Name: "AWS role by OIDC", Value: s.AWS.Role, Override: "AWS_ROLE_ARN"},
		{Name: "ECR repository", Value: s.AWS.Repository, Override: "KMOD_ECR_REPOSITORY_NAME"},
		{Name: "ECR Public repository", Value: s.AWS.PublicRepository, Override: "KMOD_ECR_PUBLIC_REPOSITORY"},
		{Name: "Driver Toolkit mirror", Value: mirror, Override: "DTK_ECR_REPOSITORY_NAME"},
		{Name: "quay.io user", Value: s.Quay.User, Override: "QUAY_USERNAME"},
		{Name: "quay.io password", Value: s.Quay.Password.String(), Override: "QUAY_PASSWORD"},
		{Name: "GitHub repository", Value: s.GitHub.Repository, Override: "GITHUB_REPOSITORY"},
		{Name: "GitHub token", Value: s.GitHub.Token.String(), Override: "GITHUB_TOKEN"},
		{Name: "release after a build", Value: strconv.FormatBool(s.GitHub.Release), Override: "--release, --no-release"},
		{Name: "credential files", Value: strings.Join(files, ", "), Override: "REGISTRY_AUTH_FILE"},
		{Name: "matrix", Value: s.Matrix, Override: "--matrix"},
		{Name: "catalogue", Value: s.Catalog, Override: "--catalog"},
		{Name: "base image", Value: s.BaseImage, Override: "--base-image"},
		{Name: "driver source", Value: redacted(s.DriverSource), Override: "--driver-source"},
		{Name: "force", Value: strconv.FormatBool(s.Force), Override: "FORCE_BUILD"},
		{Name: "cache folder", Value: s.CacheDir, Override: "XDG_CACHE_HOME"},
		{Name: "temporary folder", Value: s.TempDir, Override: "TMPDIR"},
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
