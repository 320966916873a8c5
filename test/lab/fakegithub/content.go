package fakegithub

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// storagePath is where contents are. Only a redirect tells the signature that opens one, which is a secret.
const storagePath = "/storage/"

// redirect leads to the content of an asset.
func redirect(r *http.Request, a *asset) answer {
	at := url.URL{
		Scheme: scheme(r), Host: r.Host, Path: storagePath + strconv.FormatInt(a.id, 10),
		RawQuery: url.Values{"sig": {a.signature}}.Encode(),
	}
	return answer{status: http.StatusFound, header: http.Header{"Location": {at.String()}}}
}

// content serves what browsers get: OWNER/NAME/releases/download/TAG/ASSET, which leads to the storage, and the
// storage.
func (f *Forge) content(r *http.Request) answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id, ok := strings.CutPrefix(r.URL.Path, storagePath); ok && r.Method == http.MethodGet {
		return f.stored(r, id)
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if r.Method != http.MethodGet || len(parts) != 6 || parts[2] != "releases" || parts[3] != "download" {
		return notFound().answer()
	}
	// A token is no use here: these pages are for people who have logged in.
	repo := f.repository(parts[0] + "/" + parts[1])
	if repo == nil || repo.Private {
		return notFound().answer()
	}
	if rel := repo.published(parts[4]); rel != nil {
		if a := rel.named(parts[5]); a != nil && a.state == Uploaded {
			return redirect(r, a)
		}
	}
	return notFound().answer()
}

// stored serves the content of an asset. The signature is all that is needed; as with the real storage, a token beside
// it is an error.
func (f *Forge) stored(r *http.Request, id string) answer {
	if r.Header.Get("Authorization") != "" {
		return answer{status: http.StatusBadRequest, body: []byte("Only one auth mechanism allowed")}
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return notFound().answer()
	}
	for _, repo := range f.repositories {
		if _, a := repo.asset(n); a != nil && a.state == Uploaded && a.signature == r.URL.Query().Get("sig") {
			return answer{status: http.StatusOK, header: http.Header{"Content-Type": {a.contentType}}, body: a.content}
		}
	}
	return notFound().answer()
}
