package command

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sh(script string, args ...string) Cmd {
	return Cmd{Name: "/bin/sh", Args: append([]string{"-c", script, "sh"}, args...)}
}

func TestOutput(t *testing.T) {
	c := sh(`echo "$KEY in $(pwd)"; cat; echo lost >&2`)
	c.Dir = t.TempDir()
	c.Env = []string{"KEY=value"}
	c.Stdin = strings.NewReader("given\n")
	got, err := Output(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if want := "value in " + c.Dir + "\ngiven\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// R8.1: a failure says which program with which arguments failed, how, and what it said.
func TestError(t *testing.T) {
	err := Run(t.Context(), sh(`echo first >&2; echo "the reason" >&2; exit 7`, "an argument"))
	failed, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %T %v, want *Error", err, err)
	}
	if failed.ExitCode != 7 || failed.Stderr != "first\nthe reason\n" {
		t.Errorf("got status %d, stderr %q", failed.ExitCode, failed.Stderr)
	}
	for _, part := range []string{"an argument", "exit status 7", ": the reason"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not contain %q", err, part)
		}
	}
}

func TestErrorIsNotLong(t *testing.T) {
	err := Run(t.Context(), sh("exit 1", strings.Repeat("é", 1000)))
	if got := err.Error(); len(got) > maxShown+50 || !strings.Contains(got, "é...: exit status 1") {
		t.Errorf("got %q", got)
	}
}

func TestErrorKeepsTheEndOfStderr(t *testing.T) {
	var all bytes.Buffer
	c := sh(`i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done >&2; exit 1`)
	c.Stderr = &all
	failed, _ := errors.AsType[*Error](Run(t.Context(), c))
	if len(failed.Stderr) != maxStderr || !strings.HasSuffix(failed.Stderr, "line 1999\n") {
		t.Errorf("kept %d bytes that end in %q", len(failed.Stderr), failed.Stderr[len(failed.Stderr)-20:])
	}
	if n := strings.Count(all.String(), "\n"); n != 2000 {
		t.Errorf("passed on %d lines, want 2000", n)
	}
}

func TestNotInstalled(t *testing.T) {
	err := Run(t.Context(), Cmd{Name: "no-such-program-here"})
	failed, ok := errors.AsType[*Error](err)
	if !errors.Is(err, exec.ErrNotFound) || !ok || failed.ExitCode != -1 {
		t.Errorf("got %v, want an *Error with status -1 that wraps exec.ErrNotFound", err)
	}
}

func TestOneWriterKeepsOrder(t *testing.T) {
	var both bytes.Buffer
	c := sh(`echo 1; echo 2 >&2; echo 3; echo 4 >&2; exit 1`)
	c.Stdout, c.Stderr = &both, &both
	err := Run(t.Context(), c)
	if got := both.String(); got != "1\n2\n3\n4\n" {
		t.Errorf("got %q", got)
	}
	if failed, _ := errors.AsType[*Error](err); failed.Stderr != "1\n2\n3\n4\n" {
		t.Errorf("the error keeps %q", failed.Stderr)
	}
}

// uncomparable is a writer that == panics on.
type uncomparable struct{ _ []func() }

func (uncomparable) Write(p []byte) (int, error) { return len(p), nil }

func TestUncomparableWriters(t *testing.T) {
	c := sh(`echo 1; echo 2 >&2`)
	c.Stdout, c.Stderr = uncomparable{}, uncomparable{}
	if err := Run(t.Context(), c); err != nil {
		t.Error(err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	_, err := Output(t.Context(), sh(`exec cat /dev/zero`))
	if !errors.Is(err, ErrTooMuchOutput) {
		t.Errorf("got %v, want ErrTooMuchOutput", err)
	}
}

// onLine is a writer that calls f with the first line written to it.
type onLine struct {
	f   func(line string)
	buf bytes.Buffer
}

func (o *onLine) Write(p []byte) (int, error) {
	o.buf.Write(p)
	if line, _, ok := strings.Cut(o.buf.String(), "\n"); ok && o.f != nil {
		o.f(line)
		o.f = nil
	}
	return len(p), nil
}

// R8.2: a program that is told to end may clean up, and is an error whatever its status.
func TestCancelAsksFirst(t *testing.T) {
	cause := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	mark := filepath.Join(t.TempDir(), "cleaned")
	c := sh(`trap 'touch "$1"; exit 0' TERM; echo ready; while :; do sleep 0.01; done`, mark)
	c.Stdout = &onLine{f: func(string) { cancel(cause) }}
	err := Run(ctx, c)
	if !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("it had no time to clean up: %v", err)
	}
}

// R8.2: what does not end is killed, with its children.
func TestCancelKillsTheGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var child string
	c := sh(`trap '' TERM; sleep 1000 & echo $!; while :; do wait; done`)
	c.Stdout = &onLine{f: func(line string) { child = line; cancel() }}
	c.grace = 20 * time.Millisecond
	err := Run(ctx, c)
	if failed, ok := errors.AsType[*Error](err); !ok || failed.ExitCode != -1 || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an *Error with status -1 that wraps context.Canceled", err)
	}
	pid, err := strconv.Atoi(child)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for alive(pid) {
		if time.Now().After(deadline) {
			t.Fatalf("child %d is still alive", pid)
		}
		time.Sleep(time.Millisecond)
	}
}

// alive reports whether a process runs; one that nobody has waited for yet does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || !bytes.Contains(stat, []byte(") Z "))
}

// A Ctrl-C goes to the terminal's process group, which must not be the program's.
func TestOwnProcessGroup(t *testing.T) {
	out, err := Output(t.Context(), sh(`ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat; echo $$`))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(out))
	if len(fields) != 2 || fields[0] != fields[1] {
		t.Errorf("process group and process are %v, want the same", fields)
	}
}

func TestCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, sh("exit 0")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestTail(t *testing.T) {
	tests := []struct {
		name   string
		max    int
		writes []string
		want   string
	}{
		{"nothing", 4, nil, ""},
		{"fits", 4, []string{"ab", "cd"}, "abcd"},
		{"over", 4, []string{"ab", "cd", "e"}, "bcde"},
		{"one long write", 4, []string{"abcdefgh"}, "efgh"},
		{"a long write after another", 4, []string{"xy", "abcdefgh"}, "efgh"},
		{"a cut character", 4, []string{"aé-bc"}, "-bc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tail := NewTail(tt.max)
			for _, w := range tt.writes {
				if n, err := io.WriteString(tail, w); n != len(w) || err != nil {
					t.Errorf("Write(%q) = %d, %v", w, n, err)
				}
			}
			if diff := cmp.Diff(tt.want, tail.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
