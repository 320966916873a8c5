package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/bcrypt"

	"neuron-kmod/internal/platform/command"
	"neuron-kmod/internal/platform/fault"
)

// Account is a user of a registry of the lab.
type Account struct{ User, Password string }

// registryServer is Debian's docker-registry as a child process, on a loopback port, with TLS.
type registryServer struct {
	Host string // 127.0.0.1:PORT

	stop context.CancelFunc
	done chan struct{}
	log  bytes.Buffer // to be read after done
	err  error        // to be read after done
}

const (
	registryReady = 15 * time.Second      // by then a registry answers
	registryPoll  = 20 * time.Millisecond // how often it is asked
	portAttempts  = 5                     // another process may take a free port before the registry does
)

// startRegistry serves the storage directory until stopped or ctx is done. Without an account nobody has to log in.
func startRegistry(
	ctx context.Context, ca *authority, storage, confDir string, account *Account,
) (*registryServer, error) {
	var errs error
	for range portAttempts {
		r, err := tryRegistry(ctx, ca, storage, confDir, account)
		if err == nil || ctx.Err() != nil || errors.Is(err, errNotReady) {
			return r, err
		}
		errs = errors.Join(errs, err)
	}
	return nil, fault.Wrap(fmt.Errorf("start docker-registry: %w", errs), "scripts/setup.sh installs docker-registry")
}

var errNotReady = errors.New("docker-registry does not answer")

func tryRegistry(
	ctx context.Context, ca *authority, storage, confDir string, account *Account,
) (*registryServer, error) {
	host, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	conf, err := writeRegistryConf(ca, host, storage, confDir, account)
	if err != nil {
		return nil, err
	}
	client, err := ca.client()
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(ctx)
	r := &registryServer{Host: host, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = command.Run(run,
			command.Cmd{Name: "docker-registry", Args: []string{"serve", conf}, Stdout: &r.log, Stderr: &r.log})
	}()
	if err := r.wait(ctx, client); err != nil {
		r.Close()
		return nil, fmt.Errorf("%w\n%s", err, r.log.Bytes())
	}
	return r, nil
}

// wait polls until the registry answers, ends, or the time is over.
func (r *registryServer) wait(ctx context.Context, client *http.Client) error {
	ctx, cancel := context.WithTimeout(ctx, registryReady)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+r.Host+"/v2/", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			return resp.Body.Close()
		}
		select {
		case <-r.done:
			return r.err
		case <-ctx.Done():
			return errors.Join(errNotReady, ctx.Err())
		case <-time.After(registryPoll):
		}
	}
}

// Close stops the registry and waits for it.
func (r *registryServer) Close() {
	r.stop()
	<-r.done
}

// freeAddress is a loopback address nobody listened on a moment ago.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// writeRegistryConf writes what docker-registry is to do, and its password file.
// https://distribution.github.io/distribution/about/configuration/
func writeRegistryConf(ca *authority, host, storage, dir string, account *Account) (string, error) {
	if err := errors.Join(os.MkdirAll(storage, 0o755), os.MkdirAll(dir, 0o755)); err != nil {
		return "", err
	}
	conf := fmt.Sprintf(`version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
http:
  addr: %q
  secret: lab
  relativeurls: true
  tls: {certificate: %q, key: %q}
`, storage, host, ca.CertFile, ca.KeyFile)
	if account != nil {
		passwords := filepath.Join(dir, "htpasswd")
		hash, err := bcrypt.GenerateFromPassword([]byte(account.Password), bcrypt.MinCost)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(passwords, fmt.Appendf(nil, "%s:%s\n", account.User, hash), 0o600); err != nil {
			return "", err
		}
		conf += fmt.Sprintf("auth: {htpasswd: {realm: lab, path: %q}}\n", passwords)
	}
	path := filepath.Join(dir, "registry.yml")
	return path, os.WriteFile(path, []byte(conf), 0o600)
}

// transport is an HTTP transport that trusts the lab's authority only.
func (a *authority) transport() (*http.Transport, error) {
	config, err := a.clientTLS()
	if err != nil {
		return nil, err
	}
	return newTransport(config), nil
}

func newTransport(config *tls.Config) *http.Transport {
	return &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16, IdleConnTimeout: 10 * time.Second}
}

func (a *authority) client() (*http.Client, error) {
	t, err := a.transport()
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: t, Timeout: time.Minute}, nil
}
