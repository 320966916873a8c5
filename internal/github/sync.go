package github

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	api "github.com/google/go-github/v89/github"

	"neuron-kmod/internal/platform/fault"
)

// rounds bounds how often Sync looks anew at what is there.
const rounds = 5

// run is one Sync.
type run struct {
	client  *Client
	want    Release
	outcome Outcome
}

// Sync makes GitHub have the release as it is wanted, and returns what it has changed. What is right already is only
// read.
//
// A new release is a draft until all its assets are there. An asset is replaced only when its successor has been
// uploaded. Sync may be stopped at any point: nothing is lost, and the next Sync finishes, whatever was left. Several
// at the same time do not disturb each other; if they want different things, what one of them wants is there in the
// end.
//
// It blocks on the network, and for as long as GitHub's rate limits say, up to a quarter of an hour for all that one
// Client does, until ctx ends. With an error comes what was changed before it. Errors have advice; those of the
// token, its permissions and the repository are *CredentialError. None holds the token.
func (c *Client) Sync(ctx context.Context, want Release) (Outcome, error) {
	if err := want.check(); err != nil {
		return Outcome{}, c.failure(want, err)
	}
	if c.token == "" {
		return Outcome{}, c.failure(want, c.classify(ErrNoToken))
	}
	r := &run{client: c, want: want}
	if err := r.syncUntilDone(ctx); err != nil {
		return r.outcome, c.failure(want, c.classify(err))
	}
	return r.outcome, nil
}

func (c *Client) failure(want Release, err error) error {
	return fmt.Errorf("release %s in %s/%s: %w", want.Tag, c.owner, c.repo, err)
}

// Compare returns what Sync would change, and changes nothing. Drafts are seen only by tokens that may write.
func (c *Client) Compare(ctx context.Context, want Release) (Outcome, error) {
	if err := want.check(); err != nil {
		return Outcome{}, c.failure(want, err)
	}
	r := &run{client: c, want: want}
	have, err := r.find(ctx)
	if err != nil {
		return Outcome{}, c.failure(want, c.classify(err))
	}
	if have.published != nil {
		r.outcome.URL = have.published.url
	}
	for _, s := range steps(want, have) {
		r.outcome.Changes = append(r.outcome.Changes, s.change)
	}
	return r.outcome, nil
}

// stale is an error after which what was read may no longer be what is there: another run has been faster, or nobody
// knows whether a request had its effect.
type stale struct{ err error }

func (s stale) Error() string { return s.err.Error() }
func (s stale) Unwrap() error { return s.err }

// syncUntilDone looks at what is there and does what is to do, until there is nothing to do, or it has been done
// often enough: then others are changing the release as well, and who comes last has the last word.
func (r *run) syncUntilDone(ctx context.Context) error {
	for n := 0; ; n++ {
		changed, err := r.syncOnce(ctx)
		if err == nil && changed && n+1 < rounds {
			continue
		}
		old, again := errors.AsType[stale](err)
		if !again || n+1 >= rounds || ctx.Err() != nil {
			return err
		}
		wait := time.Second << n
		wait -= rand.N(wait/2 + 1)
		r.client.log.Warn("looking at the release again", "tag", r.want.Tag, "reason", old.err, "wait",
			wait.Round(time.Millisecond))
		if err := r.client.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// syncOnce does what is to do by one look. It reports whether it has changed a release that others may be changing
// too.
func (r *run) syncOnce(ctx context.Context) (changed bool, err error) {
	have, err := r.find(ctx)
	if err != nil {
		return false, err
	}
	todo := steps(r.want, have)
	if have.published != nil {
		r.outcome.URL = have.published.url
		for _, s := range todo {
			if have.published.immutable && s.change.What != Edit && s.draft == 0 {
				return false, fault.Wrap(fmt.Errorf("%s: %w", s.change, ErrImmutable),
					"turn off immutable releases in the settings of the repository: releases here get new kernels over time; "+
						"one that was published with it can no longer be changed")
			}
		}
	}
	for _, s := range todo {
		if err := r.take(ctx, have.published, s); err != nil {
			return false, fmt.Errorf("%s: %w", s.change, err)
		}
		r.client.log.Info("release changed", "tag", r.want.Tag, "change", s.change.String())
		r.outcome.Changes = append(r.outcome.Changes, s.change)
	}
	return have.published != nil && len(todo) > 0, nil
}

// take takes one step.
func (r *run) take(ctx context.Context, rel *release, s step) error {
	switch s.change.What {
	case Create:
		return r.create(ctx)
	case Add, Replace:
		return r.replaceAsset(ctx, rel, s)
	case Edit:
		_, err := r.update(ctx, rel.id, api.UpdateReleaseRequest{Name: &r.want.Name, Body: &r.want.Body})
		return err
	case Restore:
		return r.rename(ctx, s.asset, s.change.Name)
	}
	if s.draft != 0 {
		return r.deleteRelease(ctx, s.draft)
	}
	return r.deleteAsset(ctx, s.asset)
}

// staleUnlessFinal marks the error of a request as stale, unless it would be the same next time. Errors that come
// with advice, as those of the transport, are for people.
func staleUnlessFinal(err error) error {
	switch code := status(err); {
	case err == nil:
		return nil
	case nameTaken(err), code == http.StatusNotFound, code >= 500:
		return stale{err}
	case code != 0, fault.Of(err) != "":
		return err
	}
	if _, ok := errors.AsType[*answered](err); ok {
		return err
	}
	return stale{err}
}
