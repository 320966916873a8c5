package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"neuron-kmod/internal/version"
)

// Repositories of the lab's registries, named as the real ones.
const (
	ToolkitRepository = "openshift-release-dev/ocp-v4.0-art-dev"
	TargetRepository  = "neuron-openshift/neuron-kernel-module"
)

// Options says what an environment is to be.
type Options struct {
	// Dir is the environment's own directory: files for the program under test, its cache, and the target registry's
	// storage, which a later environment with the same directory finds again.
	Dir string
	// Releases are in the catalogue, their DTKs in the registry.
	Releases []Release
	// Matrix is build-matrix.json; if empty, driver 2.24.7.0 for the minors 4.20, 4.21 and 4.22.
	Matrix []MatrixEntry
	// Anonymous: the DTK registry wants no credentials. The target always does.
	Anonymous bool
	// KeepStorage: podman's storage, which is the environment's own, stays after Close. It is removed otherwise, with the
	// containers that are left in it.
	KeepStorage bool
	// SharedStorage, if set, is Env.Storage of an environment that is not closed: podman has its images here as well,
	// without a pull, and does not change them. A toolkit whose layers are there is pulled in a moment.
	SharedStorage string
	// Faults: there are fault injectors in front of both registries.
	Faults bool
	// Docker: a docker daemon of the environment's own runs as well, and Vars leads to it.
	Docker bool
	// Cloud, if set, adds stand-ins for AWS, for GitHub's identities and for Quay, and an internet in which they are.
	Cloud *CloudOptions
}

// Env is a running environment for the program under test.
type Env struct {
	Dir      string
	Matrix   string   // path of build-matrix.json
	Catalog  string   // path of driver-toolkit.json
	AuthFile string   // credentials of both registries
	CAFile   string   // who signed the registries' certificates
	Vars     []string // KEY=value for the program's environment, its engine included
	Storage  string   // directory of podman's images

	ToolkitHost   string // HOST:PORT of the DTK registry, which has the base image as well
	TargetHost    string
	Target        string // HOST:PORT/REPOSITORY
	BaseImage     string
	ToolkitFaults *Faults // nil without Options.Faults
	TargetFaults  *Faults
	Downloads     *Downloads

	cloudEnv // zero without Options.Cloud

	lab              *Lab
	toolkits, target *registryServer
	transport        *http.Transport // straight to the registries, past the fault injectors
	closers          []func() error
}

// The lab's accounts. They are no secrets: the registries listen on loopback only.
var (
	toolkitAccount = Account{User: "pull", Password: "lab-pull-password"}
	targetAccount  = Account{User: "push", Password: "lab-push-password"}
)

// Start brings up registries and download server, puts the DTKs and base images that are missing into the registry and
// writes the program's files. Everything ends with Close, or when ctx is done.
func (l *Lab) Start(ctx context.Context, o Options) (_ *Env, err error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	e := &Env{
		Dir: dir, lab: l, CAFile: l.ca.CAFile,
		Matrix:   filepath.Join(dir, "build-matrix.json"),
		Catalog:  filepath.Join(dir, "driver-toolkit.json"),
		AuthFile: filepath.Join(dir, "auth.json"),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	var shared []string
	if o.SharedStorage != "" {
		shared = append(shared, o.SharedStorage)
	}
	storage, err := newPodmanStorage(dir, shared...)
	if err != nil {
		return nil, err
	}
	e.Storage = storage.graph
	if !o.KeepStorage {
		e.closers = append(e.closers, func() error { return storage.remove(ctx) })
	}
	if err := e.startServers(ctx, o); err != nil {
		return nil, err
	}
	var docker []string
	if o.Docker {
		daemon, err := l.StartDocker(ctx, dir)
		if err != nil {
			return nil, err
		}
		e.closers = append(e.closers, daemon.Close)
		docker = daemon.Vars
	}
	e.Target = e.TargetHost + "/" + TargetRepository
	e.BaseImage = e.ToolkitHost + "/" + BaseRepository + ":" + BaseTag
	e.Vars = append([]string{
		"SSL_CERT_FILE=" + e.CAFile,
		"REGISTRY_AUTH_FILE=" + e.AuthFile,
		"XDG_CACHE_HOME=" + filepath.Join(dir, "cache"),
	}, append(l.engine.env(storage.conf), docker...)...)
	if o.Cloud != nil {
		if err := e.startCloud(ctx, o); err != nil {
			return nil, err
		}
	}
	if err := e.pushBaseImages(ctx); err != nil {
		return nil, err
	}
	return e, e.writeFiles(ctx, o)
}

// lock makes the directory this environment's own: a second one waits until the first is closed.
func (e *Env) lock(ctx context.Context) error {
	l := flock.New(filepath.Join(e.Dir, "lock"))
	got, err := l.TryLock()
	if err == nil && !got {
		e.lab.log.Info("another lab runs in this directory; waiting for its end", "directory", e.Dir)
		_, err = l.TryLockContext(ctx, lockPoll)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", e.Dir, err)
	}
	e.closers = append(e.closers, l.Unlock)
	return nil
}

// startServers starts the two registries, what is to stand in front of them, and the download server.
func (e *Env) startServers(ctx context.Context, o Options) error {
	account := &toolkitAccount
	if o.Anonymous {
		account = nil
	}
	var err error
	if e.transport, err = e.lab.ca.transport(); err != nil {
		return err
	}
	e.closers = append(e.closers, func() error { e.transport.CloseIdleConnections(); return nil })
	storage := filepath.Join(e.lab.Dir, "registry")
	if e.toolkits, err = e.startRegistry(ctx, storage, "toolkit-registry", account); err != nil {
		return err
	}
	if e.ToolkitHost, e.ToolkitFaults, err = e.inFront(ctx, e.toolkits.Host, o.Faults); err != nil {
		return err
	}
	if e.target, err = e.startRegistry(ctx, filepath.Join(e.Dir, "target"), "target-registry",
		&targetAccount); err != nil {
		return err
	}
	if e.TargetHost, e.TargetFaults, err = e.inFront(ctx, e.target.Host, o.Faults); err != nil {
		return err
	}
	drivers := filepath.Join(e.Dir, "drivers")
	if err := writeDrivers(drivers); err != nil {
		return err
	}
	if e.Downloads, err = startDownloads(ctx, drivers); err != nil {
		return err
	}
	e.closers = append(e.closers, e.Downloads.Close)
	return nil
}

func (e *Env) startRegistry(ctx context.Context, storage, conf string, account *Account) (*registryServer, error) {
	r, err := startRegistry(ctx, e.lab.ca, storage, filepath.Join(e.Dir, conf), account)
	if err != nil {
		return nil, err
	}
	e.closers = append(e.closers, func() error { r.Close(); return nil })
	return r, nil
}

// inFront puts faults before a registry, if wanted, and returns the address to use.
func (e *Env) inFront(ctx context.Context, host string, wanted bool) (string, *Faults, error) {
	if !wanted {
		return host, nil, nil
	}
	proxy, err := e.lab.ca.proxyTo(host, nil)
	if err != nil {
		return "", nil, err
	}
	faults := &Faults{}
	server, err := serveHTTP(ctx, e.lab.ca, faults.Wrap(proxy))
	if err != nil {
		return "", nil, err
	}
	e.closers = append(e.closers, server.Close)
	return server.Host, faults, nil
}

// Close ends all servers, the last one started first. Files stay.
func (e *Env) Close() error {
	var errs []error
	for len(e.closers) > 0 {
		last := len(e.closers) - 1
		errs = append(errs, e.closers[last]())
		e.closers = e.closers[:last]
	}
	return errors.Join(errs...)
}

// PlanFlags are the flags of `neuron-kmod plan` that lead it to this environment.
func (e *Env) PlanFlags() []string {
	return []string{"--matrix", e.Matrix, "--catalog", e.Catalog, "--target", e.Target}
}

// BuildFlags are the flags of `neuron-kmod build` that lead it to this environment.
func (e *Env) BuildFlags() []string {
	return append(e.PlanFlags(), "--driver-source", e.Downloads.URL(), "--base-image", e.BaseImage)
}

// Client is an HTTP client that trusts the lab's servers; for looking at what a run has left in a registry.
func (e *Env) Client() (*http.Client, error) { return e.lab.ca.client() }

// WriteCatalog writes driver-toolkit.json for the releases, after putting their DTKs into the registry.
func (e *Env) WriteCatalog(ctx context.Context, releases []Release) error {
	entries, err := e.catalogEntries(ctx, releases)
	if err != nil {
		return err
	}
	data, err := jsonLines(entries)
	if err != nil {
		return err
	}
	return renameio.WriteFile(e.Catalog, data, 0o644)
}

// WriteMatrix writes build-matrix.json.
func (e *Env) WriteMatrix(entries []MatrixEntry) error {
	data, err := jsonLines(entries)
	if err != nil {
		return err
	}
	return renameio.WriteFile(e.Matrix, data, 0o644)
}

func (e *Env) writeFiles(ctx context.Context, o Options) error {
	matrix := o.Matrix
	if len(matrix) == 0 {
		matrix = []MatrixEntry{{Driver: "2.24.7.0", OCPVersions: []string{"4.20", "4.21", "4.22"}}}
	}
	return errors.Join(e.writeAuthFile(), e.WriteMatrix(matrix), e.WriteCatalog(ctx, o.Releases))
}

// writeAuthFile writes the credentials of both registries, in docker's form.
func (e *Env) writeAuthFile() error {
	type auth struct {
		Auth string `json:"auth"`
	}
	toolkits := toolkitAccount
	if e.Quay != nil {
		toolkits = Account{User: e.Quay.User, Password: e.Quay.Password}
	}
	data, err := json.Marshal(map[string]map[string]auth{"auths": {
		e.ToolkitHost: {toolkits.encoded()},
		e.TargetHost:  {targetAccount.encoded()},
	}})
	if err != nil {
		return err
	}
	return renameio.WriteFile(e.AuthFile, data, 0o600)
}

// writeDrivers fills the download server's directory. Each version comes with another compression.
func writeDrivers(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	versions, err := DriverVersions()
	if err != nil {
		return err
	}
	compressors := []string{"gzip", "xz", "zstd"}
	for i, v := range versions {
		if err := WriteDriver(dir, RPMSpec{Version: v, Compressor: compressors[i%len(compressors)]}); err != nil {
			return err
		}
	}
	return nil
}

// WriteDriver makes a driver RPM and puts it into a directory under the name the real repository serves it by.
func WriteDriver(dir string, spec RPMSpec) error {
	data, err := DriverRPM(spec)
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, RPMName(spec.Version)), data, 0o644)
}

// BreakOnKernel is an edit of a driver's source: a compile error in neuron_core.c, on kernels for which the
// preprocessor condition holds (such as "defined(RHEL_MAJOR)").
func BreakOnKernel(condition string) func(Files) {
	return func(f Files) {
		text := "#include <linux/version.h>\n#if " + condition + "\n#error lab: broken on this kernel\n#endif\n"
		f["neuron_core.c"] = append([]byte(text), f["neuron_core.c"]...)
	}
}

// ClaimVersion is an edit of a driver's source: the module says it is another version than its package.
func ClaimVersion(own, other version.Driver) func(Files) {
	return func(f Files) {
		text := string(f["neuron_module.c"])
		f["neuron_module.c"] = []byte(strings.ReplaceAll(text, fmt.Sprintf("MODULE_VERSION(%q)", own),
			fmt.Sprintf("MODULE_VERSION(%q)", other)))
	}
}
