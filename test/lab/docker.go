package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

// dockerPackages are Debian's docker: daemon and client in one package, and what the daemon starts. The
// runtime, runc, is the system's.
var dockerPackages = []string{"docker.io", "containerd"}

// dockerPrograms are the programs of those packages that the lab keeps.
var dockerPrograms = []string{
	"usr/bin/docker", "usr/sbin/dockerd", "usr/bin/containerd", "usr/bin/containerd-shim-runc-v2",
}

// dockerBin returns the directory of docker's programs. The packages are unpacked there and not installed: an
// installation would start a daemon of the system.
func (l *Lab) dockerBin(ctx context.Context) (string, error) {
	recipe := fmt.Sprintf("docker 1 %s %q", debianRelease, dockerPrograms)
	return l.store.make(ctx, "docker", recipe, func(ctx context.Context, dir string) error {
		versions, err := packageVersions(ctx, dockerPackages)
		if err != nil {
			return err
		}
		var packages []string
		for _, name := range dockerPackages {
			packages = append(packages, name+"="+versions[name])
		}
		unpacked := filepath.Join(dir, "unpacked")
		files, err := downloadPackages(ctx, dir, packages)
		if err != nil {
			return err
		}
		for _, file := range files {
			extract := command.Cmd{Name: "dpkg-deb", Args: []string{"--extract", file, unpacked}}
			if err := errors.Join(command.Run(ctx, extract), os.Remove(file)); err != nil {
				return err
			}
		}
		for _, program := range dockerPrograms {
			from, to := filepath.Join(unpacked, program), filepath.Join(dir, filepath.Base(program))
			if err := os.Rename(from, to); err != nil {
				return err
			}
		}
		return removeAll(unpacked)
	})
}

// Docker is Debian's dockerd as a child process. Its storage, its socket and its containerd are its own, it has no
// network but the host's, and it changes no setting of the machine, so that any number of them run side by side.
type Docker struct {
	// Vars lead a client to this daemon: DOCKER_HOST, a PATH that begins with the client's directory, and a
	// DOCKER_CONFIG without a login.
	Vars []string

	storage string // images and containers
	run     string // sockets; outside of the storage, because their paths have to be short
	stop    context.CancelFunc
	done    chan struct{}
	log     bytes.Buffer // read it after done
	err     error        // of the daemon; read it after done
}

const (
	dockerReady = time.Minute           // by then a daemon answers
	dockerPoll  = 50 * time.Millisecond // between two questions whether it does
)

// StartDocker starts a daemon with its storage below dir, which has to exist, and returns when it answers. Close
// ends it; so does the end of ctx or of this process.
func (l *Lab) StartDocker(ctx context.Context, dir string) (*Docker, error) {
	bin, err := l.dockerBin(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(dir))
	d := &Docker{
		storage: filepath.Join(dir, "docker"),
		run:     filepath.Join(os.TempDir(), fmt.Sprintf("neuron-kmod-lab-docker-%s", hex.EncodeToString(sum[:4]))),
		done:    make(chan struct{}),
	}
	config := filepath.Join(d.storage, "daemon.json") // instead of /etc/docker/daemon.json
	settings, err := json.Marshal(map[string]string{"deprecated-key-path": filepath.Join(d.storage, "key.json")})
	if err == nil {
		err = errors.Join(
			os.MkdirAll(d.storage, 0o711), os.WriteFile(config, settings, 0o600),
			os.MkdirAll(d.run, 0o711), os.WriteFile(filepath.Join(d.run, "config.json"), []byte("{}\n"), 0o600),
		)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare docker's directories: %w", err)
	}
	path, socket := "PATH="+bin+":"+os.Getenv("PATH"), filepath.Join(d.run, "d.sock")
	d.Vars = []string{path, "DOCKER_HOST=unix://" + socket, "DOCKER_CONFIG=" + d.run}
	daemon := command.Cmd{
		Name: filepath.Join(bin, "dockerd"), Env: []string{path, "SSL_CERT_FILE=" + l.ca.CAFile},
		Stdout: &d.log, Stderr: &d.log,
		Args: []string{
			"--host=unix://" + socket, "--config-file=" + config, "--log-level=warn", "--shutdown-timeout=1",
			"--data-root=" + filepath.Join(d.storage, "data"), "--exec-root=" + filepath.Join(d.run, "exec"),
			"--pidfile=" + filepath.Join(d.run, "pid"),
			"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
		},
	}
	var run context.Context
	run, d.stop = context.WithCancel(ctx)
	go func() {
		defer close(d.done)
		d.err = command.Run(run, daemon)
	}()
	if err := d.wait(ctx, socket); err != nil {
		err = errors.Join(err, d.Close())
		return nil, fault.Wrap(fmt.Errorf("start dockerd: %w\n%s", err, d.log.Bytes()), "dockerd has to be started as root")
	}
	return d, nil
}

// wait polls until the daemon answers, ends, or the time is over.
func (d *Docker) wait(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, dockerReady)
	defer cancel()
	var dialer net.Dialer
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/_ping", nil)
		if err != nil {
			return err
		}
		if resp, err := transport.RoundTrip(req); err == nil {
			return resp.Body.Close()
		}
		select {
		case <-d.done:
			return d.err
		case <-ctx.Done():
			return fmt.Errorf("dockerd does not answer: %w", ctx.Err())
		case <-time.After(dockerPoll):
		}
	}
}

// Close ends the daemon with its containers and removes the storage.
func (d *Docker) Close() error {
	d.stop()
	<-d.done
	return errors.Join(removeAll(d.storage), removeAll(d.run))
}
