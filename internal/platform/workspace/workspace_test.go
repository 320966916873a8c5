package workspace

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, state, temp string) *Workspace {
	t.Helper()
	w, err := Open(t.Context(), state, temp, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func isThere(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// R8.2, R9.2: a run has a directory of its own, and nothing is left of it.
func TestWorkspace(t *testing.T) {
	state, temp := t.TempDir(), t.TempDir()
	w := open(t, state, temp)
	if got, want := w.Path("a", "b"), filepath.Join(temp, "neuron-kmod-"+w.ID(), "a", "b"); got != want {
		t.Errorf("Path = %s, want %s", got, want)
	}
	dir, err := w.Mkdir("source")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(w.Path()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v; want 0700", info.Mode(), err)
	}
	// A read-only directory with a file in it, as a package may hold.
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), nil, 0o400), os.Chmod(dir, 0o500)); err != nil {
		t.Fatal(err)
	}
	if stale, err := Stale(state); len(stale) != 0 || err != nil {
		t.Errorf("the run is alive, but Stale = %v, %v", stale, err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if isThere(t, w.Path()) {
		t.Error("the directory is still there")
	}
	if left, err := os.ReadDir(filepath.Join(state, "runs")); len(left) != 0 || err != nil {
		t.Errorf("left in runs: %v, %v", left, err)
	}
}

func TestMkdirStaysInside(t *testing.T) {
	w := open(t, t.TempDir(), t.TempDir())
	defer w.Close()
	for _, name := range []string{"", "../x", "/tmp/x", "a/../../x"} {
		if dir, err := w.Mkdir(name); err == nil {
			t.Errorf("Mkdir(%q) = %s", name, dir)
		}
	}
}

// kill leaves what a SIGKILL leaves: the lock is free, nothing is removed.
func kill(t *testing.T, w *Workspace) {
	t.Helper()
	if err := w.lock.Close(); err != nil {
		t.Fatal(err)
	}
}

// R8.2: the next run removes what a killed one has left, once.
func TestStale(t *testing.T) {
	state, temp := t.TempDir(), t.TempDir()
	dead, alive := open(t, state, temp), open(t, state, temp)
	defer alive.Close()
	if _, err := dead.Mkdir("source"); err != nil {
		t.Fatal(err)
	}
	kill(t, dead)

	stale, err := Stale(state)
	if err != nil || len(stale) != 1 || stale[0].ID != dead.ID() || stale[0].Dir != dead.Path() {
		t.Fatalf("Stale = %v, %v; want run %s", stale, err, dead.ID())
	}
	if again, err := Stale(state); len(again) != 0 || err != nil {
		t.Errorf("two may clean up after the same run: %v, %v", again, err)
	}
	if err := stale[0].Remove(); err != nil {
		t.Fatal(err)
	}
	if isThere(t, dead.Path()) || !isThere(t, alive.Path()) {
		t.Error("want the dead run's directory gone, the live run's there")
	}
	if again, err := Stale(state); len(again) != 0 || err != nil {
		t.Errorf("after Remove: %v, %v", again, err)
	}
}

// A lock file is removed with nothing else if what it says is not what Open writes.
func TestStaleRemovesNothingElse(t *testing.T) {
	const id = "0123456789abcdef"
	temp := t.TempDir()
	other := filepath.Join(temp, "precious")
	link := filepath.Join(temp, "neuron-kmod-"+id)
	if err := errors.Join(os.Mkdir(other, 0o700), os.Symlink(other, link)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, content string
		wantErr       bool
	}{
		{"empty: killed before it wrote", "", false},
		{"another directory", other, false},
		{"another run's directory", filepath.Join(temp, "neuron-kmod-fedcba9876543210"), false},
		{"relative", "neuron-kmod-" + id, false},
		{"not clean", temp + "/x/../neuron-kmod-" + id, false},
		{"too long", "/" + strings.Repeat("x/", maxPath) + "neuron-kmod-" + id, false},
		{"a link", link, true},
		{"gone already", filepath.Join(temp, "gone", "neuron-kmod-"+id), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			state := t.TempDir()
			lock := filepath.Join(state, "runs", id)
			if err := errors.Join(os.Mkdir(filepath.Dir(lock), 0o700), os.WriteFile(lock, []byte(tt.content), 0o600)); err != nil {
				t.Fatal(err)
			}
			stale, err := Stale(state)
			if err != nil || len(stale) != 1 {
				t.Fatalf("Stale = %v, %v", stale, err)
			}
			if err := stale[0].Remove(); (err != nil) != tt.wantErr {
				t.Errorf("Remove = %v, want an error: %v", err, tt.wantErr)
			}
			if isThere(t, lock) != tt.wantErr {
				t.Errorf("the lock file is there: %v, want %v", isThere(t, lock), tt.wantErr)
			}
			if !isThere(t, other) || !isThere(t, link) {
				t.Error("it has removed what is not its own")
			}
		})
	}
}

func TestStaleWithoutState(t *testing.T) {
	if stale, err := Stale(filepath.Join(t.TempDir(), "none")); stale != nil || err != nil {
		t.Errorf("got %v, %v", stale, err)
	}
}

func TestOpenFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	if _, err := Open(t.Context(), state, file, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a temporary directory that is a file: no error")
	}
	if left, err := os.ReadDir(filepath.Join(state, "runs")); len(left) != 0 || err != nil {
		t.Errorf("left in runs: %v, %v", left, err)
	}
}

// TestMain is also the process that TestKilledProcess kills: given a directory it opens a workspace, says
// which, and waits.
func TestMain(m *testing.M) {
	root := os.Getenv("WORKSPACE_TEST_ROOT")
	if root == "" {
		os.Exit(m.Run())
	}
	w, err := Open(context.Background(), filepath.Join(root, "state"), filepath.Join(root, "temp"), slog.New(slog.DiscardHandler))
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString(w.ID() + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the end of a parent that fails
}

// R8.2: a real SIGKILL frees the lock.
func TestKilledProcess(t *testing.T) {
	root := t.TempDir()
	state := filepath.Join(root, "state")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	cmd.Env = append(os.Environ(), "WORKSPACE_TEST_ROOT="+root)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if stale, err := Stale(state); len(stale) != 0 || err != nil {
		t.Errorf("while it runs: %v, %v", stale, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	stale, err := Stale(state)
	if err != nil || len(stale) != 1 || stale[0].ID != strings.TrimSpace(id) {
		t.Fatalf("after SIGKILL: %v, %v", stale, err)
	}
	if err := stale[0].Remove(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(root, "temp")); len(left) != 0 || err != nil {
		t.Errorf("left in temp: %v, %v", left, err)
	}
}
