package fakegithub

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"
)

const (
	// maxBody is the most characters that the notes of a release may have.
	maxBody = 125_000
	// maxRequest bounds a request's JSON.
	maxRequest = 4 << 20
)

// fields are what a request says of a release; nil is what it does not say.
type fields struct {
	Tag        *string `json:"tag_name"`
	Target     *string `json:"target_commitish"`
	Name       *string `json:"name"`
	Body       *string `json:"body"`
	Draft      *bool   `json:"draft"`
	Prerelease *bool   `json:"prerelease"`
	MakeLatest *string `json:"make_latest"`
}

// visible reports whether who asks may see a release: drafts are for those who can write.
func (q request) visible(r *release) bool { return r != nil && (!r.draft || q.may(Write, q.repo)) }

// https://docs.github.com/en/rest/releases/releases#list-releases
func (f *Forge) listReleases(q request) (answer, *refusal) {
	list := []releaseJSON{}
	for _, r := range slices.Backward(q.repo.releases) {
		if q.visible(r) {
			list = append(list, f.releaseJSON(q, r))
		}
	}
	return page(q.Request, list), nil
}

func (f *Forge) getRelease(q request) (answer, *refusal) {
	return f.showRelease(q, q.repo.byID(q.id))
}

func (f *Forge) releaseByTag(q request) (answer, *refusal) {
	return f.showRelease(q, q.repo.published(q.tag))
}

func (f *Forge) latestRelease(q request) (answer, *refusal) {
	return f.showRelease(q, q.repo.byID(q.repo.latest))
}

func (f *Forge) showRelease(q request, r *release) (answer, *refusal) {
	if !q.visible(r) {
		return answer{}, notFound()
	}
	return answer{status: http.StatusOK, value: f.releaseJSON(q, r)}, nil
}

// https://docs.github.com/en/rest/releases/releases#create-a-release
func (f *Forge) createRelease(q request) (answer, *refusal) {
	in, refused := readFields(q)
	if refused != nil {
		return answer{}, refused
	}
	if in.Tag == nil || *in.Tag == "" {
		return answer{}, unprocessable(invalid{Resource: "Release", Code: "missing_field", Field: "tag_name"})
	}
	if in.Draft == nil {
		in.Draft = new(bool)
	}
	r := &release{id: f.newID(), target: "main", created: f.now(), draft: true}
	if refused := f.apply(q.repo, r, in); refused != nil {
		return answer{}, refused
	}
	q.repo.releases = append(q.repo.releases, r)
	return answer{status: http.StatusCreated, value: f.releaseJSON(q, r)}, nil
}

// https://docs.github.com/en/rest/releases/releases#update-a-release
func (f *Forge) updateRelease(q request) (answer, *refusal) {
	r := q.repo.byID(q.id)
	if r == nil {
		return answer{}, notFound()
	}
	in, refused := readFields(q)
	if refused != nil {
		return answer{}, refused
	}
	if r.immutable && in.Tag != nil && *in.Tag != r.tag {
		return answer{}, unprocessable(invalid{Resource: "Release", Code: "custom", Field: "tag_name",
			Message: "tag_name cannot be changed when release is immutable"})
	}
	if refused := f.apply(q.repo, r, in); refused != nil {
		return answer{}, refused
	}
	return f.showRelease(q, r)
}

// deleteRelease leaves the tag where it is.
func (f *Forge) deleteRelease(q request) (answer, *refusal) {
	if q.repo.byID(q.id) == nil {
		return answer{}, notFound()
	}
	q.repo.releases = slices.DeleteFunc(q.repo.releases, func(r *release) bool { return r.id == q.id })
	return answer{status: http.StatusNoContent}, nil
}

// readFields reads what a request says and refuses notes that are too long.
func readFields(q request) (fields, *refusal) {
	var in fields
	if err := json.NewDecoder(http.MaxBytesReader(nil, q.Body, maxRequest)).Decode(&in); err != nil {
		return in, refuse(http.StatusBadRequest, "Problems parsing JSON")
	}
	if in.Body != nil && utf8.RuneCountInString(*in.Body) > maxBody {
		return in, unprocessable(invalid{Resource: "Release", Code: "custom", Field: "body",
			Message: fmt.Sprintf("body is too long (maximum is %d characters)", maxBody)})
	}
	return in, nil
}

// apply changes a release, or nothing of it. Of the published releases only one can have a tag; drafts can share it.
func (f *Forge) apply(repo *repository, r *release, in fields) *refusal {
	after := *r
	for _, field := range []struct{ to, from *string }{
		{&after.tag, in.Tag}, {&after.target, in.Target}, {&after.name, in.Name}, {&after.body, in.Body},
	} {
		if field.from != nil {
			*field.to = *field.from
		}
	}
	for _, field := range []struct{ to, from *bool }{{&after.draft, in.Draft}, {&after.prerelease, in.Prerelease}} {
		if field.from != nil {
			*field.to = *field.from
		}
	}
	if other := repo.published(after.tag); !after.draft && other != nil && other.id != r.id {
		return unprocessable(invalid{Resource: "Release", Code: "already_exists", Field: "tag_name"})
	}
	if r.draft && !after.draft {
		f.publish(repo, &after)
	}
	if !after.draft && (in.MakeLatest == nil && r.draft || in.MakeLatest != nil && *in.MakeLatest == "true") {
		repo.latest = r.id
	}
	*r = after
	return nil
}

// publish makes the tag, and closes the release if the repository has immutable ones.
// https://docs.github.com/en/code-security/concepts/supply-chain-security/immutable-releases
func (f *Forge) publish(repo *repository, r *release) {
	repo.tags[r.tag] = true
	r.publishedAt = f.now()
	r.immutable = repo.Immutable
}
