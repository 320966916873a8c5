package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/platform/fault"
)

// Copier copies images from targets into another target, byte for byte: a copy has its original's digest. What is there
// already is not sent, and what images share is sent once. A run that was stopped is finished by the next one, which
// goes on with the first blob that did not arrive whole.
type Copier struct {
	To        Target
	Jobs      int  // images at the same time; less than one means one
	Overwrite bool // let a tag that leads to another image lead to the original from now on

	// Progress, if set, is told how far the run is, Done what became of an image. Both are called by several goroutines.
	Progress func(CopyProgress)
	Done     func(Original, Copy)
}

// Original is an image that is to be copied.
type Original struct {
	From Target // where it is
	Ref  string // its tag there, or its digest: "sha256:" and 64 hexadecimal digits
	Tag  string // what the copy is called
}

// String returns the original as a person names it.
func (o Original) String() string {
	if isDigest(o.Ref) {
		return o.From.String() + "@" + o.Ref
	}
	return o.From.Reference(o.Ref)
}

func isDigest(ref string) bool { return strings.Contains(ref, ":") }

// CopyState says where a copy stands.
type CopyState string

const (
	CopyDue     CopyState = "due"     // it has to be made
	CopyThere   CopyState = "there"   // the tag led to the original before
	CopyMade    CopyState = "copied"  // this run has made it
	CopyFailed  CopyState = "failed"  // Copy.Err says why
	CopySkipped CopyState = "skipped" // the run was stopped before it was whole
)

// Copy is what became of an original.
type Copy struct {
	State  CopyState
	Digest string // of the original; "" if it could not be read
	Size   int64  // bytes of manifests, configurations and layers; 0 if the original could not be read
	Sent   int64  // bytes of blobs that were sent for it, repeated ones and parts included
	Err    error  // of a copy that failed or was skipped
}

// CopyProgress is how far a run is.
type CopyProgress struct {
	Images, ImagesDone int   // images that were due, and those of them that are copied or failed
	Bytes, BytesDone   int64 // of their blobs, each counted once
}

// CopyPlan is what a Copier has to do.
type CopyPlan struct {
	// Copies has what became of each original, in their order. Run changes it.
	Copies []Copy

	copier *Copier
	to     place
	items  []*copyItem // by original; nil if nothing is due
}

// copyItem is an image that is due.
type copyItem struct {
	original Original
	from     place
	content  *content
	copy     *Copy
	sent     atomic.Int64
}

// planners is how many originals are looked at at the same time.
const planners = 8

// ErrTagTaken says that a copy's tag leads to another image.
var ErrTagTaken = errors.New("the tag leads to another image")

// Plan looks at what is there, and at what is not there at the originals. It costs one listing, a request for each tag that
// is there, and one for each original that has to be read. It blocks on the network. An original that cannot be read, or
// whose tag is taken, is in the plan as failed; the error is one of the whole target.
func (c *Copier) Plan(ctx context.Context, originals []Original) (*CopyPlan, error) {
	to, ok := c.To.(place)
	if !ok {
		return nil, fmt.Errorf("copy to %s: it takes no copies", c.To)
	}
	tags, err := c.To.Tags(ctx)
	if err != nil {
		return nil, err
	}
	p := &CopyPlan{copier: c, to: to, Copies: make([]Copy, len(originals)), items: make([]*copyItem, len(originals))}
	var group errgroup.Group
	group.SetLimit(planners)
	for i, o := range originals {
		group.Go(func() error {
			p.look(ctx, i, o, tags[o.Tag])
			return nil
		})
	}
	_ = group.Wait() // the functions report through the plan
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return p, nil
}

// look finds out what has to be done for an original.
func (p *CopyPlan) look(ctx context.Context, i int, o Original, taken bool) {
	out := &p.Copies[i]
	out.State = CopyDue
	content, err := p.compare(ctx, o, taken, out)
	if err != nil {
		out.State, out.Err = CopyFailed, fmt.Errorf("copy %s to %s: %w", o, p.to.Reference(o.Tag), err)
	}
	if out.State == CopyDue {
		p.items[i] = &copyItem{original: o, from: o.From.(place), content: content, copy: out}
	}
}

// compare holds an original against what its tag leads to, reading no more of either than it has to.
func (p *CopyPlan) compare(ctx context.Context, o Original, taken bool, out *Copy) (*content, error) {
	from, ok := o.From.(place)
	if !ok {
		return nil, errors.New("nothing can be copied from there")
	}
	if err := checkTag(o.Tag); err != nil {
		return nil, err
	}
	var have Published
	if taken {
		var err error
		if have, taken, err = p.to.Published(ctx, o.Tag); err != nil {
			return nil, err
		}
	}
	whole := taken && p.to.whole(ctx, o.Tag)
	if whole && have.Digest == o.Ref {
		out.State, out.Digest, out.Size = CopyThere, have.Digest, have.Size
		return nil, nil
	}
	content, err := readContent(ctx, from, o.Ref)
	if err != nil {
		return nil, err
	}
	out.Digest, out.Size = content.top.digest.String(), content.size()
	switch {
	case taken && have.Digest == out.Digest:
		if whole {
			out.State = CopyThere
		}
	case taken && !p.copier.Overwrite:
		return nil, fault.Wrap(fmt.Errorf("%w: %s", ErrTagTaken, have.Digest),
			"see which of the two is right; --force replaces the image in the copy's place")
	}
	return content, nil
}

// Due returns how many images have to be copied, and the bytes of their blobs, each counted once.
func (p *CopyPlan) Due() (images int, bytes int64) {
	seen := map[v1.Hash]bool{}
	for _, item := range p.items {
		if item == nil {
			continue
		}
		images++
		for _, b := range item.content.blobs {
			if !seen[b.Digest] {
				seen[b.Digest] = true
				bytes += b.Size
			}
		}
	}
	return images, bytes
}

// Run copies what is due. One image that fails does not stop the others. It blocks on the network until all is done or ctx
// ends. The error is one of the whole target, or ctx's; what became of each image is in p.Copies in any case.
func (p *CopyPlan) Run(ctx context.Context) (err error) {
	run := &copyRun{plan: p, to: p.to, blobs: map[v1.Hash]*sharedBlob{}}
	run.progress.Images, run.progress.Bytes = p.Due()
	if run.progress.Images == 0 {
		return nil
	}
	into, err := p.to.receive(ctx, p.due())
	if err != nil {
		for _, item := range p.due() {
			item.copy.State, item.copy.Err = CopySkipped, err
		}
		return fmt.Errorf("copy to %s: %w", p.to, err)
	}
	defer func() { err = errors.Join(err, into.close(run.complete)) }()
	run.into = into
	run.report()
	var group errgroup.Group
	group.SetLimit(max(1, p.copier.Jobs))
	for _, item := range p.due() {
		group.Go(func() error {
			run.image(ctx, item)
			return nil
		})
	}
	_ = group.Wait() // the functions report through the plan
	run.complete = run.made == run.progress.Images
	return context.Cause(ctx)
}

func (p *CopyPlan) due() []*copyItem {
	var due []*copyItem
	for _, item := range p.items {
		if item != nil {
			due = append(due, item)
		}
	}
	return due
}

// copyRun is the state of one Run.
type copyRun struct {
	plan     *CopyPlan
	to       place
	into     receiver
	complete bool // every image that was due is there

	mu       sync.Mutex
	made     int
	progress CopyProgress
	blobs    map[v1.Hash]*sharedBlob
}

// sharedBlob is one that several images may have.
type sharedBlob struct {
	mu      sync.Mutex
	arrived bool
}

// blobsAtOnce is how many blobs of one image are sent at the same time. One is usually larger than all others together.
const blobsAtOnce = 2

// image copies one image: blobs, then the manifests of an index, then the manifest with the tag.
func (r *copyRun) image(ctx context.Context, item *copyItem) {
	err := r.send(ctx, item)
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
		item.copy.Err = fmt.Errorf("copy %s to %s: %w", item.original, r.to.Reference(item.original.Tag), err)
	}
	r.progress.ImagesDone++
	r.mu.Unlock()
	r.report()
	if r.plan.copier.Done != nil {
		r.plan.copier.Done(item.original, *item.copy)
	}
}

func (r *copyRun) send(ctx context.Context, item *copyItem) error {
	group, blobCtx := errgroup.WithContext(ctx)
	group.SetLimit(blobsAtOnce)
	for _, d := range item.content.blobs {
		group.Go(func() error { return r.blob(blobCtx, item, d) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, child := range item.content.children {
		if err := r.into.putManifest(ctx, child); err != nil {
			return err
		}
	}
	return r.into.putTag(ctx, item.original.Tag, item.content.top, r.plan.copier.Overwrite)
}

// blob sees to it that a blob is there. Of several images that have it one sends it, and the others wait; if that one fails
// the next tries for itself.
func (r *copyRun) blob(ctx context.Context, item *copyItem, d v1.Descriptor) error {
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
	b := &blobCopy{desc: d, from: item.from, sent: &item.sent, moved: r.moved}
	err := r.into.putBlob(ctx, b)
	b.finish(err == nil)
	shared.arrived = err == nil
	return err
}

// moved counts bytes of blobs; they are taken off again where a blob has to be sent anew.
func (r *copyRun) moved(n int64) {
	r.mu.Lock()
	r.progress.BytesDone += n
	r.mu.Unlock()
	r.report()
}

func (r *copyRun) report() {
	if r.plan.copier.Progress == nil {
		return
	}
	r.mu.Lock()
	now := r.progress
	r.mu.Unlock()
	r.plan.copier.Progress(now)
}

// place is a target as a copier sees it: one that images are read from, or that receives copies.
type place interface {
	Target
	// fetch returns the manifest that ref, a tag or a digest, names; its digest is the one asked for.
	fetch(ctx context.Context, ref string) (manifest, error)
	// blob opens a blob. Reading fails at its end if the content is not the digest's.
	blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
	// whole reports whether what tag leads to has all its parts, as far as that can be known without the network: a registry
	// takes no manifest whose parts it does not have.
	whole(ctx context.Context, tag string) bool
	// receive prepares for copies.
	receive(ctx context.Context, items []*copyItem) (receiver, error)
}

// receiver is a place that receives copies. It may be used from several goroutines.
type receiver interface {
	putBlob(ctx context.Context, b *blobCopy) error
	putManifest(ctx context.Context, m manifest) error
	// putTag lets tag lead to the manifest, all of whose parts are there, and reads it back.
	putTag(ctx context.Context, tag string, m manifest, overwrite bool) error
	// close ends the receiving; complete reports whether all copies have arrived.
	close(complete bool) error
}
