package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// Run copies what is due. One image that fails does not stop the others. It blocks on the network until all is done or
// ctx ends. The error is one of the whole target, or ctx's; the outcome of each image is in p.Copies in any case.
func (p *CopyPlan) Run(ctx context.Context) error {
	if len(p.due) == 0 {
		return nil
	}
	writer, err := p.copier.To.store().openWriter(ctx, p.due)
	if err != nil {
		for _, item := range p.due {
			item.copy.State, item.copy.Err = CopySkipped, err
		}
		return fmt.Errorf("copy to %s: %w", p.copier.To, err)
	}
	run := &copyRun{copier: p.copier, writer: writer, blobs: map[v1.Hash]*sharedBlob{}}
	run.progress.Images, run.progress.Bytes = p.Due()
	run.reportProgress()
	var group errgroup.Group
	group.SetLimit(max(1, p.copier.Jobs))
	for _, item := range p.due {
		group.Go(func() error {
			run.copyImage(ctx, item)
			return nil
		})
	}
	_ = group.Wait() // the functions report through the plan
	return errors.Join(context.Cause(ctx), writer.close(run.made == len(p.due)))
}

// copyRun is the state of one Run.
type copyRun struct {
	copier *Copier
	writer copyWriter

	mu       sync.Mutex
	made     int // images that were copied
	progress CopyProgress
	blobs    map[v1.Hash]*sharedBlob
}

// sharedBlob is a blob that several images may have.
type sharedBlob struct {
	mu      sync.Mutex
	arrived bool
}

// blobsAtOnce is how many blobs of one image are sent at the same time. One is usually larger than all others together.
const blobsAtOnce = 2

// copyImage copies one image and records the outcome.
func (r *copyRun) copyImage(ctx context.Context, item *copyItem) {
	err := r.sendImage(ctx, item)
	item.copy.Sent = item.sent.Load()
	r.mu.Lock()
	switch {
	case err == nil:
		item.copy.State = CopyMade
		r.made++
	case ctx.Err() != nil:
		item.copy.State, item.copy.Err = CopySkipped, context.Cause(ctx)
	default:
		item.copy.State = CopyFailed
		item.copy.Err = fmt.Errorf("copy %s to %s: %w", item.original, r.copier.To.Reference(item.original.Tag), err)
	}
	r.progress.ImagesDone++
	r.mu.Unlock()
	r.reportProgress()
	if r.copier.Done != nil {
		r.copier.Done(item.original, *item.copy)
	}
}

// sendImage sends blobs, then the manifests of an index, then the manifest with the tag.
func (r *copyRun) sendImage(ctx context.Context, item *copyItem) error {
	group, blobCtx := errgroup.WithContext(ctx)
	group.SetLimit(blobsAtOnce)
	for _, d := range item.content.blobs {
		group.Go(func() error { return r.sendBlob(blobCtx, item, d) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, child := range item.content.children {
		if err := r.writer.putManifest(ctx, child); err != nil {
			return err
		}
	}
	return r.writer.putTag(ctx, item.original.Tag, item.content.top, r.copier.Overwrite)
}

// sendBlob makes sure that a blob is at the target. Of several images that have it one sends it, and the others wait;
// if that one fails the next tries for itself.
func (r *copyRun) sendBlob(ctx context.Context, item *copyItem, d v1.Descriptor) error {
	r.mu.Lock()
	shared := r.blobs[d.Digest]
	if shared == nil {
		shared = &sharedBlob{}
		r.blobs[d.Digest] = shared
	}
	r.mu.Unlock()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.arrived || ctx.Err() != nil {
		return ctx.Err()
	}
	b := &blobCopy{desc: d, from: item.original.From, sent: &item.sent, progress: r.addBytes}
	err := r.writer.putBlob(ctx, b)
	b.settle(err == nil)
	shared.arrived = err == nil
	return err
}

// addBytes counts bytes of blobs; n is negative where a blob has to be sent again.
func (r *copyRun) addBytes(n int64) {
	r.mu.Lock()
	r.progress.BytesDone += n
	r.mu.Unlock()
	r.reportProgress()
}

func (r *copyRun) reportProgress() {
	if r.copier.Progress == nil {
		return
	}
	r.mu.Lock()
	now := r.progress
	r.mu.Unlock()
	r.copier.Progress(now)
}
