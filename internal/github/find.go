package github

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	api "github.com/google/go-github/v89/github"
)

// unfinished is what a draft says while its assets are being uploaded. The drafts of this program are
// recognised by it.
const unfinished = "<!-- neuron-kmod: unfinished -->\n\nneuron-kmod is uploading the files of this release. " +
	"If this draft is here for long, the run has ended early: the next one removes it.\n"

// maxPages bounds lists: GitHub shows no more than 10,000 releases, and a release has no more than 1,000 assets.
const maxPages = 100

// find reads what GitHub has for the tag.
func (r *run) find(ctx context.Context) (found, error) {
	var have found
	err := r.readPages(ctx, func(o *api.ListOptions) (*api.Response, error) {
		list, resp, err := r.client.api.Repositories.ListReleases(ctx, r.client.owner, r.client.repo, o)
		for _, one := range list {
			switch {
			case one.TagName != r.want.Tag:
			case !one.Draft:
				have.published = &release{
					id: one.ID, url: one.HTMLURL, uploadURL: one.UploadURL,
					name: one.GetName(), body: one.GetBody(), immutable: one.GetImmutable(),
				}
			case strings.HasPrefix(plainNotes(one.GetBody()), plainNotes(unfinished)):
				have.drafts = append(have.drafts, one.ID)
			default:
				r.client.log.Info("somebody's draft of the release is left alone", "tag", r.want.Tag, "url", one.HTMLURL)
			}
		}
		return resp, err
	})
	if err != nil {
		return found{}, fmt.Errorf("list the releases: %w", err)
	}
	if have.published != nil {
		err = r.findAssets(ctx, have.published)
	}
	return have, err
}

// findAssets reads the assets of a release, and the digests that the comparison needs.
func (r *run) findAssets(ctx context.Context, rel *release) error {
	err := r.readPages(ctx, func(o *api.ListOptions) (*api.Response, error) {
		list, resp, err := r.client.api.Repositories.ListReleaseAssets(ctx, r.client.owner, r.client.repo, rel.id, o)
		for _, one := range list {
			rel.assets = append(rel.assets, newAsset(one))
		}
		return resp, err
	})
	if err != nil {
		return fmt.Errorf("list the assets: %w", vanished(err))
	}
	for i, a := range rel.assets {
		for _, want := range r.want.Assets {
			if a.name != want.Name || !a.whole || a.digest != "" || a.size != want.Size {
				continue
			}
			if rel.assets[i].digest, err = r.digest(ctx, a); err != nil {
				return fmt.Errorf("read asset %s: %w", a.name, err)
			}
		}
	}
	return nil
}

// vanished marks as stale that what was listed is not there. Whatever else goes wrong with reading was repeated
// already.
func vanished(err error) error {
	if status(err) == http.StatusNotFound {
		return stale{err}
	}
	return err
}

// newAsset returns an asset as the API describes it.
func newAsset(one *api.ReleaseAsset) asset {
	return asset{
		id: one.GetID(), name: one.GetName(), whole: one.GetState() == "uploaded",
		size: int64(one.GetSize()), digest: one.GetDigest(),
	}
}

// readPages reads a list page by page. Where read fails it must not have taken anything: it may be called again.
func (r *run) readPages(ctx context.Context, read func(*api.ListOptions) (*api.Response, error)) error {
	o := &api.ListOptions{PerPage: 100}
	for range maxPages {
		var resp *api.Response
		err := r.call(ctx, func() (err error) {
			resp, err = read(o)
			return err
		})
		if err != nil {
			return err
		}
		if resp.NextPage == 0 {
			return nil
		}
		o.Page = resp.NextPage
	}
	return errors.New("the list does not end")
}

// digest reads an asset to find out what is in it, as older servers do not tell.
func (r *run) digest(ctx context.Context, a asset) (string, error) {
	body, err := r.open(ctx, a.id)
	if err != nil {
		return "", vanished(err)
	}
	defer body.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(body, a.size+1)); err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", sum.Sum(nil)), nil
}
