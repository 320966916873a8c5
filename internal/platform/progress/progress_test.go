package progress

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// R8.3: without a terminal each step that ends well is one plain line; a failure is its caller's to report.
func TestPlain(t *testing.T) {
	var buf bytes.Buffer
	out := NewOutput(&buf)
	log := slog.New(slog.NewTextHandler(out, nil))
	p := NewProgress(out, false, log)
	task := p.Start("pull", "6.1.0-50-amd64", "6.1.0-50-amd64")
	task.Update(1, 2)
	task.Done(nil)
	p.Start("compile", "x", "").Done(errors.New("broken"))
	p.Close()
	got := buf.String()
	if !strings.Contains(got, `msg="the Driver Toolkit is here" name=6.1.0-50-amd64 kernel=6.1.0-50-amd64`) || strings.Count(got, "\n") != 1 {
		t.Errorf("log:\n%s", got)
	}
	if strings.ContainsAny(got, "\x1b\r") {
		t.Errorf("control characters without a terminal: %q", got)
	}
}

// Log lines and bars share the terminal; after Close lines are plain again. The race detector watches.
func TestLive(t *testing.T) {
	var buf bytes.Buffer
	out := NewOutput(&buf)
	log := slog.New(slog.NewTextHandler(out, nil))
	p := NewProgress(out, true, log)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			task := p.Start("compile", "tag", "")
			task.Update(1, 3)
			log.Info("in between")
			task.Done(nil)
		})
	}
	wg.Wait()
	p.Close()
	log.Info("afterwards")
	if got := buf.String(); strings.Count(got, "in between") != 4 || !strings.HasSuffix(got, "msg=afterwards\n") {
		t.Errorf("output %q", got)
	}
}
