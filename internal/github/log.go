package github

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// Attributes of log records that mean something here.
const (
	kernelKey = "kernel" // the group that a record belongs to
	lineKey   = "line"   // the record repeats a line of another program: no annotation of its own
)

// Log is a slog.Handler for a step of GitHub Actions. Records about a kernel are kept until that kernel is done, and
// then written as one group, because several kernels are worked on at the same time. Warnings and errors are
// annotations as well, at once. It may be used from several goroutines.
type Log struct {
	shared *logState
	attrs  []slog.Attr
	prefix string
}

type logState struct {
	mu       sync.Mutex
	workflow *Workflow
	level    slog.Leveler
	kernels  map[string]*bytes.Buffer
	order    []string
}

// NewLog returns a handler that writes records from level on to w.Out.
func NewLog(w *Workflow, level slog.Leveler) *Log {
	return &Log{shared: &logState{workflow: w, level: level, kernels: map[string]*bytes.Buffer{}}}
}

// Enabled implements slog.Handler.
func (l *Log) Enabled(_ context.Context, level slog.Level) bool {
	return level >= l.shared.level.Level()
}

// WithAttrs implements slog.Handler.
func (l *Log) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *l
	out.attrs = slices.Concat(l.attrs, l.prefixed(attrs))
	return &out
}

// WithGroup implements slog.Handler.
func (l *Log) WithGroup(name string) slog.Handler {
	out := *l
	out.prefix += name + "."
	return &out
}

func (l *Log) prefixed(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = slog.Attr{Key: l.prefix + a.Key, Value: a.Value}
	}
	return out
}

// Handle implements slog.Handler.
func (l *Log) Handle(ctx context.Context, r slog.Record) error {
	own := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool { own = append(own, a); return true })
	attrs := slices.Concat(l.attrs, l.prefixed(own))
	plain := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	plain.AddAttrs(attrs...)
	var line bytes.Buffer
	// The runner puts the time before each line.
	text := slog.NewTextHandler(&line, &slog.HandlerOptions{Level: slog.LevelDebug - 8, ReplaceAttr: dropTime})
	if err := text.Handle(ctx, plain); err != nil {
		return err
	}
	return l.shared.write(r, attrs, line.Bytes())
}

func dropTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func (s *logState) write(r slog.Record, attrs []slog.Attr, line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	kernel, quoted := textOf(attrs, kernelKey), textOf(attrs, lineKey) != ""
	annotated := r.Level >= slog.LevelWarn && !quoted
	if annotated {
		s.annotate(r, attrs)
	}
	if kernel != "" {
		if s.kernels[kernel] == nil {
			s.kernels[kernel] = &bytes.Buffer{}
			s.order = append(s.order, kernel)
		}
		s.kernels[kernel].Write(line)
		return nil
	}
	if annotated { // the annotation is a line of the log
		return nil
	}
	_, err := s.workflow.Out.Write(line)
	return err
}

func textOf(attrs []slog.Attr, key string) string {
	i := slices.IndexFunc(attrs, func(a slog.Attr) bool { return a.Key == key })
	if i < 0 {
		return ""
	}
	return attrs[i].Value.Resolve().String()
}

// annotate makes an annotation of a record: what it says is the title, what is known about it the text.
func (s *logState) annotate(r slog.Record, attrs []slog.Attr) {
	title := r.Message
	var text []string
	for _, a := range attrs {
		value := a.Value.Resolve().String()
		switch a.Key {
		case "driver", kernelKey:
			title += " " + value
		case "error", "reason":
			text = append([]string{value}, text...)
		default:
			text = append(text, a.Key+": "+value)
		}
	}
	if len(text) == 0 {
		text = []string{r.Message}
	}
	if r.Level >= slog.LevelError {
		s.workflow.Error(title, strings.Join(text, "\n"))
		return
	}
	s.workflow.Warning(title, strings.Join(text, "\n"))
}

// Done writes what was logged about a kernel as one group, with what became of it in the title.
func (l *Log) Done(kernel, outcome string) {
	s := l.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flush(kernel, outcome)
}

// Close writes what is left, of a run that was stopped.
func (l *Log) Close() {
	s := l.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kernel := range s.order {
		s.flush(kernel, "not finished")
	}
}

func (s *logState) flush(kernel, outcome string) {
	if lines := s.kernels[kernel]; lines != nil {
		s.workflow.Group(fmt.Sprintf("%s: %s", kernel, outcome), lines.Bytes())
		delete(s.kernels, kernel)
	}
}
