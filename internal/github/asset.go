package github

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
)

// OpenAsset returns the content of an asset of a published release, from its start; the caller closes it, and bounds
// what it reads. Where an interrupted run has put the asset aside, that one is meant. If there is no such release or
// asset the error satisfies errors.Is(err, fs.ErrNotExist).
//
// It blocks on the network, and on rate limits as Sync does.
func (c *Client) OpenAsset(ctx context.Context, tag, name string) (io.ReadCloser, error) {
	want := Release{Tag: tag}
	r := &run{client: c, want: want}
	for n := 1; ; n++ {
		body, err := r.openNamed(ctx, name)
		if status(err) == http.StatusNotFound && n < rounds { // another run has replaced it since it was listed
			continue
		}
		if err != nil {
			return nil, c.failure(want, fmt.Errorf("read asset %s: %w", name, c.classify(err)))
		}
		return body, nil
	}
}

func (r *run) openNamed(ctx context.Context, name string) (io.ReadCloser, error) {
	have, err := r.find(ctx)
	if err != nil {
		return nil, err
	}
	var id int64
	if have.published != nil {
		if id = have.published.newest(kindOld, name, whole); have.published.named(name).whole {
			id = have.published.named(name).id
		}
	}
	if id == 0 {
		return nil, fs.ErrNotExist
	}
	return r.open(ctx, id)
}

// open asks for the content of an asset.
func (r *run) open(ctx context.Context, id int64) (io.ReadCloser, error) {
	var body io.ReadCloser
	err := r.call(ctx, func() (err error) {
		body, _, err = r.client.api.Repositories.DownloadReleaseAsset(ctx, r.client.owner, r.client.repo, id, r.client.plain)
		return err
	})
	if err == nil && body == nil {
		err = errors.New("GitHub has answered without the content")
	}
	return body, err
}
