// Package progress shows on stderr what is under way: bars on a terminal, plain log lines elsewhere. Results go to
// stdout and are not its business.
package progress

import (
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Progress shows the tasks under way. It is safe for concurrent use. Close ends it; nothing may be started afterwards.
type Progress struct {
	bars *mpb.Progress // nil where there is no terminal
	out  *Output
	log  *slog.Logger
}

// NewProgress returns a Progress that draws bars on out when live is true, and otherwise only logs. The log should
// write to the same out, so that its lines appear above the bars.
func NewProgress(out *Output, live bool, log *slog.Logger) *Progress {
	p := &Progress{out: out, log: log}
	if live {
		p.bars = mpb.New(mpb.WithOutput(out.w), mpb.WithAutoRefresh(), mpb.WithWidth(40))
		out.redirect(p.bars)
	}
	return p
}

// Close waits until the last bar is drawn and gives out back to plain lines.
func (p *Progress) Close() {
	if p.bars == nil {
		return
	}
	p.bars.Wait()
	p.out.redirect(nil)
}

// Start shows that a task, such as the pull of a kernel's toolkit, is under way. kernel is the kernel version that it
// is for, "" for none.
func (p *Progress) Start(what, name, kernel string) Task {
	t := &task{log: p.log.With("name", name), what: what, start: time.Now()}
	if kernel != "" {
		t.log = t.log.With("kernel", kernel)
	}
	t.log.Debug("started", "step", what)
	if p.bars != nil {
		t.bar = p.bars.New(0, mpb.BarStyle(),
			mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(what+" "+name+" ", decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_MMSS)))
	}
	return t
}

// Task is one thing under way, such as one pull.
type Task interface {
	// Update says that done of total units are done; total 0 means unknown.
	Update(done, total int64)
	// Done ends the task and says how it went, once.
	Done(err error)
}

type task struct {
	log   *slog.Logger
	what  string
	start time.Time
	bar   *mpb.Bar
}

// Update implements Task.
func (t *task) Update(done, total int64) {
	if t.bar != nil {
		t.bar.SetTotal(total, false)
		t.bar.SetCurrent(done)
	}
}

// Done implements Task.
func (t *task) Done(err error) {
	if t.bar != nil {
		t.bar.Abort(true)
	}
	took := time.Since(t.start).Round(100 * time.Millisecond)
	if err != nil {
		t.log.Debug("failed", "step", t.what, "took", took, "error", err)
		return
	}
	t.log.Info(pastTense[t.what], "took", took)
}

var pastTense = map[string]string{
	"source":  "got the driver's source",
	"pull":    "the Driver Toolkit is here",
	"compile": "compiled the module",
	"publish": "published the image",
	"read":    "read",
}

// Output is a writer that several goroutines may use, and that hands lines to the bars while there are any.
type Output struct {
	mu   sync.Mutex
	w    io.Writer
	bars io.Writer
}

// NewOutput returns an Output that writes to w.
func NewOutput(w io.Writer) *Output { return &Output{w: w} }

func (o *Output) redirect(bars *mpb.Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bars = nil
	if bars != nil {
		o.bars = bars
	}
}

// Write writes p at once, above the bars if there are any.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bars != nil {
		if n, err := o.bars.Write(p); err == nil {
			return n, nil
		}
	}
	return o.w.Write(p)
}
