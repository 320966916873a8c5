package github

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// runner reads a step's log as the runner does: commands, and the lines that it shows.
// https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
func commands(log string) (found []string) {
	for line := range strings.SplitSeq(log, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "::") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// R8.3: annotations and masks, with everything escaped that would end them or begin another one.
func TestWorkflowCommands(t *testing.T) {
	var log bytes.Buffer
	w := &Workflow{Out: &log}
	w.Error("a:b,c\n::add-mask::x", "50%\r\n::set-output name=x::y")
	w.Warning("t", "m")
	w.Mask("hunter2\nhunter3")
	w.Mask("")
	w.Group("kernel\n::error::x", []byte("one\ntwo"))
	want := []string{
		"::error title=a%3Ab%2Cc%0A%3A%3Aadd-mask%3A%3Ax::50%25%0D%0A::set-output name=x::y", "::warning title=t::m",
		"::add-mask::hunter2%0Ahunter3", "::group::kernel%0A::error::x", "::endgroup::",
	}
	if got := commands(log.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("commands\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// R8.3: the summary and the outputs are added to what earlier parts of the step wrote; a value sets no other output.
func TestWorkflowFiles(t *testing.T) {
	dir := t.TempDir()
	w := &Workflow{Out: &bytes.Buffer{}, Summary: filepath.Join(dir, "summary"), Outputs: filepath.Join(dir, "outputs")}
	if err := os.WriteFile(w.Summary, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("line\n", maxSummary/5+1)
	err := errors.Join(w.AddSummary("# Title\n"), w.SetOutput("matrix", "{\n}"), w.SetOutput("evil", "x\nEOF\nmatrix=y"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(w.Summary); err != nil || string(got) != "before\n# Title\n" {
		t.Errorf("summary %q, %v", got, err)
	}
	got, err := os.ReadFile(w.Outputs)
	if err != nil {
		t.Fatal(err)
	}
	outputs := readOutputs(t, string(got))
	if len(outputs) != 2 || outputs["matrix"] != "{\n}" || outputs["evil"] != "x\nEOF\nmatrix=y" {
		t.Errorf("outputs %q of\n%s", outputs, got)
	}
	w.Summary = filepath.Join(dir, "long")
	if err := w.AddSummary(long); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(w.Summary); err != nil || len(got) > maxSummary || !strings.HasSuffix(string(got), "line\n\n\n(cut: GitHub shows 1 MiB at most)\n") {
		t.Errorf("a long summary has %d bytes, %v", len(got), err)
	}
	w.Summary, w.Outputs = "", ""
	if err := errors.Join(w.AddSummary("x"), w.SetOutput("x", "y")); err != nil {
		t.Errorf("without files: %v", err)
	}
	w.Outputs = filepath.Join(dir, "absent", "outputs")
	if err := w.SetOutput("x", "y"); err == nil {
		t.Error("no error where the file cannot be written")
	}
}

// readOutputs reads the file as the runner does: NAME<<END, lines, END.
func readOutputs(t *testing.T, text string) map[string]string {
	t.Helper()
	found := map[string]string{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		name, end, ok := strings.Cut(lines[i], "<<")
		if !ok {
			t.Fatalf("line %q is no output", lines[i])
		}
		var value []string
		for i++; i < len(lines) && lines[i] != end; i++ {
			value = append(value, lines[i])
		}
		found[name] = strings.Join(value, "\n")
	}
	return found
}

// R8.3: lines about a kernel are one group when it is done; errors and warnings are annotations at once, the lines of a
// compile log none.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	handler := NewLog(&Workflow{Out: &out}, slog.LevelInfo)
	log := slog.New(handler)
	log.Info("begun", "target", "t")
	log.With("kernel", "k1").Info("compiled", "name", "a")
	log.Info("compiled", "kernel", "k2")
	log.Debug("unseen", "kernel", "k1")
	log.Error("build failed", "driver", "2.24.7.0", "kernel", "k1", "error", "x.c:1:2: error: broken")
	log.Error("compile log", "kernel", "k1", "line", "::error::x.c")
	log.Warn("the catalogue is old")
	if got := out.String(); strings.Contains(got, "compiled") || !strings.HasPrefix(got, "level=INFO msg=begun target=t\n") {
		t.Errorf("before a kernel is done:\n%s", got)
	}
	handler.Done("k1", "1 failed")
	handler.Done("k1", "again")
	handler.Done("never seen", "x")
	handler.Close()
	want := []string{
		"::error title=build failed 2.24.7.0 k1::x.c:1:2: error: broken", "::warning title=the catalogue is old::the catalogue is old",
		"::group::k1: 1 failed", "::endgroup::", "::group::k2: not finished", "::endgroup::",
	}
	if got := commands(out.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("commands\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	_, group, _ := strings.Cut(out.String(), "::group::k1: 1 failed\n")
	group, _, _ = strings.Cut(group, "::endgroup::")
	for _, part := range []string{"msg=compiled kernel=k1 name=a", "msg=\"build failed\"", "line=::error::x.c"} {
		if !strings.Contains(group, part) {
			t.Errorf("the group has no %q:\n%s", part, group)
		}
	}
}

// Attributes and groups of loggers reach the line, from several goroutines.
func TestLogWith(t *testing.T) {
	var out bytes.Buffer
	handler := NewLog(&Workflow{Out: &out}, slog.LevelDebug)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { slog.New(handler).With("a", 1).WithGroup("g").With("b", 2).Info("said", "c", 3) })
	}
	wg.Wait()
	if n := strings.Count(out.String(), "level=INFO msg=said a=1 g.b=2 g.c=3\n"); n != 4 {
		t.Errorf("%d lines of 4:\n%s", n, out.String())
	}
}
