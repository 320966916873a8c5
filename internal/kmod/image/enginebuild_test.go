package image

import (
	"archive/tar"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"neuron-kmod/internal/kmod/engine"
)

// buildah stands in for an engine: it assembles what the Containerfile says,
// RUN left out, and hands it over the way podman and docker do.
type buildah struct {
	t           testing.TB
	base        Base // what the engine believes the base is
	attestation bool // docker's habit
	got         engine.BuildSpec
	result      func(v1.Image) v1.Image
}

func (b *buildah) Build(ctx context.Context, s engine.BuildSpec) error {
	b.got = s
	text, err := os.ReadFile(s.Containerfile)
	if err != nil {
		return err
	}
	checkModes(b.t, s.Context)
	if !strings.Contains(string(text), "\nFROM "+b.base.Name+"\n") {
		b.t.Errorf("the base image is not spelled out:\n%s", text)
	}
	img, err := Assemble(ctx, Spec{Base: b.base, Containerfile: builtIn(b.t), Context: s.Context, Args: s.Args, Labels: s.Labels, Created: *s.Timestamp})
	if err != nil {
		return err
	}
	cfg := mustConfig(b.t, img).DeepCopy()
	cfg.Config.Labels["io.buildah.version"] = "1.28.2"
	cfg.Config.Labels["empty"] = ""
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		return err
	}
	if b.result != nil {
		img = b.result(img)
	}
	return b.write(img, s.Out)
}

func (b *buildah) write(img v1.Image, out string) error {
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	if b.attestation {
		unknown := v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}
		inner := mutate.AppendManifests(empty.Index,
			mutate.IndexAddendum{Add: empty.Image, Descriptor: unknown},
			mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
		index = mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: inner})
	}
	dir := b.t.TempDir()
	if _, err := layout.Write(dir, index); err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	tw := tar.NewWriter(f)
	if err := tw.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	// Docker puts files of its own format beside the layout.
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "docker/manifest.json"}); err != nil {
		return err
	}
	return tw.Close()
}

// checkModes: an engine copies modes as they are, so they may not be those of
// the umask or of the person's own files.
func checkModes(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode != 0o755 && (mode != 0o644 || d.IsDir()) {
			t.Errorf("%s has mode %o", p, mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Decision 5: the engine's image has the labels and files of the native one.
func TestEngineBuild(t *testing.T) {
	for name, attestation := range map[string]bool{"plain": false, "with an attestation": true} {
		t.Run(name, func(t *testing.T) {
			base := busyBoxBase(t)
			spec := kmodSpec(t, base, testLabels(t, base, "1.36.1"))
			native, err := Assemble(context.Background(), spec)
			if err != nil {
				t.Fatal(err)
			}
			for name, mode := range map[string]os.FileMode{"licenses": 0o700, "licenses/NOTICE": 0o600} {
				if err := os.Chmod(filepath.Join(spec.Context, name), mode); err != nil {
					t.Fatal(err)
				}
			}
			spec.Containerfile = append(spec.Containerfile, "\nRUN true\n"...)
			fake := &buildah{t: t, base: base, attestation: attestation}
			temp := t.TempDir()
			img, err := EngineBuild(context.Background(), fake, spec, temp)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(contents(t, native, base), contents(t, img, base)); diff != "" {
				t.Errorf("files: %s", diff)
			}
			if diff := cmp.Diff(mustConfig(t, native).Config, mustConfig(t, img).Config); diff != "" {
				t.Errorf("configuration: %s", diff)
			}
			if err := validate.Image(img); err != nil {
				t.Error(err)
			}
			if fake.got.Platform != "linux/amd64" || !fake.got.Timestamp.Equal(testTime) || fake.got.Bases[base.Name] != base.Image {
				t.Errorf("the engine was asked for %+v", fake.got)
			}
			if left, _ := filepath.Glob(filepath.Join(temp, "*", "context")); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// R8.1, R8.2: an engine's failure and an engine's wrong result leave nothing behind.
func TestEngineBuildFails(t *testing.T) {
	base := busyBoxBase(t)
	spec := kmodSpec(t, base, testLabels(t, base, "1.36.1"))
	stale := baseOf(t, oci, nil, entries{file("bin/sh", "stale")})
	tests := map[string]struct {
		builder Builder
		want    string
	}{
		"engine fails":     {failingBuilder{errors.New("exit status 125")}, "building Containerfile with the engine: exit status 125"},
		"no archive":       {failingBuilder{nil}, "no such file"},
		"another base":     {&buildah{t: t, base: stale}, "the engine built on another image than the example.com/base:1"},
		"another platform": {&buildah{t: t, base: base, result: withConfig(t, func(c *v1.ConfigFile) { c.Architecture = "arm64" })}, "is for linux/arm64"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if fake, ok := tt.builder.(*buildah); ok {
				fake.base.Name = base.Name
			}
			temp := t.TempDir()
			_, err := EngineBuild(context.Background(), tt.builder, spec, temp)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
			if left, _ := os.ReadDir(temp); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	spec.Base.Name = "example.com/another"
	if _, err := EngineBuild(context.Background(), failingBuilder{}, spec, t.TempDir()); err == nil || !strings.Contains(err.Error(), "but example.com/another was resolved") {
		t.Errorf("error = %v", err)
	}
}

type failingBuilder struct{ err error }

func (f failingBuilder) Build(context.Context, engine.BuildSpec) error { return f.err }

// R8.1: an archive is unpacked as a layout and nothing else.
func TestLoadArchiveHostile(t *testing.T) {
	archive := func(t *testing.T, e entries) string {
		rc, err := e.layer(t, types.OCIUncompressedLayer).Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		defer rc.Close()
		p := filepath.Join(t.TempDir(), "image.tar")
		f, err := os.Create(p)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.ReadFrom(rc); err != nil {
			t.Fatal(err)
		}
		return p
	}
	hex := strings.Repeat("a", 64)
	tests := map[string]entries{
		"climbing names":       {file("../../escaped", "x"), file("/escaped", "x"), file("blobs/sha256/../../../escaped", "x")},
		"link in a blob's way": {link("blobs/sha256", "/"), file("blobs/sha256/"+hex, "x")},
		"a blob twice":         {file("blobs/sha256/"+hex, "x"), file("blobs/sha256/"+hex, "y")},
		"wrong digest": {
			file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`),
			file("index.json", `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":"sha256:`+hex+`"}]}`),
			file("blobs/sha256/"+hex, "{}"),
		},
		"no layout": {},
	}
	for name, e := range tests {
		t.Run(name, func(t *testing.T) {
			around := t.TempDir()
			dir := filepath.Join(around, "a", "b")
			if img, err := loadArchive(context.Background(), archive(t, e), dir); err == nil {
				t.Errorf("loaded %v", img)
			}
			err := filepath.WalkDir(around, func(p string, d fs.DirEntry, err error) error {
				if err == nil && d.Name() == "escaped" || d.Type() == fs.ModeSymlink {
					t.Errorf("%s was written", p)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
