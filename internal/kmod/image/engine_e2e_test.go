//go:build e2e

package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"neuron-kmod/internal/kmod/engine"
)

// everyForm has each form of every instruction that Assemble knows, so that a
// real engine reports whether Assemble understands them the same way.
const everyForm = `ARG BASE=example.com/base
FROM --platform=$TARGETPLATFORM ${BASE}:1 AS kmod
ARG BASE
ARG GIVEN=default
ARG PLAIN=plain
ARG UNSET
ARG TARGETARCH
ENV PLAIN=env FROM_ARG=$GIVEN PATH=$PATH:/more
ENV OLD form of env
LABEL given=$GIVEN plain="${PLAIN}" base='$BASE' path=$PATH old="$OLD" arch=$TARGETARCH
LABEL default=${UNSET:-d} alternative=${GIVEN:+a} unset="${UNSET}" escaped=\$GIVEN keep=changed
LABEL several words
LABEL two=lines \
      more=lines

COPY a.txt /form/file
COPY a.txt /form/folder/
COPY a.txt /etc
COPY a.txt /etc/replaced
COPY a.txt /lib64/
COPY tree /form/tree
COPY tree/ /form/tree-slash/
COPY tree/lib tree/bin /form/merged/
COPY [ab].txt /form/wild/
COPY tree/*/*.ko /form/deep/
COPY to-a /form/through/
COPY to-tree/lib /form/through-folder
COPY /./tree/../a.txt /form/dots
COPY ["with space", "/form/with space"]
COPY --chown=7:8 tree/lib /form/owned
COPY --chown=9 a.txt /form/owned-by-one
COPY --chown=7:8 tree/lib /owned/a/b
COPY --chown=7:8 a.txt /owned2/a/b
COPY --chown=7:8 a.txt /owned3/a/b/
COPY --chmod=0700 tree /form/mode
COPY --chmod=0700 --chown=7 tree /mode/a/b
COPY --chmod=0700 a.txt /mode2/a/b/
COPY wild* /form/wild-folders/
COPY to-* /form/wild-links/
COPY a.txt /../form/climbing
WORKDIR /form/work
COPY b.txt .
COPY b.txt c
WORKDIR below
COPY b.txt ./
USER 1000:1000
ENTRYPOINT ["/bin/sh", "-c"]
CMD echo $GIVEN
`

var everyFile = map[string]string{
	"a.txt": "A", "b.txt": "B", "with space": "S", "to-a": "-> a.txt", "to-tree": "-> tree",
	"tree/lib/x.ko": "KO", "tree/bin/tool": "TOOL", "wild-a/w": "W", "wild-b/x/y": "X", "wild.txt": "T", "tree/empty/": "", "tree/link": "-> lib/x.ko", "not-copied": "N",
}

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
		link("bin/sh", "busybox"), dir("etc"), mode(file("etc/passwd", "root:x:0:0::/:/bin/sh\n"), 0o644), file("etc/replaced", "old"),
		dir("lib"), link("lib64", "lib"),
	}
	return baseOf(t, oci, func(c *v1.ConfigFile) {
		c.Config.Labels = map[string]string{"keep": "base", "of-base": "yes"}
	}, layer)
}

func podman(t *testing.T) *engine.CLI {
	t.Helper()
	cli, err := engine.New(engine.Options{Program: "podman", StateDir: t.TempDir(), TempDir: t.TempDir(), RunID: "imagetest"})
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
	every := specOf(t, everyForm, everyFile)
	every.Base, every.Args, every.Labels = base, map[string]string{"GIVEN": "given"}, map[string]string{"more": "a=b c", "none": ""}
	in := testLabels(t, base, info.BusyBox)
	for name, spec := range map[string]Spec{"the project's": kmodSpec(t, base, in), "every form": every} {
		t.Run(name, func(t *testing.T) {
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
	var log bytes.Buffer
	spec.Log = &log
	img, err := EngineBuild(context.Background(), podman(t), spec, t.TempDir())
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
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
		files[name] = fmt.Sprintf("%c %04o %d:%d %q %s %d", h.Typeflag, h.Mode&0o7777, h.Uid, h.Gid, h.Linkname, content, h.ModTime.Unix())
		if h.Typeflag == tar.TypeDir {
			files[name] = fmt.Sprintf("dir %04o %d:%d", h.Mode&0o7777, h.Uid, h.Gid)
		}
	}
}
