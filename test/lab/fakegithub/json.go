package fakegithub

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"time"
)

// releaseJSON is a release as the API shows it.
type releaseJSON struct {
	URL         string      `json:"url"`
	AssetsURL   string      `json:"assets_url"`
	UploadURL   string      `json:"upload_url"`
	HTMLURL     string      `json:"html_url"`
	ID          int64       `json:"id"`
	Author      userJSON    `json:"author"`
	Tag         string      `json:"tag_name"`
	Target      string      `json:"target_commitish"`
	Name        string      `json:"name"`
	Draft       bool        `json:"draft"`
	Immutable   bool        `json:"immutable"`
	Prerelease  bool        `json:"prerelease"`
	CreatedAt   time.Time   `json:"created_at"`
	PublishedAt *time.Time  `json:"published_at"`
	Assets      []assetJSON `json:"assets"`
	Body        string      `json:"body"`
}

// assetJSON is an asset as the API shows it.
type assetJSON struct {
	URL         string    `json:"url"`
	ID          int64     `json:"id"`
	Name        string    `json:"name"`
	Label       string    `json:"label"`
	Uploader    userJSON  `json:"uploader"`
	ContentType string    `json:"content_type"`
	State       string    `json:"state"`
	Size        int       `json:"size"`
	Digest      *string   `json:"digest"`
	CreatedAt   time.Time `json:"created_at"`
	Download    string    `json:"browser_download_url"`
}

type userJSON struct {
	Login string `json:"login"`
}

var bot = userJSON{"github-actions[bot]"}

// base is the address of the server, as r has it.
func (q request) base() url.URL { return url.URL{Scheme: scheme(q.Request), Host: q.Host} }

// address is where something of the repository is.
func (q request) address(part, format string, v ...any) string {
	u := q.base()
	u.Path = part + q.repo.Name + fmt.Sprintf(format, v...)
	return u.String()
}

func (f *Forge) releaseJSON(q request, r *release) releaseJSON {
	out := releaseJSON{
		URL:       q.address(apiPath+"repos/", "/releases/%d", r.id),
		AssetsURL: q.address(apiPath+"repos/", "/releases/%d/assets", r.id),
		UploadURL: q.address(uploadsPath+"repos/", "/releases/%d/assets", r.id) + "{?name,label}",
		HTMLURL:   q.address("/", "/releases/tag/%s", r.address()),
		ID:        r.id, Author: bot, Tag: r.tag, Target: r.target, Name: r.name, Body: r.body,
		Draft: r.draft, Immutable: r.immutable, Prerelease: r.prerelease, CreatedAt: r.created.UTC(),
		Assets: f.assetsJSON(q, r),
	}
	if !r.publishedAt.IsZero() {
		at := r.publishedAt.UTC()
		out.PublishedAt = &at
	}
	return out
}

// address is what a release is called on pages: drafts do not have their tag yet.
func (r *release) address() string {
	if r.draft {
		return fmt.Sprintf("untagged-%020x", r.id)
	}
	return r.tag
}

func (f *Forge) assetsJSON(q request, r *release) []assetJSON {
	list := []assetJSON{}
	for _, a := range r.assets {
		list = append(list, f.assetJSON(q, r, a))
	}
	return list
}

func (f *Forge) assetJSON(q request, r *release, a *asset) assetJSON {
	out := assetJSON{
		URL: q.address(apiPath+"repos/", "/releases/assets/%d", a.id),
		ID:  a.id, Name: a.name, Label: a.label, Uploader: bot, ContentType: a.contentType,
		State: a.state, Size: len(a.content), CreatedAt: a.created.UTC(),
		Download: q.address("/", "/releases/download/%s/%s", r.address(), a.name),
	}
	if digest := a.digest(); digest != "" && !f.noDigests {
		out.Digest = &digest
	}
	return out
}

// digest is "sha256:..." of the content; empty for a starter.
func (a *asset) digest() string {
	if a.state != Uploaded {
		return ""
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(a.content))
}
