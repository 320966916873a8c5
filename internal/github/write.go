package github

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	api "github.com/google/go-github/v89/github"
)

// create makes the release: a draft of this run's own, its assets, and then the publication, which fails if another
// run has been faster.
func (r *run) create(ctx context.Context) error {
	var draft *api.RepositoryRelease
	in := api.CreateReleaseRequest{TagName: r.want.Tag, Name: &r.want.Name, Body: new(unfinished),
		Draft: new(true)}
	err := r.call(ctx, func() (err error) {
		draft, _, err = r.client.api.Repositories.CreateRelease(ctx, r.client.owner, r.client.repo, in)
		return err
	})
	if status(err) == http.StatusNotFound {
		return err // the releases have been listed, so this is a token that may not write
	}
	if err != nil {
		return staleUnlessFinal(err)
	}
	for _, a := range r.want.Assets {
		if _, err := r.upload(ctx, draft.UploadURL, a, a.Name); err != nil {
			return err
		}
	}
	latest := strconv.FormatBool(r.want.Latest)
	published, err := r.update(ctx, draft.ID, api.UpdateReleaseRequest{
		Name: &r.want.Name, Body: &r.want.Body, Draft: new(false), MakeLatest: &latest,
	})
	if err != nil {
		return fmt.Errorf("publish the draft: %w", err)
	}
	r.outcome.URL = published.HTMLURL
	return nil
}

// replaceAsset puts an asset in the place of its name. Until it has the name, what had it before is there: under that
// name, or, between two requests, put aside.
func (r *run) replaceAsset(ctx context.Context, rel *release, s step) error {
	uploaded, old := s.uploaded, s.old
	if uploaded == 0 {
		var err error
		if s.current.id == 0 && old != 0 { // for no longer than need be without any
			if err = r.rename(ctx, old, s.change.Name); err != nil {
				return err
			}
			s.current = asset{id: old, whole: true}
		}
		if uploaded, err = r.upload(ctx, rel.uploadURL, s.want, temporaryName(kindNew, s.change.Name)); err != nil {
			return err
		}
	}
	switch {
	case s.current.whole:
		old = s.current.id
		if err := r.rename(ctx, old, temporaryName(kindOld, s.change.Name)); err != nil {
			return err
		}
	case s.current.id != 0: // half an upload
		if err := r.deleteAsset(ctx, s.current.id); err != nil {
			return err
		}
	}
	if err := r.rename(ctx, uploaded, s.change.Name); err != nil || old == 0 {
		return err
	}
	return r.deleteAsset(ctx, old)
}

// upload adds an asset under a name and returns its id.
func (r *run) upload(ctx context.Context, url string, a Asset, name string) (int64, error) {
	var got *api.ReleaseAsset
	var opened error
	err := r.call(ctx, func() error {
		body, err := a.Open()
		if err != nil {
			opened = err
			return nil
		}
		defer body.Close()
		got, _, err = r.client.api.Repositories.UploadReleaseAssetFromRelease(ctx, &api.RepositoryRelease{UploadURL: url},
			&api.UploadOptions{Name: name, MediaType: a.ContentType}, body, a.Size)
		return err
	})
	if opened != nil {
		return 0, fmt.Errorf("open %s: %w", a.Name, opened)
	}
	if err != nil {
		return 0, fmt.Errorf("upload %s: %w", a.Name, staleUnlessFinal(err))
	}
	stored := newAsset(got)
	if stored.digest == "" {
		stored.digest = a.Digest // GitHub does not say; the next run reads it
	}
	if !a.matches(stored) || stored.name != name {
		return 0, stale{fmt.Errorf("upload %s: GitHub has stored %d bytes with %s as %s, not %d with %s", a.Name,
			stored.size, stored.digest, stored.name, a.Size, a.Digest)}
	}
	return stored.id, nil
}

func (r *run) update(ctx context.Context, id int64, in api.UpdateReleaseRequest) (*api.RepositoryRelease, error) {
	var out *api.RepositoryRelease
	err := r.call(ctx, func() (err error) {
		out, _, err = r.client.api.Repositories.UpdateRelease(ctx, r.client.owner, r.client.repo, id, in)
		return err
	})
	return out, staleUnlessFinal(err)
}

func (r *run) rename(ctx context.Context, asset int64, name string) error {
	return staleUnlessFinal(r.call(ctx, func() error {
		_, _, err := r.client.api.Repositories.UpdateReleaseAsset(ctx, r.client.owner, r.client.repo, asset,
			api.UpdateReleaseAssetRequest{Name: &name})
		return err
	}))
}

// deleteAsset removes an asset; one that is gone already is fine.
func (r *run) deleteAsset(ctx context.Context, id int64) error {
	return ignoreNotFound(r.call(ctx, func() error {
		_, err := r.client.api.Repositories.DeleteReleaseAsset(ctx, r.client.owner, r.client.repo, id)
		return err
	}))
}

// deleteRelease removes a draft; one that is gone already is fine.
func (r *run) deleteRelease(ctx context.Context, id int64) error {
	return ignoreNotFound(r.call(ctx, func() error {
		_, err := r.client.api.Repositories.DeleteRelease(ctx, r.client.owner, r.client.repo, id)
		return err
	}))
}

func ignoreNotFound(err error) error {
	if status(err) == http.StatusNotFound {
		return nil
	}
	return staleUnlessFinal(err)
}
