package engine

import (
	"bytes"
	"errors"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/platform/fault"
)

// R1.2: the engine is there and works, or it is said what to do.
func TestCheck(t *testing.T) {
	tests := []struct {
		name, program string
		outcome       outcome
		want          Info
		hint          string // of the error, "" for none
	}{
		{
			"podman", "podman",
			outcome{Stdout: `{"version":{"Version":"4.3.1"},"host":{"security":{"rootless":true}},"store":{"graphRoot":"/storage"}}`},
			Info{Name: "podman", Version: "4.3.1", Rootless: true, Storage: "/storage"}, "",
		},
		{
			"docker", "docker",
			outcome{Stdout: `{"ServerVersion":"27.1.1","DockerRootDir":"/var/lib/docker","SecurityOptions":["name=seccomp,profile=builtin"]}`},
			Info{Name: "docker", Version: "27.1.1", Storage: "/var/lib/docker"}, "",
		},
		{
			"a rootless daemon", "docker",
			outcome{Stdout: `{"ServerVersion":"27.1.1","SecurityOptions":["name=seccomp,profile=builtin","name=rootless"]}`},
			Info{}, "--engine podman",
		},
		{"no daemon", "docker", outcome{Stdout: `{"ServerErrors":["Cannot connect to the Docker daemon"]}`}, Info{}, "start the docker daemon"},
		{
			"docker is podman", "docker",
			outcome{Stdout: `{"version":{"Version":"4.3.1"},"store":{"graphRoot":"/storage"}}`},
			Info{}, "--engine podman",
		},
		{"it fails", "podman", outcome{Code: 125, Stderr: "Error: cannot set up namespace\n"}, Info{}, "info` work first"},
		{
			"no newuidmap", "podman",
			outcome{Code: 125, Stderr: "time=\"2026\" level=warning msg=\"cgroups\"\nError: command required for rootless mode with multiple IDs: exec: \"newuidmap\": executable file not found in $PATH\n"},
			Info{}, "package uidmap",
		},
		{"no daemon, an error", "docker", outcome{Code: 1, Stderr: "ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\nerrors pretty printing info\n"}, Info{}, "start the docker daemon"},
		{"no JSON", "podman", outcome{Stdout: "hello"}, Info{}, ""},
		{"no version", "podman", outcome{Stdout: "{}"}, Info{}, "update podman"},
		{"an old podman", "podman", outcome{Stdout: `{"version":{"Version":"3.4.4"}}`}, Info{}, "version 4.3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, c := newFake(t, tt.program)
			f.next(t, "info", tt.outcome)
			got, err := c.Check(t.Context())
			if tt.want.Name != "" {
				tt.want.Path = filepath.Join(f.dir, "bin", tt.program)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (err == nil) != (tt.want.Name != "") || !strings.Contains(fault.Of(err), tt.hint) {
				t.Errorf("got %v, hint %q, want hint %q", err, fault.Of(err), tt.hint)
			}
		})
	}
}

// R6.1: docker cannot be given a CA, so its user is told where to put it; podman's user is not troubled.
func TestCheckCAFile(t *testing.T) {
	for program, want := range map[string]string{"podman": "", "docker": "/etc/docker/certs.d/HOST/ca.crt"} {
		f, _ := newFake(t, program)
		var log bytes.Buffer
		c := f.cli(t, program, "1", func(o *Options) { o.CAFile, o.Log = "/ca.pem", slog.New(slog.NewTextHandler(&log, nil)) })
		if program == "docker" {
			f.next(t, "info", outcome{Stdout: `{"ServerVersion":"27.1.1"}`})
		}
		_, err := c.Check(t.Context())
		must(t, err)
		if !strings.Contains(log.String(), want) || (want == "") != (log.Len() == 0) {
			t.Errorf("%s: log %q, want %q", program, log.String(), want)
		}
	}
}

// R1.2, R8.1.
func TestCheckNotInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	c, err := New(Options{Program: "podman", StateDir: "s", TempDir: "t", RunID: "1"})
	must(t, err)
	_, err = c.Check(t.Context())
	if !errors.Is(err, exec.ErrNotFound) || !strings.Contains(fault.Of(err), "apt-get install podman") {
		t.Errorf("got %v, hint %q", err, fault.Of(err))
	}
}

func TestNewRefuses(t *testing.T) {
	good := Options{Program: "podman", StateDir: "s", TempDir: "t", RunID: "1"}
	tests := []struct {
		name   string
		change func(*Options)
	}{
		{"another engine", func(o *Options) { o.Program = "nerdctl" }},
		{"no engine", func(o *Options) { o.Program = "" }},
		{"no state", func(o *Options) { o.StateDir = "" }},
		{"no temporary directory", func(o *Options) { o.TempDir = "" }},
		{"no run", func(o *Options) { o.RunID = "" }},
		{"a run that is no name", func(o *Options) { o.RunID = "a/b" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := good
			tt.change(&o)
			if _, err := New(o); err == nil {
				t.Error("no error")
			}
		})
	}
}
