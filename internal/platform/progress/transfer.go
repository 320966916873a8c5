package progress

import (
	"fmt"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// quietTime is how long a transfer may go without a line where there is no terminal.
const quietTime = 30 * time.Second

// Transfer shows how far the copying of several images is. It is safe for concurrent use.
type Transfer struct {
	progress *Progress
	bar      *mpb.Bar // nil where there is no terminal

	mu           sync.Mutex
	images, done int
	told         time.Time
}

// Transfer begins to show a transfer; what is its name: "mirror".
func (p *Progress) Transfer(what string) *Transfer {
	t := &Transfer{progress: p, told: time.Now()}
	if p.bars != nil {
		t.bar = p.bars.New(0, mpb.BarStyle(), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(what+" "), decor.Any(func(decor.Statistics) string { return t.counts() })),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name("  "), decor.Elapsed(decor.ET_STYLE_MMSS)))
	}
	return t
}

func (t *Transfer) counts() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d/%d images ", t.done, t.images)
}

// Update says how many images and bytes are done, of how many.
func (t *Transfer) Update(imagesDone, images int, bytesDone, bytes int64) {
	t.mu.Lock()
	t.images, t.done = images, imagesDone
	tell := t.bar == nil && time.Since(t.told) >= quietTime
	if tell {
		t.told = time.Now()
	}
	t.mu.Unlock()
	if t.bar != nil {
		t.bar.SetTotal(bytes, false)
		t.bar.SetCurrent(bytesDone)
	}
	if tell {
		t.progress.log.Info("copying", "images", fmt.Sprintf("%d/%d", imagesDone, images), "bytes", bytesDone, "of", bytes)
	}
}

// Done ends the transfer.
func (t *Transfer) Done() {
	if t.bar != nil {
		t.bar.Abort(true)
	}
}
