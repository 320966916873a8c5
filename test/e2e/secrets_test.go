//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"neuron-kmod/test/lab"
)

// Passwords are in no output, no argument list and no file but the run's own file of mode 0600, which goes with
// the run: after success, after refused credentials, after a signal.
// R10.2
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		code int
		run  func(t *testing.T, env *lab.Env) result
	}{
		{"a build", 0, func(t *testing.T, env *lab.Env) result {
			return launch(t, env, "-v", "--log-format", "json").result()
		}},
		{"the engine builds the image", 0, func(t *testing.T, env *lab.Env) result {
			return launch(t, env, "-v", "--builder", "engine").result()
		}},
		{"refused by the DTK registry", 4, func(t *testing.T, env *lab.Env) result {
			toolkits, _, _ := strings.Cut(lab.ToolkitRepository, "/")
			env = withPassword(t, env, env.ToolkitHost+"/"+toolkits, markerPassword)
			return launch(t, env, "-v", "--log-format", "json").result()
		}},
		{"refused by the target", 4, func(t *testing.T, env *lab.Env) result {
			return launch(t, withPassword(t, env, env.TargetHost, markerPassword), "-v").result()
		}},
		{"terminated", 143, func(t *testing.T, env *lab.Env) result {
			g := newGate()
			t.Cleanup(g.open)
			env.ToolkitFaults.Set(g.fault(http.MethodGet, regexp.MustCompile(toolkitPath.String()+"blobs/")))
			p := launch(t, env, "-v")
			p.await("the pull", g.reached)
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			return p.result()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := scenario(t, known())
			toRegistry(t, env)
			temp := t.TempDir()
			env.Vars = append(env.Vars, "TMPDIR="+temp)
			secrets := secretsOf(t, env)
			w := watchSecrets(t, func() [][]byte { return secrets }, temp)
			r := tt.run(t, env)
			w.stop()
			expect(t, r, tt.code)
			for name, text := range map[string]string{"stdout": r.stdout, "stderr": r.stderr} {
				if w.holds([]byte(text)) {
					t.Errorf("a secret is in %s:\n%s", name, text)
				}
			}
			w.expectNone(filepath.Dir(cacheDir(env)), temp)
			if tt.code != 4 && !w.sawAuthFile { // the target is asked before there is such a file
				t.Error("the file for the engine was never seen: this test shows nothing")
			}
		})
	}
}

const markerPassword = "marker-of-a-password"

// secretWatch looks for secrets in argument lists and temporary files while a run goes on.
type secretWatch struct {
	t           *testing.T
	secrets     func() [][]byte // those that there are by now
	temp        string
	done        chan struct{}
	ended       sync.WaitGroup
	before      map[string]bool        // processes that there were before the run
	read        map[string]fs.FileInfo // files as they were when they were read
	found       []string               // owned by the watching goroutine until stop, as are those above
	sawAuthFile bool
}

func watchSecrets(t *testing.T, secrets func() [][]byte, temp string) *secretWatch {
	t.Helper()
	w := &secretWatch{
		t: t, temp: temp, done: make(chan struct{}), secrets: secrets,
		before: map[string]bool{}, read: map[string]fs.FileInfo{},
	}
	for _, id := range w.processes() {
		w.before[id] = true
	}
	w.ended.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			w.lookAtProcesses()
			w.lookAtFiles()
			select {
			case <-tick.C:
			case <-w.done:
				return
			}
		}
	})
	t.Cleanup(w.stop)
	return w
}

// secretsOf returns the passwords of the auth file and the marker, in the forms in which they travel.
func secretsOf(t *testing.T, env *lab.Env) [][]byte {
	t.Helper()
	var file struct {
		Auths map[string]struct{ Auth string }
	}
	data, err := os.ReadFile(env.AuthFile)
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil || len(file.Auths) != 2 {
		t.Fatalf("auth file with %d registries: %v", len(file.Auths), err)
	}
	pairs := []string{"somebody:" + markerPassword}
	for _, a := range file.Auths {
		pair, err := base64.StdEncoding.DecodeString(a.Auth)
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, string(pair))
	}
	var secrets [][]byte
	for _, pair := range pairs {
		_, password, _ := strings.Cut(pair, ":")
		for _, plain := range []string{pair, password} {
			secrets = append(secrets, []byte(plain), []byte(base64.RawStdEncoding.EncodeToString([]byte(plain))))
		}
	}
	return secrets
}

func (w *secretWatch) holds(data []byte) bool {
	return slices.ContainsFunc(w.secrets(), func(s []byte) bool { return bytes.Contains(data, s) })
}

// processes lists the IDs of all processes of the machine.
func (w *secretWatch) processes() []string {
	proc, err := os.Open("/proc")
	if err == nil {
		var names []string
		names, err = proc.Readdirnames(-1)
		if err = errors.Join(err, proc.Close()); err == nil {
			return slices.DeleteFunc(names, func(name string) bool { return name[0] < '0' || name[0] > '9' })
		}
	}
	w.found = append(w.found, err.Error())
	return nil
}

// lookAtProcesses reads the argument list of every process that was not there before, as any user of the machine can.
func (w *secretWatch) lookAtProcesses() {
	for _, id := range w.processes() {
		if w.before[id] {
			continue
		}
		args, err := os.ReadFile(filepath.Join("/proc", id, "cmdline"))
		if err == nil && w.holds(args) { // a process may have ended meanwhile
			w.found = append(w.found, fmt.Sprintf("the arguments of process %s: %q", id, args))
		}
	}
}

// lookAtFiles reads what the run has written to its temporary directory since the last look: one file may hold secrets,
// for nobody else to read.
func (w *secretWatch) lookAtFiles() {
	w.walk(w.temp, w.changed, func(path string, mode fs.FileMode) {
		if ok, err := filepath.Match(filepath.Join(w.temp, "neuron-kmod-*", "engine", "*config.json*"), path); err == nil &&
			ok &&
			mode == 0o600 {
			w.sawAuthFile = true
			return
		}
		w.found = append(w.found, fmt.Sprintf("%s, mode %v", path, mode))
	})
}

// changed reports whether a file is not the one that was read.
func (w *secretWatch) changed(path string, now fs.FileInfo) bool {
	last := w.read[path]
	w.read[path] = now
	return last == nil || !os.SameFile(last, now) || last.Size() != now.Size() || !last.ModTime().Equal(now.ModTime())
}

// always is for files that are read however often they have been.
func always(string, fs.FileInfo) bool { return true }

// walk calls f for each file below dir that is wanted and holds a secret. Files may vanish meanwhile.
func (w *secretWatch) walk(dir string, wanted func(string, fs.FileInfo) bool, f func(path string, mode fs.FileMode)) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info() // before it is read: what is written meanwhile is read again
		if err != nil || !wanted(path, info) {
			return nil
		}
		if data, err := os.ReadFile(path); err == nil && w.holds(data) {
			f(path, info.Mode())
		}
		return nil
	})
	if err != nil {
		w.found = append(w.found, err.Error())
	}
}

// stop ends the watch, and fails the test if it has found something.
func (w *secretWatch) stop() {
	select {
	case <-w.done:
		return
	default:
	}
	close(w.done)
	w.ended.Wait()
	slices.Sort(w.found)
	for _, f := range slices.Compact(w.found) {
		w.t.Errorf("a secret is in %s", f)
	}
}

// expectNone checks, when the run is over, that no file below the directories holds a secret.
func (w *secretWatch) expectNone(dirs ...string) {
	w.t.Helper()
	for _, dir := range dirs {
		w.walk(dir, always, func(path string, _ fs.FileMode) { w.t.Errorf("a secret is left in %s", path) })
	}
}
