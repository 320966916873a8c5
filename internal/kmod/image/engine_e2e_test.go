//go:build e2e

package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"neuron-kmod/internal/kmod/engine"
)

// realBase is an image of this machine's static BusyBox, whose links and files
// are such that a COPY can meet each of them.
func realBase(t *testing.T) Base {
	t.Helper()
	binary, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("this test needs a static BusyBox (on Debian: apt-get install busybox-static): %v", err)
	}
	layer := entries{
		dir("bin"), file("bin/busybox", string(binary)), hard("bin/mkdir", "bin/busybox"), hard("bin/cp", "bin/busybox"),
		link("bin/sh", "busybox"), dir("etc"), mode(file("etc/passwd", "root:x:0:0::/:/bin/sh\n"), 0o644),
		file("etc/replaced", "old"),
		dir("lib"), link("lib64", "lib"),
	}
	return baseOf(t, oci, func(c *v1.ConfigFile) {
		c.Config.Labels = map[string]string{"keep": "base", "of-base": "yes"}
	}, layer)
}

func podman(t *testing.T) *engine.CLI {
	t.Helper()
	cli, err := engine.New(
		engine.Options{Program: "podman", StateDir: t.TempDir(), TempDir: t.TempDir(), RunID: "imagetest"},
	)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cli.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	return cli
}

// Decision 5: the native and the engine's way give the same labels, the same
// files and the same way to run.
func TestEngineAgrees(t *testing.T) {
	base := realBase(t)
	info, err := CheckBase(context.Background(), base)
	if err != nil {
		t.Fatal(err)
	}
	if info.BusyBox == "" {
		t.Fatal("a real BusyBox was not recognised")
	}
	in := testLabels(t, base, info.BusyBox)
	linked := kmodSpec(t, base, in)
	k := in.Kernel.String()
	if err := os.Symlink("/lib/modules/"+k, filepath.Join(linked.Context, "opt/lib/modules", k, "host")); err != nil {
		t.Fatal(err)
	}
	bare := kmodSpec(t, base, in)
	bare.Labels = nil // the Containerfile makes the same of its ARGs
	for name, spec := range map[string]Spec{
		"the project's": kmodSpec(t, base, in), "with the link to the kernel's modules": linked, "without labels": bare,
	} {
		t.Run(name, func(t *testing.T) {
			if spec.Labels == nil {
				if diff := cmp.Diff(Labels(in), withoutBase(mustConfig(t, buildWithEngine(t, spec)).Config.Labels)); diff != "" {
					t.Errorf("labels (- ours, + engine):\n%s", diff)
				}
				return
			}
			native, err := Assemble(context.Background(), spec)
			if err != nil {
				t.Fatal(err)
			}
			built := buildWithEngine(t, spec)
			if diff := cmp.Diff(mustConfig(t, built).Config, mustConfig(t, native).Config); diff != "" {
				t.Errorf("configuration (- engine, + native):\n%s", diff)
			}
			if diff := cmp.Diff(flatten(t, built), flatten(t, native)); diff != "" {
				t.Errorf("files (- engine, + native):\n%s", diff)
			}
		})
	}
}

// Decision 5: what only an engine can do is done by one, and the result is a
// kmod image all the same.
func TestEngineRuns(t *testing.T) {
	base := realBase(t)
	info, err := CheckBase(context.Background(), base)
	if err != nil {
		t.Fatal(err)
	}
	in := testLabels(t, base, info.BusyBox)
	spec := kmodSpec(t, base, in)
	spec.Containerfile = append(spec.Containerfile, "\nRUN mkdir /made && cp /etc/passwd /made/\n"...)
	if _, err := Assemble(context.Background(), spec); !errors.Is(err, ErrNeedsEngine) {
		t.Fatalf("Assemble: %v", err)
	}
	img := buildWithEngine(t, spec)
	if err := Verify(context.Background(), img, in.Driver, in.Kernel); err != nil {
		t.Error(err)
	}
	if _, ok := flatten(t, img)["made/passwd"]; !ok {
		t.Error("RUN left no file")
	}
	if diff := cmp.Diff(Labels(in), withoutBase(mustConfig(t, img).Config.Labels)); diff != "" {
		t.Error(diff)
	}
}

func withoutBase(labels map[string]string) map[string]string {
	delete(labels, "keep")
	delete(labels, "of-base")
	return labels
}

func buildWithEngine(t *testing.T, spec Spec) v1.Image {
	t.Helper()
	img, err := EngineBuild(context.Background(), podman(t), spec, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// flatten is every file of the image: kind, mode, owner, time and content. The
// time of a directory changes when something is put into it, so it says nothing.
func flatten(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	files := map[string]string{}
	rc := mutate.Extract(img)
	defer rc.Close()
	for tr := tar.NewReader(rc); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > 100 {
			content = fmt.Appendf(nil, "%d bytes", len(content))
		}
		name := strings.Trim(h.Name, "/")
		files[name] = fmt.Sprintf(
			"%c %04o %d:%d %q %s %d", h.Typeflag, h.Mode&0o7777, h.Uid, h.Gid, h.Linkname, content, h.ModTime.Unix(),
		)
		if h.Typeflag == tar.TypeDir {
			files[name] = fmt.Sprintf("dir %04o %d:%d", h.Mode&0o7777, h.Uid, h.Gid)
		}
	}
}
