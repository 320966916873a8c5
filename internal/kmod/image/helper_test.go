package image

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

var testTime = time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)

const busyBox1361 = "\x7fELF junk\x00BusyBox v1.36.1 (2023-05-19 00:00:00 UTC)\x00multi-call binary"

// file, dir, link, hard are entries of a test layer.
func file(name, content string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content)), PAXRecords: map[string]string{"TEST.content": content}}
}

func dir(name string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}
}

func link(name, to string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}
}

func hard(name, to string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to, Mode: 0o755}
}

func mode(h *tar.Header, mode int64) *tar.Header {
	h.Mode = mode
	return h
}

type entries []*tar.Header

func (e entries) layer(t testing.TB, mt types.MediaType) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, h := range e {
		h := *h
		content := h.PAXRecords["TEST.content"]
		h.PAXRecords = nil
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	}, tarball.WithMediaType(mt))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// baseOf makes a linux/amd64 image of the given kind; change edits its configuration.
func baseOf(t testing.TB, fam family, change func(*v1.ConfigFile), layers ...entries) Base {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, fam.manifest), fam.config)
	cfg := &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{Env: []string{"PATH=/bin:/usr/bin"}, Cmd: []string{"sh"}},
	}
	if change != nil {
		change(cfg)
	}
	img, err := mutate.ConfigFile(img, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		img, err = mutate.Append(img, mutate.Addendum{Layer: l.layer(t, fam.layer), History: v1.History{CreatedBy: "test"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return Base{Name: "example.com/base:1", Image: img, Digest: digest.String()}
}

// busyBoxBase has the form of the official busybox image: hard links to one binary.
func busyBoxBase(t testing.TB) Base {
	return baseOf(t, oci, nil, entries{
		dir("bin"), file("bin/[", busyBox1361), hard("bin/sh", "bin/["), hard("bin/mkdir", "bin/["), hard("bin/cp", "bin/["),
		hard("bin/busybox", "bin/["), dir("etc"), file("etc/passwd", "root"), link("lib64", "lib"), dir("lib"),
	})
}

// directory writes files into a new directory. A name that ends in "/" is a directory,
// a value that begins with "-> " is a link.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(to, p)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(p, 0o755)
		} else {
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// contents lists what the layers of img above its base's add, one line each:
// "path mode uid:gid content" with a slash behind a directory and an arrow before
// a link's target.
func contents(t testing.TB, img v1.Image, base Base) []string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	below, err := base.Image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range layers[len(below):] {
		lines = append(lines, layerLines(t, l)...)
	}
	return lines
}

func layerLines(t testing.TB, l v1.Layer) (lines []string) {
	t.Helper()
	budget := int64(maxUnpacked)
	err := eachEntry(context.Background(), l, &budget, func(_ int, h *tar.Header, r io.Reader) error {
		if h == nil {
			return nil
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		lines = append(lines, describe(h, string(content)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func describe(h *tar.Header, content string) string {
	if h.Typeflag == tar.TypeSymlink {
		content = "-> " + h.Linkname
	}
	return strings.TrimSpace(h.Name + " " + octal(h.Mode) + " " + owner(h) + " " + content)
}

func octal(mode int64) string { return fmt.Sprintf("%04o", mode) }

func owner(h *tar.Header) string { return fmt.Sprintf("%d:%d", h.Uid, h.Gid) }

func mustConfig(t testing.TB, img v1.Image) *v1.ConfigFile {
	t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// withConfig returns a change of an image's configuration.
func withConfig(t testing.TB, change func(*v1.ConfigFile)) func(v1.Image) v1.Image {
	return func(img v1.Image) v1.Image {
		t.Helper()
		cfg := mustConfig(t, img).DeepCopy()
		change(cfg)
		img, err := mutate.ConfigFile(img, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
}

func mustDigest(t testing.TB, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}
