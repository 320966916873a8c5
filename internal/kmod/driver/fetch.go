package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/filelock"
	"neuron-kmod/internal/version"
)

// defaultMaxBytes bounds a download; the real package is 266 kB.
const defaultMaxBytes = 64 << 20

// Fetcher finds the driver's package, in a directory or by downloading it. It is safe for concurrent use, also by
// several processes with one Cache.
type Fetcher struct {
	// HTTP makes the requests; a directory as Source needs none. It is expected to retry what fails before a response's
	// body, to honour Retry-After, to give up on a connection that goes silent, and to refuse plain http. A body that
	// breaks off is asked for again here.
	HTTP *http.Client
	// Source is the URL of a directory of packages, or the path of one.
	Source string
	// Cache is the directory that downloads are kept in; it is made when needed.
	Cache string
	// MaxBytes bounds a package; 0 means 64 MiB.
	MaxBytes int64
	// Log gets what a person may want to know of a download that did not go smoothly; nil means nowhere.
	Log *slog.Logger

	wait func(context.Context, time.Duration) error // nil: really waits
}

// Fetch returns the path of the checked package of a version: the one in the directory that Source names, in place;
// else the one in the cache, downloaded if it is not there or not whole. It blocks until the package is there, ctx is
// done, or the server has failed too often.
func (f *Fetcher) Fetch(ctx context.Context, v version.Driver) (string, error) {
	if v.IsZero() {
		return "", errors.New("fetch the driver: no version is given")
	}
	path, err := f.fetch(ctx, v)
	if err != nil {
		return "", fmt.Errorf("fetch driver %s: %w", v, err)
	}
	return path, nil
}

func (f *Fetcher) fetch(ctx context.Context, v version.Driver) (string, error) {
	if !strings.Contains(f.Source, "://") {
		return f.inFolder(ctx, f.Source, v)
	}
	u, err := packageURL(f.Source, v)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(f.Cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	return f.cached(ctx, u, v)
}

// packageURL returns the URL of a version's package below the source's.
func packageURL(source string, v version.Driver) (*url.URL, error) {
	u, err := url.Parse(source)
	if err != nil {
		return nil, errors.New("the driver source is not a URL") // err quotes it, with any password
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fault.Wrap(fmt.Errorf("the driver source %s is neither an https URL nor a directory", u.Redacted()),
			"name a directory by its path, without file://")
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("the driver source at %s: a user, a query or a fragment is not supported", u.Host)
	}
	return u.JoinPath(FileName(v)), nil
}

// inFolder checks the package of a version in a directory.
func (f *Fetcher) inFolder(ctx context.Context, folder string, v version.Driver) (string, error) {
	path := filepath.Join(folder, FileName(v))
	err := f.check(ctx, path, v)
	if errors.Is(err, fs.ErrNotExist) {
		there, _ := packagesIn(folder) // err already says that the directory is not there
		return "", fault.Wrap(err, fmt.Sprintf("put %s into %s; driver packages that are there: %s",
			FileName(v), folder, cmp.Or(strings.Join(there, ", "), "none")))
	}
	if err != nil {
		return "", fault.Wrap(fmt.Errorf("%s: %w", path, err), "replace the file by the package that AWS publishes")
	}
	return path, nil
}

func packagesIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), packageName+"-") && strings.HasSuffix(e.Name(), ".rpm") {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// cached returns the package in the cache, which it downloads if it has to. Of several that want the same one the first
// downloads it while the others wait: the lock is the system's, so that a killed process holds none and the next one
// starts its partial file again.
func (f *Fetcher) cached(ctx context.Context, u *url.URL, v version.Driver) (_ string, err error) {
	path := filepath.Join(f.Cache, FileName(v))
	lock, err := filelock.Exclusive(ctx, filepath.Join(f.Cache, "."+FileName(v)+".lock"))
	if err != nil {
		return "", fmt.Errorf("wait for the cached package: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Remove()) }()
	err = f.check(ctx, path, v)
	if err == nil {
		return path, nil
	}
	if ctx.Err() != nil {
		return "", err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		f.log().Warn("the cached driver package is not usable and is fetched again", "file", path, "reason", err)
	}
	return path, f.download(ctx, u, v, path)
}

// download fetches a package to path: under a temporary name, and renamed once it has been checked.
func (f *Fetcher) download(ctx context.Context, u *url.URL, v version.Driver, path string) (err error) {
	partial := filepath.Join(f.Cache, "."+FileName(v)+".partial")
	file, err := os.Create(partial)
	if err != nil {
		return explainDisk(err, f.Cache)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	if err := errors.Join(f.transfer(ctx, u, v, file), file.Sync(), file.Close()); err != nil {
		return explainDisk(err, f.Cache)
	}
	if err := f.check(ctx, partial, v); err != nil {
		return fault.Wrap(fmt.Errorf("what %s serves is not the package: %w", u, err),
			"look at the URL with a browser: a proxy or a login page may have answered in the server's place")
	}
	return os.Rename(partial, path)
}

func (f *Fetcher) check(ctx context.Context, path string, v version.Driver) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > f.maxBytes() {
		return tooLarge(f.maxBytes())
	}
	return checkRPM(ctx, path, v, defaultLimits)
}

func tooLarge(limit int64) error {
	return fmt.Errorf("it is larger than %d bytes, which no driver package is", limit)
}

func (f *Fetcher) maxBytes() int64 {
	if f.MaxBytes > 0 {
		return f.MaxBytes
	}
	return defaultMaxBytes
}

func (f *Fetcher) log() *slog.Logger {
	if f.Log != nil {
		return f.Log
	}
	return slog.New(slog.DiscardHandler)
}
