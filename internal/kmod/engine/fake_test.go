package engine

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// fake is an engine's program: this test's own binary under the name podman or docker. It keeps images
// and containers as files in a directory and has the rules of the real one that the package relies on.
type fake struct{ dir string }

// call is one run of the fake.
type call struct {
	Args []string
	Env  map[string]string // what it read: of an engine's variables those that the package set, and its ca.crt
}

// outcome is what the fake does in place of its usual work.
type outcome struct {
	Code           int
	Stdout, Stderr string
	Hang           bool // wait for SIGTERM, then end with Code; a load waits for proceed
	Slow           bool // run as docker does when its daemon takes its time to make the container
}

var randomFolder = regexp.MustCompile(`FAKE/temp/(\w+)-[0-9]+`)

const fakeEnv = "FAKE_ENGINE_DIR"

// children are what this binary does, in place of tests, when the variable childEnv names it.
var children = map[string]func() error{}

const childEnv = "ENGINE_TEST_CHILD"

func TestMain(m *testing.M) {
	if child := children[os.Getenv(childEnv)]; child != nil {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	name := filepath.Base(os.Args[0])
	if name != "podman" && name != "docker" {
		os.Exit(m.Run())
	}
	os.Exit(fake{os.Getenv(fakeEnv)}.main(os.Args[1:]))
}

// newFake makes an engine program of that name, and a CLI that uses it.
func newFake(t *testing.T, name string) (fake, *CLI) {
	t.Helper()
	f := fake{t.TempDir()}
	t.Setenv(fakeEnv, f.dir)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // or each call takes a second under -race
	t.Setenv("DOCKER_CONFIG", "")           // what leads to this machine's docker is none of the package's doing
	t.Setenv("DOCKER_HOST", "")
	for _, dir := range []string{"images", "containers", "outcomes", "bin", "temp"} {
		must(t, os.Mkdir(filepath.Join(f.dir, dir), 0o700))
	}
	exe, err := os.Executable()
	must(t, err)
	must(t, os.Symlink(exe, filepath.Join(f.dir, "bin", name)))
	return f, f.cli(t, name, "00000000000000aa", func(*Options) {})
}

// cli is one run's engine; runs share the state directory.
func (f fake) cli(t *testing.T, name, run string, change func(*Options)) *CLI {
	t.Helper()
	o := Options{
		Program: filepath.Join(f.dir, "bin", name), StateDir: filepath.Join(f.dir, "state"),
		TempDir: filepath.Join(f.dir, "temp"), RunID: run, RetryWait: time.Millisecond,
		Log: slog.New(slog.DiscardHandler),
	}
	change(&o)
	c, err := New(o)
	must(t, err)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// next sets what the calls of a verb do, one after the other; then they do their usual work.
func (f fake) next(t *testing.T, verb string, outcomes ...outcome) {
	t.Helper()
	for i, o := range outcomes {
		data, err := json.Marshal(o)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(f.dir, "outcomes", fmt.Sprintf("%s.%03d", verb, i)), data, 0o600))
	}
}

// calls returns and forgets what was run so far. The directories of this test are shown as FAKE, random
// directories within as RANDOM.
func (f fake) calls(t *testing.T) []call {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, "calls"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	must(t, err)
	must(t, os.Remove(filepath.Join(f.dir, "calls")))
	text := randomFolder.ReplaceAllString(strings.ReplaceAll(string(data), f.dir, "FAKE"), "FAKE/temp/$1-RANDOM")
	var calls []call
	for d := json.NewDecoder(strings.NewReader(text)); ; {
		var c call
		err := d.Decode(&c)
		if errors.Is(err, io.EOF) {
			return calls
		}
		must(t, err)
		calls = append(calls, c)
	}
}

// argv is the arguments of each call since the last look.
func (f fake) argv(t *testing.T) [][]string {
	t.Helper()
	var all [][]string
	for _, c := range f.calls(t) {
		all = append(all, c.Args)
	}
	return all
}

// wantCalls compares the calls since the last look, each with its arguments joined by spaces.
func (f fake) wantCalls(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, args := range f.argv(t) {
		got = append(got, strings.Join(args, " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// put makes an image or a container; names lists them.
func (f fake) put(t *testing.T, kind, name, content string) {
	t.Helper()
	must(t, os.WriteFile(f.file(kind, name), []byte(content), 0o600))
}

func (f fake) names(t *testing.T, kind string) []string {
	t.Helper()
	names, err := f.list(kind)
	must(t, err)
	return names
}

func (f fake) file(kind, name string) string { return filepath.Join(f.dir, kind, url.PathEscape(name)) }

func (f fake) has(kind, name string) bool {
	_, err := os.Stat(f.file(kind, name))
	return err == nil
}

func (f fake) list(kind string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(f.dir, kind))
	names := []string{}
	for _, e := range entries {
		name, escErr := url.PathUnescape(e.Name())
		err = errors.Join(err, escErr)
		names = append(names, name)
	}
	return names, err
}

// main is the fake program.
func (f fake) main(args []string) int {
	f.record(args)
	verb := args[0]
	if verb == "image" {
		verb = args[1]
	}
	if o, ok := f.pop(verb); ok {
		return f.play(o, args)
	}
	last := args[len(args)-1]
	switch verb {
	case "info":
		fmt.Print(`{"version":{"Version":"4.3.1"},"host":{"security":{"rootless":true}},"store":{"graphRoot":"/storage"}}`)
	case "exists", "inspect":
		if !f.has("images", last) {
			return 1
		}
	case "pull", "tag":
		return f.write("images", last, "")
	case "load":
		return f.load(args)
	case "run":
		return f.run(args)
	case "rm":
		if args[0] == "image" {
			return f.removeImage(last)
		}
		for _, name := range args {
			_ = os.Remove(f.file("containers", name)) // flags and strangers are ignored
		}
	case "ps":
		return f.ps(args)
	case "ls":
		names, _ := f.list("images")
		fmt.Println(strings.Join(names, "\n"))
	case "build":
		return f.write("images", flag(args, "--tag"), "")
	case "save":
		return f.save(args)
	}
	return 0
}

func (f fake) record(args []string) {
	c := call{Args: args, Env: map[string]string{}}
	for _, key := range []string{"DOCKER_CONFIG", "DOCKER_HOST", "TMPDIR"} {
		if v := os.Getenv(key); strings.HasPrefix(v, f.dir) || key != "TMPDIR" && v != "" {
			c.Env[key] = v
		}
	}
	if ca, err := os.ReadFile(filepath.Join(flag(args, "--cert-dir"), "ca.crt")); err == nil {
		c.Env["ca.crt"] = string(ca) // it is gone when the test looks
	}
	line, _ := json.Marshal(c)
	log, err := os.OpenFile(filepath.Join(f.dir, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = log.Write(append(line, '\n'))
	}
	if err != nil {
		panic(err)
	}
}

func (f fake) pop(verb string) (outcome, bool) {
	found, err := filepath.Glob(filepath.Join(f.dir, "outcomes", verb+".*"))
	if err != nil || len(found) == 0 {
		return outcome{}, false
	}
	slices.Sort(found)
	data, err := os.ReadFile(found[0])
	var o outcome
	if err := errors.Join(err, json.Unmarshal(data, &o), os.Remove(found[0])); err != nil {
		panic(err)
	}
	return o, true
}

// play does an outcome. A container that is not seen to its end stays.
func (f fake) play(o outcome, args []string) int {
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM)
	if args[0] == "load" && o.Hang {
		return f.slowLoad(args, stopped)
	}
	if args[0] == "run" && o.Slow {
		return f.slowRun(args, stopped)
	}
	if args[0] == "run" && o.Hang {
		f.write("containers", flag(args, "--name"), flag(args, "--label")+" image")
	}
	if args[0] == "build" && o.Hang {
		for _, context := range args {
			if _, alias, ok := strings.Cut(context, "container-image://"); ok {
				f.write("containers", "working-"+url.PathEscape(alias), "- "+alias)
			}
		}
	}
	fmt.Print(o.Stdout)
	fmt.Fprint(os.Stderr, o.Stderr)
	if o.Hang {
		f.tell()
		<-stopped
	}
	return o.Code
}

// slowLoad goes on when the test says so. Stopped before, it leaves an image that nobody knows the name of, as podman 4.
func (f fake) slowLoad(args []string, stopped <-chan os.Signal) int {
	f.tell()
	proceed := make(chan struct{})
	go func() {
		defer close(proceed)
		if _, err := os.ReadFile(f.file("", "proceed")); err != nil {
			panic(err)
		}
	}()
	select {
	case <-proceed:
		return f.load(args)
	case <-stopped:
		return f.write("images", "<none>", "")
	}
}

// slowRun makes the container some time after it was asked, also if it is killed before, and ends with the container.
func (f fake) slowRun(args []string, stopped <-chan os.Signal) int {
	f.tell()
	name := flag(args, "--name")
	select {
	case <-stopped:
		f.write("containers", name, flag(args, "--label")+" image")
		return 143
	case <-time.After(100 * time.Millisecond):
	}
	f.write("containers", name, flag(args, "--label")+" image")
	for f.has("containers", name) {
		time.Sleep(time.Millisecond)
	}
	return 137
}

func (f fake) write(kind, name, content string) int {
	if err := os.WriteFile(f.file(kind, name), []byte(content), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	return 0
}

// removeImage: an image that a container uses stays.
func (f fake) removeImage(name string) int {
	users, _ := f.list("containers")
	for _, c := range users {
		if content, _ := os.ReadFile(f.file("containers", c)); strings.HasSuffix(string(content), " "+name) {
			fmt.Fprintf(os.Stderr, "Error: image used by %s: image is in use by a container\n", c)
			return 2
		}
	}
	if err := os.Remove(f.file("images", name)); err != nil {
		fmt.Fprintf(os.Stderr, "Error: %s: image not known\n", name)
		return 1
	}
	return 0
}

// ps lists containers; a container's file holds its label and its image.
func (f fake) ps(args []string) int {
	label := strings.TrimPrefix(flag(args, "--filter"), "label=")
	names, _ := f.list("containers")
	for _, name := range names {
		content, _ := os.ReadFile(f.file("containers", name))
		has, image, _ := strings.Cut(string(content), " ")
		switch {
		case slices.Contains(args, "--quiet") && has == label:
			fmt.Println(name)
		case !slices.Contains(args, "--quiet"):
			fmt.Println(name, image)
		}
	}
	return 0
}

func flag(args []string, name string) string {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
	}
	return ""
}

// load reads the name of the image in a docker archive.
func (f fake) load(args []string) int {
	tag, err := archiveTag(flag(args, "--input"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	return f.write("images", tag, "")
}

// save writes an archive with the one file that makes it an OCI archive.
func (f fake) save(args []string) int {
	if !f.has("images", args[len(args)-1]) {
		fmt.Fprintln(os.Stderr, "Error: image not known")
		return 125
	}
	if err := writeTar(flag(args, "--output"), "oci-layout"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	return 0
}

func archiveTag(path string) (string, error) {
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(path) })
	if err != nil {
		return "", err
	}
	if len(manifest) != 1 || len(manifest[0].RepoTags) != 1 {
		return "", fmt.Errorf("want one image with one name, got %v", manifest)
	}
	return manifest[0].RepoTags[0], nil
}

func writeTar(path, name string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := tar.NewWriter(f)
	return errors.Join(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644}), w.Close(), f.Close())
}
