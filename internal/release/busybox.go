package release

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/filelock"
	"neuron-kmod/internal/platform/limit"
)

// BusyBox gets the source of BusyBox. It is safe for concurrent use, also by several processes with one Cache.
type BusyBox struct {
	// HTTP makes the requests. It is expected to follow redirects, to retry what fails before a response's body, to give
	// up on a connection that goes silent, and to refuse plain http.
	HTTP *http.Client
	// Cache is the directory that archives are kept in; it is made when needed.
	Cache string
	// Log gets what the user may want to know of a download that did not go smoothly; nil means nowhere.
	Log *slog.Logger
}

// busyBoxURLs lists where the source of a version is, in the order of R7.2: the places that the labels of images name,
// then the archive that BusyBox itself publishes. A version that was never released is nowhere.
func busyBoxURLs(version string) []string {
	primary, backup := image.BusyBoxSource(version)
	if primary == "" {
		return nil
	}
	return []string{primary, backup, "https://busybox.net/downloads/" + busyBoxDir(version) + ".tar.bz2"}
}

// busyBoxDigests are the SHA-256 of archives that never change. The others are made by their servers when they are
// asked for, so that only what is in them can be checked.
var busyBoxDigests = map[string]string{
	"https://busybox.net/downloads/busybox-1.36.1.tar.bz2": "b8cc24c9574d809e7279c3be349795c5d5ceb6fdf19ca709f80cde50e47de314",
}

// CheckBusyBox returns an error, without a request, if there is no source for the BusyBox of a base image. "" is no
// BusyBox, which needs none. The error has advice.
func CheckBusyBox(version string) error {
	if version == "" || len(busyBoxURLs(version)) > 0 {
		return nil
	}
	return fault.Wrap(fmt.Errorf("its BusyBox %.40q is not a release, so its source is not published", version),
		"use a base image with a release of BusyBox, such as public.ecr.aws/docker/library/busybox:stable-musl")
}

// Source returns the archive of a version's source: the one in the cache, else one made of the first download that is
// that version's source and nothing else. It always is a gzip, whatever the server has; equal trees give equal bytes,
// whichever server had them. version is that of the BusyBox in the base image, such as "1.36.1".
//
// It blocks until the archive is there, ctx is done, or no server has it; the error then says what each answered.
func (b *BusyBox) Source(ctx context.Context, version string) (Archive, error) {
	a, err := b.source(ctx, version)
	if err != nil {
		return Archive{}, fmt.Errorf("get the source of BusyBox %.40q: %w", version, err)
	}
	return a, nil
}

func (b *BusyBox) source(ctx context.Context, version string) (_ Archive, err error) {
	if version == "" {
		return Archive{}, errors.New("no version is named")
	}
	if err := CheckBusyBox(version); err != nil {
		return Archive{}, err
	}
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return Archive{}, fmt.Errorf("make the cache directory: %w", err)
	}
	path := filepath.Join(b.Cache, BusyBoxFile(version))
	lock, err := filelock.Exclusive(ctx, filepath.Join(b.Cache, "."+BusyBoxFile(version)+".lock"))
	if err != nil {
		return Archive{}, fmt.Errorf("wait for the cached archive: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Remove()) }()
	a, err := checkCached(ctx, path, version)
	if err == nil || ctx.Err() != nil {
		return a, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		b.log().Warn("the cached source of BusyBox is not usable and is fetched again", "file", path, "reason", err)
	}
	tree, err := b.download(ctx, version)
	if err != nil {
		return Archive{}, err
	}
	return tree.write(ctx, path, undated)
}

// checkCached checks the archive that an earlier run, or the user, has put into the cache.
func checkCached(ctx context.Context, path, version string) (Archive, error) {
	data, err := limit.ReadFile(path, busyBoxLimits.download)
	if _, ok := errors.AsType[*limit.TooLargeError](err); ok {
		return Archive{}, errTooLarge
	}
	if err != nil {
		return Archive{}, err
	}
	if !bytes.HasPrefix(data, gzipMagic) {
		return Archive{}, errors.New("it is not a gzip")
	}
	if _, err := readBusyBox(ctx, data, version, busyBoxLimits); err != nil {
		return Archive{}, err
	}
	return describeArchive(path, BusyBoxFile(version))
}

// download asks one server after the other.
func (b *BusyBox) download(ctx context.Context, version string) (contents, error) {
	var answers refusals
	for _, url := range busyBoxURLs(version) {
		tree, err := b.fetch(ctx, url, version)
		if err == nil {
			b.log().Debug("source of BusyBox", "url", url)
			return tree, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		b.log().Warn("a server does not have the source of BusyBox", "url", url, "reason", err)
		answers = append(answers, fmt.Errorf("%s: %w", url, err))
	}
	return nil, fault.Wrap(answers,
		fmt.Sprintf("try again later, or look at the URLs with a browser: a proxy may have answered in the "+
			"servers' place. Where they cannot be reached, put the archive into %s as %s, compressed with gzip", b.Cache,
			BusyBoxFile(version)))
}

// refusals are why each of several servers was of no use.
type refusals []error

func (r refusals) Error() string {
	texts := make([]string, len(r))
	for i, err := range r {
		texts[i] = err.Error()
	}
	return "no server has it: " + strings.Join(texts, "; ")
}

func (r refusals) Unwrap() []error { return r }

func (b *BusyBox) log() *slog.Logger { return cmp.Or(b.Log, slog.New(slog.DiscardHandler)) }
