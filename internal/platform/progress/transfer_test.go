package progress

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// R8.3: without a terminal a long transfer says now and then how far it is.
func TestTransferPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		out := NewOutput(&buf)
		p := NewProgress(out, false, slog.New(slog.NewTextHandler(out, nil)))
		transfer := p.Transfer("mirror")
		transfer.Update(0, 3, 1, 100)
		if buf.Len() > 0 {
			t.Errorf("at once it says %s", buf.String())
		}
		time.Sleep(quietTime) // the clock of the bubble
		transfer.Update(1, 3, 50, 100)
		transfer.Update(1, 3, 51, 100)
		transfer.Done()
		p.Close()
		if got := buf.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "msg=copying images=1/3 bytes=50 of=100") {
			t.Errorf("log:\n%s", got)
		}
	})
}

// Several goroutines tell how far it is; the bar goes when it is over. The race detector watches.
func TestTransferLive(t *testing.T) {
	var buf bytes.Buffer
	p := NewProgress(NewOutput(&buf), true, slog.New(slog.DiscardHandler))
	transfer := p.Transfer("mirror")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { transfer.Update(i, 4, int64(i), 4) })
	}
	wg.Wait()
	if got := transfer.counts(); !strings.HasSuffix(got, "/4 images ") {
		t.Errorf("the bar says %q", got)
	}
	transfer.Done()
	p.Close()
}
