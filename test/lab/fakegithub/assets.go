package fakegithub

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// maxAssets is how many assets a release may have.
const maxAssets = 1000

// https://docs.github.com/en/rest/releases/assets#list-release-assets
func (f *Forge) listAssets(q request) (answer, *refusal) {
	r := q.repo.byID(q.id)
	if !q.visible(r) {
		return answer{}, notFound()
	}
	return page(q.Request, f.assetsJSON(q, r)), nil
}

// getAsset shows an asset, or leads to its content if that is what is asked for.
// https://docs.github.com/en/rest/releases/assets#get-a-release-asset
func (f *Forge) getAsset(q request) (answer, *refusal) {
	r, a := q.repo.asset(q.id)
	if !q.visible(r) {
		return answer{}, notFound()
	}
	if strings.Contains(q.Header.Get("Accept"), "application/octet-stream") {
		return redirect(q.Request, a), nil
	}
	return answer{status: http.StatusOK, value: f.assetJSON(q, r, a)}, nil
}

// https://docs.github.com/en/rest/releases/assets#update-a-release-asset
func (f *Forge) updateAsset(q request) (answer, *refusal) {
	r, a := q.repo.asset(q.id)
	if a == nil {
		return answer{}, notFound()
	}
	var in struct{ Name, Label *string }
	if err := json.NewDecoder(http.MaxBytesReader(nil, q.Body, maxRequest)).Decode(&in); err != nil {
		return answer{}, refuse(http.StatusBadRequest, "Problems parsing JSON")
	}
	if r.immutable {
		return answer{}, refuse(http.StatusUnprocessableEntity, "Cannot update assets of an immutable release.")
	}
	if in.Name != nil {
		name := rename(*in.Name)
		if other := r.named(name); other != nil && other != a {
			return answer{}, nameTaken()
		}
		a.name = name
	}
	if in.Label != nil {
		a.label = *in.Label
	}
	return answer{status: http.StatusOK, value: f.assetJSON(q, r, a)}, nil
}

// https://docs.github.com/en/rest/releases/assets#delete-a-release-asset
func (f *Forge) deleteAsset(q request) (answer, *refusal) {
	r, a := q.repo.asset(q.id)
	if a == nil {
		return answer{}, notFound()
	}
	if r.immutable {
		return answer{}, refuse(http.StatusUnprocessableEntity, "Cannot delete assets from an immutable release.")
	}
	r.assets = slices.DeleteFunc(r.assets, func(other *asset) bool { return other == a })
	return answer{status: http.StatusNoContent}, nil
}

func nameTaken() *refusal {
	return unprocessable(invalid{Resource: "ReleaseAsset", Code: "already_exists", Field: "name"})
}

// upload takes an asset's content, for a path below /api/uploads. From the start there is an asset of that name; until
// all of its content has come, it is a starter.
// https://docs.github.com/en/rest/releases/assets#upload-a-release-asset
func (f *Forge) upload(r *http.Request, c caller, path string, half bool) (answer, *refusal) {
	name, form, q := parse(path)
	if r.Method != http.MethodPost || form != "releases/ID/assets" {
		return answer{}, notFound()
	}
	q.Request, q.caller = r, c
	a, refused := f.startUpload(&q, name)
	if refused != nil {
		return answer{}, refused
	}
	content, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, f.maxAsset))
	if err != nil || half {
		return refuse(http.StatusBadGateway, "Bad Gateway").answer(), nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	rel, _ := q.repo.asset(a.id)
	if rel == nil {
		return answer{}, notFound() // somebody has deleted it meanwhile
	}
	a.content, a.state = content, Uploaded
	return answer{status: http.StatusCreated, value: f.assetJSON(q, rel, a)}, nil
}

func (f *Forge) startUpload(q *request, repository string) (*asset, *refusal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var refused *refusal
	if q.repo, refused = f.enter(q.caller, repository, Write); refused != nil {
		return nil, refused
	}
	r, query := q.repo.byID(q.id), q.URL.Query()
	if r == nil {
		return nil, notFound()
	}
	name := rename(query.Get("name"))
	switch size := q.ContentLength; {
	case r.immutable:
		return nil, refuse(http.StatusUnprocessableEntity, "Cannot upload assets to an immutable release.")
	case q.Header.Get("Content-Type") == "":
		return nil, refuse(http.StatusBadRequest, "Content-Type header is required")
	case size < 0:
		return nil, refuse(http.StatusBadRequest, "Bad Content-Length: ")
	case size == 0:
		return nil, badSize("size must be greater than or equal to 1")
	case size > f.maxAsset:
		return nil, badSize(fmt.Sprintf("size must be less than or equal to %d", f.maxAsset))
	case name == "":
		return nil, unprocessable(invalid{Resource: "ReleaseAsset", Code: "missing_field", Field: "name"})
	case r.named(name) != nil:
		return nil, nameTaken()
	case len(r.assets) >= maxAssets:
		return nil, unprocessable(invalid{Resource: "Release", Code: "custom", Field: "assets", Message: "too many assets"})
	}
	a := f.newAsset(name, query.Get("label"), q.Header.Get("Content-Type"))
	r.assets = append(r.assets, a)
	return a, nil
}

func badSize(message string) *refusal {
	return unprocessable(invalid{Resource: "ReleaseAsset", Code: "custom", Field: "size", Message: message})
}

// odd are the characters that GitHub does not leave in the name of an asset.
var odd = regexp.MustCompile(`[^A-Za-z0-9._+-]+`)

// rename is the name that an asset gets when it is to be called name.
func rename(name string) string {
	name = strings.TrimRight(odd.ReplaceAllString(name, "."), ".")
	if strings.HasPrefix(name, ".") {
		name = "default" + name
	}
	return name
}
