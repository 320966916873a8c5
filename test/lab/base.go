package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"neuron-kmod/internal/platform/command"
)

// The base images of the lab, in one repository as the real one is named.
const (
	BaseRepository = "docker/library/busybox"
	BaseTag        = "stable-musl" // with Debian's BusyBox, which is not 1.36.1
	BaseTag1361    = "1.36.1-musl" // the same with a binary that says it is 1.36.1
)

// busybox is what the store keeps of the package: the binary and the names it answers to.
type busybox struct {
	binary  []byte
	applets []string
}

// busyboxRecipe changes when makeBusybox makes something else.
const busyboxRecipe = "busybox 1"

func makeBusybox(ctx context.Context, s *store) (*busybox, error) {
	dir, err := s.make(ctx, "busybox", busyboxRecipe, func(ctx context.Context, dir string) error {
		debs, err := downloadPackages(ctx, dir, []string{"busybox-static"})
		if err != nil {
			return err
		}
		binary := filepath.Join(dir, "busybox")
		if err := readPackage(ctx, debs[0], func(r io.Reader) error { return extractBusybox(r, binary) }); err != nil {
			return err
		}
		list, err := command.Output(ctx, command.Cmd{Name: binary, Args: []string{"--list"}})
		if err != nil {
			return err
		}
		return errors.Join(os.WriteFile(filepath.Join(dir, "applets"), list, 0o644), os.Remove(debs[0]))
	})
	if err != nil {
		return nil, err
	}
	binary, err := os.ReadFile(filepath.Join(dir, "busybox"))
	if err != nil {
		return nil, err
	}
	list, err := os.ReadFile(filepath.Join(dir, "applets"))
	if err != nil {
		return nil, err
	}
	applets := strings.Fields(string(list))
	slices.Sort(applets)
	return &busybox{binary: binary, applets: applets}, nil
}

func extractBusybox(r io.Reader, to string) error {
	found := false
	err := eachEntry(r, func(h *tar.Header, body io.Reader) error {
		if h.Typeflag != tar.TypeReg || filepath.Base(h.Name) != "busybox" ||
			!strings.HasSuffix(filepath.Dir(h.Name), "bin") {
			return nil
		}
		found = true
		data, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o755)
	})
	if err == nil && !found {
		err = errors.New("the package has no busybox binary")
	}
	return err
}

// image makes a base image of the binary: every name it answers to is a hard link, as in the real one.
func (b *busybox) image(binary []byte) (v1.Image, error) {
	layer, err := memoryLayer(func(w *tar.Writer) error {
		for _, dir := range []string{"bin", "dev", "etc", "home", "root", "tmp", "usr", "var"} {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755,
				ModTime: madeAt}); err != nil {
				return err
			}
		}
		h := tar.Header{Typeflag: tar.TypeReg, Name: "bin/[", Mode: 0o755, Size: int64(len(binary)), ModTime: madeAt}
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		if _, err := w.Write(binary); err != nil {
			return err
		}
		for _, name := range b.names() {
			h := tar.Header{Typeflag: tar.TypeLink, Name: "bin/" + name, Linkname: "bin/[", Mode: 0o755, ModTime: madeAt}
			if err := w.WriteHeader(&h); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return makeImage([]v1.Layer{layer}, v1.Config{
		Cmd: []string{"sh"},
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	})
}

// names is what the binary is linked to, but for the name that is the file itself.
func (b *busybox) names() []string {
	names := append([]string{"busybox"}, b.applets...)
	names = slices.DeleteFunc(names, func(s string) bool { return s == "[" || strings.ContainsRune(s, '/') })
	slices.Sort(names)
	return slices.Compact(names)
}

var busyboxVersion = regexp.MustCompile(`BusyBox v\d+\.\d+\.\d+`)

// saying returns the binary with its version text changed in place. The new one has to be as long.
func (b *busybox) saying(version string) ([]byte, error) {
	to := []byte("BusyBox v" + version)
	changed := bytes.Clone(b.binary)
	spans := busyboxVersion.FindAllIndex(changed, -1)
	if len(spans) == 0 {
		return nil, errors.New("the BusyBox binary does not say its version")
	}
	for _, span := range spans {
		if span[1]-span[0] != len(to) {
			return nil, fmt.Errorf("%q cannot become %q in place", changed[span[0]:span[1]], to)
		}
		copy(changed[span[0]:], to)
	}
	return changed, nil
}

// baseImages makes the base images by tag.
func (b *busybox) baseImages() (map[string]v1.Image, error) {
	images := map[string]v1.Image{}
	var err error
	if images[BaseTag], err = b.image(b.binary); err != nil {
		return nil, err
	}
	named, err := b.saying("1.36.1")
	if err != nil {
		return nil, err
	}
	images[BaseTag1361], err = b.image(named)
	return images, err
}
