package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/platform/fault"
)

var dtk = "quay.io/dtk@sha256:" + strings.Repeat("429", 21) + "4"

// R4.1, R10.2: credentials reach the engine as a file, never as an argument.
func TestPullCommandLine(t *testing.T) {
	const secret = "c2VjcmV0OnNlY3JldA=="
	tests := []struct {
		name, program, image string
		want                 []call
	}{
		{"podman", "podman", dtk, []call{
			{Args: []string{"image", "exists", dtk}},
			{
				Args: []string{"pull", "--platform=linux/amd64", "--authfile=FAKE/auth/config.json", dtk},
				Env:  map[string]string{"TMPDIR": "FAKE/temp/pull-RANDOM"},
			},
		}},
		{"podman, a CA", "podman", "localhost:5000/dtk:1", []call{
			{Args: []string{"image", "exists", "localhost:5000/dtk:1"}},
			{
				Args: []string{"pull", "--platform=linux/amd64", "--authfile=FAKE/auth/config.json", "--cert-dir=FAKE/temp/pull-RANDOM/certs", "localhost:5000/dtk:1"},
				Env:  map[string]string{"TMPDIR": "FAKE/temp/pull-RANDOM", "ca.crt": "trusted"},
			},
		}},
		{"docker, a CA", "docker", dtk, []call{
			{Args: []string{"image", "inspect", "--format", "{{.Id}}", dtk}},
			{Args: []string{"context", "inspect", "--format", "{{.Endpoints.docker.Host}}"}},
			{
				Args: []string{"pull", "--platform=linux/amd64", dtk},
				Env: map[string]string{
					"DOCKER_CONFIG": "FAKE/auth", "DOCKER_HOST": "unix:///run/user/1000/docker.sock",
					"TMPDIR": "FAKE/temp/pull-RANDOM",
				},
			},
		}},
		{"podman, a registry on this machine", "podman", "localhost:5000/dtk:1", []call{
			{Args: []string{"image", "exists", "localhost:5000/dtk:1"}},
			{
				Args: []string{"pull", "--platform=linux/amd64", "--authfile=FAKE/auth/config.json", "--tls-verify=false", "localhost:5000/dtk:1"},
				Env:  map[string]string{"TMPDIR": "FAKE/temp/pull-RANDOM"},
			},
		}},
		{"docker", "docker", "localhost:5000/dtk:1", []call{
			{Args: []string{"image", "inspect", "--format", "{{.Id}}", "localhost:5000/dtk:1"}},
			{Args: []string{"context", "inspect", "--format", "{{.Endpoints.docker.Host}}"}},
			{
				Args: []string{"pull", "--platform=linux/amd64", "localhost:5000/dtk:1"},
				Env: map[string]string{
					"DOCKER_CONFIG": "FAKE/auth", "DOCKER_HOST": "unix:///run/user/1000/docker.sock",
					"TMPDIR": "FAKE/temp/pull-RANDOM",
				},
			},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, _ := newFake(t, tt.program)
			auth := filepath.Join(f.dir, "auth", "config.json")
			must(t, errors.Join(os.Mkdir(filepath.Dir(auth), 0o700), os.WriteFile(auth, []byte(`{"auths":{"quay.io":{"auth":"`+secret+`"}}}`), 0o600)))
			c := f.cli(t, tt.program, "1", func(o *Options) {
				o.AuthFile, o.Platform = auth, "linux/amd64"
				if strings.HasSuffix(tt.name, "a CA") {
					o.CAFile = filepath.Join(f.dir, "ca.pem")
					must(t, os.WriteFile(o.CAFile, []byte("trusted"), 0o600))
				}
			})
			f.next(t, "context", outcome{Stdout: "unix:///run/user/1000/docker.sock\n"})
			_, err := c.Acquire(t.Context(), tt.image, nil)
			must(t, err)
			raw, err := os.ReadFile(filepath.Join(f.dir, "calls"))
			must(t, err)
			if strings.Contains(string(raw), secret) {
				t.Error("a secret is in an argument or a variable")
			}
			got := f.calls(t)
			for i := range got {
				if len(got[i].Env) == 0 {
					got[i].Env = nil
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDockerAuthFileName(t *testing.T) {
	_, err := New(Options{Program: "docker", StateDir: "s", TempDir: "t", RunID: "1", AuthFile: "/x/auth.json"})
	if err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("got %v", err)
	}
}

// R4.1, R8.1: what the registry is sure of is not asked again; what may pass is.
func TestPullFailures(t *testing.T) {
	tests := []struct {
		name, stderr           string
		attempts               int
		notFound, unauthorized bool
		hint                   string
	}{
		{
			"podman: the tag is gone",
			"Trying to pull X...\nError: initializing source docker://X: reading manifest 9 in quay.io/dtk: manifest unknown: manifest unknown\n",
			1, true, false, "deleted",
		},
		{
			"podman: the repository is gone",
			"Error: initializing source docker://X: reading manifest latest in quay.io/dtk: name unknown: repository name not known to registry\n",
			1, true, false, "deleted",
		},
		{
			"podman: status only",
			"Error: initializing source docker://X: reading manifest sha256:0 in quay.io/dtk: StatusCode: 404 (Not Found), \"\"\n",
			1, true, false, "deleted",
		},
		{
			"podman: no credentials",
			"Error: initializing source docker://X: reading manifest 9 in quay.io/dtk: unauthorized: access to the requested resource is not authorized\n",
			1, false, true, "pull secret",
		},
		{
			"podman: wrong password",
			"Error: initializing source docker://X: unable to retrieve auth token: invalid username/password: unauthorized: Invalid Username or Password\n",
			1, false, true, "pull secret",
		},
		{
			"docker: denied",
			"Error response from daemon: pull access denied for dtk, repository does not exist or may require 'docker login': denied: requested access to the resource is denied\n",
			1, false, true, "pull secret",
		},
		{
			"docker: no credentials",
			"Error response from daemon: Get \"http://127.0.0.1:42900/v2/dtk/manifests/9\": no basic auth credentials\n",
			1, false, true, "pull secret",
		},
		{
			"docker: gone",
			"Error response from daemon: manifest for X not found: manifest unknown: manifest unknown\n",
			1, true, false, "deleted",
		},
		{
			"too many requests",
			"Error: initializing source docker://X: reading manifest 9 in quay.io/dtk: toomanyrequests: rate exceeded\n",
			3, false, false, "wait a while",
		},
		{
			"podman's own earlier tries do not count",
			"time=\"2026\" level=warning msg=\"Failed, retrying in 1s ... (1/3). Error: initializing source docker://X: unauthorized\"\nError: initializing source docker://X: pinging container registry quay.io: connection refused\n",
			3, false, false, "reached",
		},
		{
			"a digest is no status",
			"Error: copying X: reading blob sha256:" + strings.Repeat("0429", 16) + ": read: connection reset by peer\n",
			3, false, false, "reached",
		},
		{"no TLS", "Error: initializing source docker://X: http: server gave HTTP response to HTTPS client\n", 1, false, false, "insecure"},
		{"nothing said", "", 3, false, false, "reached"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, c := newFake(t, "podman")
			o := outcome{Code: 125, Stderr: strings.ReplaceAll(tt.stderr, "X", dtk)}
			f.next(t, "pull", o, o, o)
			_, err := c.Acquire(t.Context(), dtk, nil)
			pull, ok := errors.AsType[*PullError](err)
			if !ok {
				t.Fatalf("got %T %v, want *PullError", err, err)
			}
			if pull.Image != dtk || pull.NotFound != tt.notFound || pull.Unauthorized != tt.unauthorized {
				t.Errorf("got not found: %v, unauthorized: %v", pull.NotFound, pull.Unauthorized)
			}
			if tt.stderr == "" != strings.Contains(err.Error(), "exit status 125") {
				t.Errorf("%q: want what the engine said, or else how it ended", err)
			}
			if !strings.Contains(fault.Of(err), tt.hint) {
				t.Errorf("the hint is %q, want it to contain %q", fault.Of(err), tt.hint)
			}
			attempts := 0
			for _, args := range f.argv(t) {
				if args[0] == "pull" {
					attempts++
				}
			}
			if attempts != tt.attempts {
				t.Errorf("%d attempts, want %d", attempts, tt.attempts)
			}
			if left := f.markers(t); len(left) != 0 {
				t.Errorf("a failed pull leaves markers: %v", left)
			}
		})
	}
}

// R8.1: what another image would meet as well is not the image's failure, and is said where it can be mended.
func TestPullMachineFailures(t *testing.T) {
	tests := []struct{ name, program, stderr, hint string }{
		{"disk full", "podman", "Error: writing blob: storing blob: write /var/tmp/storage1: no space left on device\n",
			"about 3 times the size of the image, in /storage, and in FAKE/temp while"},
		{"disk full, docker", "docker", "write /var/lib/docker/tmp/GetImageBlob1: no space left on device\n", "where the container engine keeps"},
		{"unknown CA", "podman", "Error: initializing source docker://X: x509: certificate signed by unknown authority\n", "--ca-file or SSL_CERT_FILE"},
		{"unknown CA, docker", "docker", "Error response from daemon: Get \"https://r/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority\n", "certs.d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, c := newFake(t, tt.program)
			failed := outcome{Code: 125, Stderr: tt.stderr}
			f.next(t, "pull", failed, failed, failed)
			_, err := c.Acquire(t.Context(), dtk, nil)
			if _, ok := errors.AsType[*PullError](err); ok || err == nil || !strings.Contains(err.Error(), strings.TrimSpace(tt.stderr[len(tt.stderr)-30:])) {
				t.Errorf("got %v, want no *PullError", err)
			}
			if got := strings.ReplaceAll(fault.Of(err), f.dir, "FAKE"); !strings.Contains(got, tt.hint) {
				t.Errorf("the hint is %q, want it to contain %q", got, tt.hint)
			}
			pulls := slices.DeleteFunc(f.argv(t), func(args []string) bool { return args[0] != "pull" })
			if len(pulls) != 1 {
				t.Errorf("%d attempts, want 1", len(pulls))
			}
		})
	}
}

// A CA file that cannot be read is this machine's failure, and nothing is asked of the registry.
func TestPullCAFileUnreadable(t *testing.T) {
	f, _ := newFake(t, "podman")
	large := filepath.Join(f.dir, "large.pem")
	must(t, os.WriteFile(large, nil, 0o600))
	must(t, os.Truncate(large, maxCAFile+1))
	for path, want := range map[string]string{filepath.Join(f.dir, "absent.pem"): "no such file", large: "larger than"} {
		c := f.cli(t, "podman", "1", func(o *Options) { o.CAFile = path })
		_, err := c.Acquire(t.Context(), dtk, nil)
		if _, ok := errors.AsType[*PullError](err); ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	for _, args := range f.argv(t) {
		if args[0] == "pull" {
			t.Errorf("podman %q", args)
		}
	}
}

func (f fake) markers(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(f.dir, "state", "images"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// R8.1: a registry that stumbles does not fail the run.
func TestPullRecovers(t *testing.T) {
	f, c := newFake(t, "podman")
	reset := outcome{Code: 125, Stderr: "Error: read: connection reset by peer\n"}
	f.next(t, "pull", reset, reset)
	lease, err := c.Acquire(t.Context(), dtk, nil)
	must(t, err)
	if !pulled(lease) || !f.has("images", dtk) {
		t.Error("want the image pulled")
	}
}

func TestPullInterrupted(t *testing.T) {
	f, c := newFake(t, "podman")
	f.next(t, "pull", outcome{Hang: true, Stderr: "Copying blob sha256:0123456789ab\n"})
	cause := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := c.Acquire(ctx, dtk, func(int64, int64) { cancel(cause) })
	if _, ok := errors.AsType[*PullError](err); ok || !errors.Is(err, cause) {
		t.Errorf("got %v, want %v and no *PullError", err, cause)
	}
	if left := f.markers(t); len(left) != 0 {
		t.Errorf("markers left: %v", left)
	}
	if left, err := os.ReadDir(c.opts.TempDir); len(left) != 0 || err != nil {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}

func TestLayerCount(t *testing.T) {
	type report struct{ Done, Total int64 }
	tests := []struct {
		name, text string
		want       []report
	}{
		{
			"podman 4",
			"Trying to pull X...\nGetting image source signatures\nCopying blob sha256:aaaaaaaaaaaa\nCopying blob sha256:bbbbbbbbbbbb\nCopying config sha256:cccccccccccc\nWriting manifest to image destination\nStoring signatures\nsha256:cccccccccccc\n",
			[]report{{0, 1}, {0, 2}, {2, 2}},
		},
		{
			"podman 5",
			"Copying blob sha256:aaaaaaaaaaaa\nCopying blob bbbbbbbbbbbb skipped: already exists  \nCopying blob aaaaaaaaaaaa done   | \nCopying config cccccccccccc done   | \n",
			[]report{{0, 1}, {1, 2}, {2, 2}, {2, 2}},
		},
		{
			"docker",
			"1: Pulling from library/x\naaaaaaaaaaaa: Already exists\nbbbbbbbbbbbb: Pulling fs layer\nbbbbbbbbbbbb: Verifying Checksum\nbbbbbbbbbbbb: Pull complete\nDigest: sha256:dddddddddddd\nStatus: Downloaded newer image for X\n",
			[]report{{1, 1}, {1, 2}, {1, 2}, {2, 2}},
		},
		{"no end of line", "Copying blob sha256:aaaaaaaaaaaa", nil},
		{"carriage returns", "Copying blob sha256:aaaaaaaaaaaa\rCopying config sha256:c\r", []report{{0, 1}, {1, 1}}},
		{"an endless line", strings.Repeat("x", 3*maxLine) + "\nCopying blob sha256:aaaaaaaaaaaa\n", []report{{0, 1}}},
		{"nothing to do", "Storing signatures\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 7, len(tt.text)} {
				var got []report
				l := &layerCount{report: func(done, total int64) { got = append(got, report{done, total}) }}
				for rest := []byte(tt.text); len(rest) > 0; {
					n := min(size, len(rest))
					if w, err := l.Write(rest[:n]); w != n || err != nil {
						t.Fatalf("Write = %d, %v", w, err)
					}
					rest = rest[n:]
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("in pieces of %d (-want +got):\n%s", size, diff)
				}
			}
		})
	}
	_, err := (&layerCount{}).Write([]byte("Copying blob sha256:aaaaaaaaaaaa\n"))
	must(t, err)
}

func TestLoopback(t *testing.T) {
	tests := []struct {
		image string
		want  bool
	}{
		{"localhost/x:1", true},
		{"localhost:5000/x:1", true},
		{"127.0.0.1:5000/x:1", true},
		{"127.9.9.9/x:1", true},
		{"[::1]:5000/x:1", true},
		{"10.0.0.1:5000/x:1", false},
		{"localhost.example.com/x:1", false},
		{"quay.io/localhost/x:1", false},
		{"quay.io/x:1", false},
		{"x", false},
	}
	for _, tt := range tests {
		ref, err := parseReference(tt.image)
		if err != nil || ref.loopback != tt.want {
			t.Errorf("%s: loopback %v, %v; want %v", tt.image, ref.loopback, err, tt.want)
		}
	}
}
