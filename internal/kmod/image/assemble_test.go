package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"neuron-kmod/container"
	"neuron-kmod/internal/platform/fault"
)

// builtIn is the project's own Containerfile.
func builtIn(t testing.TB) []byte {
	t.Helper()
	text, err := container.Files.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// specOf is a Spec of the project's Containerfile over a context with files, below opt/.
func specOf(t testing.TB, files map[string]string) Spec {
	t.Helper()
	all := map[string]string{"licenses/": "", "opt/": ""}
	for name, content := range files {
		all["opt/"+name] = content
	}
	return Spec{Base: busyBoxBase(t), Containerfile: builtIn(t), Context: folder(t, all), Created: testTime}
}

// R5.3: files go where `podman build` puts them: through the links of the base, into directories that are there.
func TestAssemble(t *testing.T) {
	tests := map[string]struct {
		base entries
		want []string
	}{
		"nothing there":     {nil, []string{"licenses/ 0755 0:0", "opt/ 0755 0:0", "opt/d/ 0755 0:0", "opt/d/x 0644 0:0 X", "opt/to-x 0777 0:0 -> d/x"}},
		"a directory":       {entries{dir("opt"), dir("opt/d")}, []string{"licenses/ 0755 0:0", "opt/d/ 0755 0:0", "opt/d/x 0644 0:0 X", "opt/to-x 0777 0:0 -> d/x"}},
		"a file to replace": {entries{dir("opt"), dir("opt/d"), file("opt/d/x", "old")}, []string{"licenses/ 0755 0:0", "opt/d/ 0755 0:0", "opt/d/x 0644 0:0 X", "opt/to-x 0777 0:0 -> d/x"}},
		"a link":            {entries{dir("usr"), link("opt", "usr/opt")}, []string{"licenses/ 0755 0:0", "usr/opt/ 0755 0:0", "usr/opt/d/ 0755 0:0", "usr/opt/d/x 0644 0:0 X", "usr/opt/to-x 0777 0:0 -> d/x"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			spec := specOf(t, map[string]string{"d/x": "X", "to-x": "-> d/x"})
			spec.Base = baseOf(t, oci, nil, tt.base)
			spec.Labels = map[string]string{"l": "v", "none": ""}
			img, err := Assemble(context.Background(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, contents(t, img, spec.Base)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(map[string]string{"l": "v"}, mustConfig(t, img).Config.Labels); diff != "" {
				t.Error(diff)
			}
			if err := validate.Image(img); err != nil {
				t.Error(err)
			}
		})
	}
}

// R5.3: the base's configuration stays but for what tells of its own making.
func TestAssembleConfiguration(t *testing.T) {
	spec := specOf(t, nil)
	spec.Base = baseOf(t, oci, func(c *v1.ConfigFile) {
		c.Author, c.Container = "them", "abc"
		c.Config.Image, c.Config.Hostname = "sha256:1", "host"
		c.Config.Labels = map[string]string{"set": "base", "other": "base"}
	}, entries{file("bin/sh", "x")})
	spec.Labels = map[string]string{"set": "y"}
	img, err := Assemble(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	got := mustConfig(t, img)
	want := v1.Config{Env: []string{"PATH=/bin:/usr/bin"}, Cmd: []string{"sh"}, Labels: map[string]string{"set": "y", "other": "base"}}
	if diff := cmp.Diff(want, got.Config); diff != "" {
		t.Error(diff)
	}
	if got.Author != "" || got.Container != "" {
		t.Errorf("the base's own making is told: %+v", got)
	}
	if !got.Created.Equal(testTime) || got.Architecture != "amd64" || got.OS != "linux" {
		t.Errorf("created %v, for %s/%s", got.Created, got.OS, got.Architecture)
	}
	layers := 0
	for _, h := range got.History {
		if !h.EmptyLayer {
			layers++
		}
	}
	if layers != len(got.RootFS.DiffIDs) {
		t.Errorf("history tells of %d layers, there are %d", layers, len(got.RootFS.DiffIDs))
	}
}

// Decision 5: what Assemble cannot do is left to an engine.
func TestNeedsEngine(t *testing.T) {
	if !IsBuiltIn(builtIn(t)) || !IsBuiltIn(append([]byte("# mine\n\n"), builtIn(t)...)) {
		t.Error("the project's own Containerfile is not known, or not with a comment more")
	}
	if IsBuiltIn(append([]byte("# escape=`\n"), builtIn(t)...)) {
		t.Error("a Containerfile whose lines do not continue is taken for the project's own")
	}
	for name, change := range map[string]func(s *Spec){
		"another Containerfile":       func(s *Spec) { s.Containerfile = append(s.Containerfile, "\nRUN true\n"...) },
		"a file where a directory is": func(s *Spec) { s.Base = baseOf(t, oci, nil, entries{file("opt", "x")}) },
		"a directory where a file is": func(s *Spec) { s.Base = baseOf(t, oci, nil, entries{dir("opt"), dir("opt/x")}) },
		"a link where a file is":      func(s *Spec) { s.Base = baseOf(t, oci, nil, entries{dir("opt"), link("opt/x", "y")}) },
		"ONBUILD of the base": func(s *Spec) {
			s.Base = baseOf(t, oci, func(c *v1.ConfigFile) { c.Config.OnBuild = []string{"RUN true"} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := specOf(t, map[string]string{"x": "X"})
			change(&spec)
			if _, err := Assemble(context.Background(), spec); !errors.Is(err, ErrNeedsEngine) {
				t.Errorf("error = %v", err)
			}
		})
	}
}

// R8.1: what cannot be known of a Containerfile is refused with its line, before anything is pulled.
func TestBadContainerfile(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"no FROM":            {"ARG A", "Containerfile: has no FROM"},
		"empty":              {"", "Containerfile: has no FROM"},
		"comments only":      {"# x\n\n", "Containerfile: has no FROM"},
		"LABEL before FROM":  {"LABEL a=b\nFROM a", "Containerfile:1: LABEL: only ARG may stand before FROM"},
		"FROM of nothing":    {"ARG B\nFROM $B", "Containerfile:2: FROM: $B comes out empty"},
		"FROM with too much": {"FROM a b", "Containerfile:1: FROM: wants IMAGE"},
		"another platform":   {"FROM --platform=linux/arm64 a", `Containerfile:1: FROM: platform is "linux/arm64"`},
		"another flag":       {"FROM --x=y a", "Containerfile:1: FROM: unknown flag --x=y"},
		"open brace":         {"\nFROM ${b", "Containerfile:2: FROM: "},
		"open quote":         {"ARG A=\"b\nFROM a", "Containerfile:1: ARG: a quote is not closed"},
		"ARG of nothing":     {"ARG\nFROM a", "Containerfile:1: ARG: wants NAME"},
		"ARG without name":   {"ARG =x\nFROM a", `Containerfile:1: ARG: "" is not a variable name`},
		"not text":           {"FROM a\nLABEL a=\xff\xfe", "Containerfile: not a text file"},
		"a NUL":              {"FROM a\nLABEL a=\x00", "Containerfile: not a text file"},
		"too large":          {strings.Repeat("#\n", 600<<10), "Containerfile: larger than"},
		"too long a value":   {"ARG A=" + strings.Repeat("x", maxValue+1) + "\nFROM a", "Containerfile:1: ARG: a value of"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := BaseReference([]byte(tt.text), nil); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("error = %v\nwant %s", err, tt.want)
			}
		})
	}
}

// R5.3: KMM's link to the kernel's own modules is the one link that may lead out of the image.
func TestHostLink(t *testing.T) {
	const link = "opt/lib/modules/5.14/host"
	img, err := Assemble(context.Background(), specOf(t, map[string]string{strings.TrimPrefix(link, "opt/"): "-> /lib/modules/5.14"}))
	if err != nil {
		t.Fatal(err)
	}
	fs, err := readRootfs(context.Background(), img)
	if err != nil {
		t.Fatal(err)
	}
	if n := fs.tree.get(link); n == nil || n.link != "/lib/modules/5.14" {
		t.Errorf("%s is %+v", link, n)
	}
}

// R8.1, R9.2: a context can neither read what is outside it nor fill the memory.
func TestHostileContext(t *testing.T) {
	secret := filepath.Join(folder(t, map[string]string{"secret": "SECRET"}), "secret")
	tests := map[string]struct {
		files map[string]string
		want  string
	}{
		"absolute link":         {map[string]string{"x": "-> " + secret}, "link opt/x leads out of it, to " + secret},
		"in a directory":        {map[string]string{"d/x": "-> " + secret}, "link opt/d/x leads out of it"},
		"climbing link":         {map[string]string{"d/x": "-> ../../../etc/passwd"}, "link opt/d/x leads out of it"},
		"another kernel's host": {map[string]string{"lib/modules/5.14/host": "-> /lib/modules/6.1"}, "host leads out of it"},
		"link above":            {map[string]string{"x": "-> ../.."}, "link opt/x leads out of it"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Assemble(context.Background(), specOf(t, tt.files))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
			if strings.Contains(tt.want, "leads out") && fault.Of(err) == "" {
				t.Error("no advice")
			}
		})
	}
	t.Run("too large", func(t *testing.T) {
		spec := specOf(t, map[string]string{"big": ""})
		if err := os.Truncate(filepath.Join(spec.Context, "opt", "big"), maxContext+1); err != nil {
			t.Fatal(err)
		}
		if _, err := Assemble(context.Background(), spec); err == nil || !strings.Contains(err.Error(), "larger than 128 MiB") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("no directory", func(t *testing.T) {
		spec := specOf(t, nil)
		spec.Context = filepath.Join(spec.Context, "gone")
		if _, err := Assemble(context.Background(), spec); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("no modules", func(t *testing.T) {
		spec := specOf(t, nil)
		if err := os.Remove(filepath.Join(spec.Context, "opt")); err != nil {
			t.Fatal(err)
		}
		if _, err := Assemble(context.Background(), spec); err == nil || !strings.Contains(err.Error(), "COPY: opt/ is not in the context") {
			t.Errorf("error = %v", err)
		}
	})
}

// Decision 5: the same input makes the same bytes, whenever and by whom it is built.
func TestReproducible(t *testing.T) {
	digest := func(spec Spec) string {
		t.Helper()
		img, err := Assemble(context.Background(), spec)
		if err != nil {
			t.Fatal(err)
		}
		return mustDigest(t, img)
	}
	one := specOf(t, map[string]string{"a": "A", "d/b": "B", "run": "R", "to": "-> d/b"})
	two := specOf(t, map[string]string{"run": "R", "d/b": "B", "to": "-> d/b", "a": "A"})
	for name, mode := range map[string]os.FileMode{"a": 0o600, "d": 0o700, "d/b": 0o664} {
		if err := os.Chmod(filepath.Join(two.Context, "opt", name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(two.Context, "opt", "a"), time.Unix(1, 0), time.Unix(2, 0)); err != nil {
		t.Fatal(err)
	}
	two.Created = one.Created.In(time.FixedZone("away", 3600)).Add(time.Millisecond)
	want := digest(one)
	if got := digest(two); got != want {
		t.Errorf("the same files in another directory, with another umask: %s, then %s", want, got)
	}
	if err := os.Chmod(filepath.Join(two.Context, "opt", "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	if digest(two) == want {
		t.Error("an execute bit is lost")
	}
	two = one
	two.Created = one.Created.Add(time.Second)
	if digest(two) == want {
		t.Error("the creation time is not in the image")
	}
	for _, bad := range []time.Time{{}, time.Unix(-1, 0)} {
		two.Created = bad
		if _, err := Assemble(context.Background(), two); err == nil {
			t.Errorf("created at %v is accepted", bad)
		}
	}
}

// Decision 6: a registry refuses an image that mixes OCI and Docker types.
func TestMediaTypes(t *testing.T) {
	layers := entries{file("bin/sh", "x")}
	mixed := baseOf(t, oci, nil, layers)
	img, err := mutate.AppendLayers(mixed.Image, entries{file("y", "y")}.layer(t, types.DockerLayer))
	if err != nil {
		t.Fatal(err)
	}
	annotated := mutate.Annotations(img, map[string]string{LabelVersion: "of the base"}).(v1.Image)
	mixed.Image = annotated
	for name, tt := range map[string]struct {
		base Base
		want family
	}{"OCI": {baseOf(t, oci, nil, layers), oci}, "Docker": {baseOf(t, docker, nil, layers), docker}, "mixed": {mixed, oci}} {
		t.Run(name, func(t *testing.T) {
			spec := specOf(t, map[string]string{"a": "A"})
			spec.Base = tt.base
			img, err := Assemble(context.Background(), spec)
			if err != nil {
				t.Fatal(err)
			}
			m, err := img.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			if m.MediaType != tt.want.manifest || m.Config.MediaType != tt.want.config {
				t.Errorf("manifest %s, configuration %s", m.MediaType, m.Config.MediaType)
			}
			if !slices.ContainsFunc(m.Layers, func(d v1.Descriptor) bool { return d.MediaType == tt.want.layer }) ||
				slices.ContainsFunc(m.Layers, func(d v1.Descriptor) bool { return d.MediaType != tt.want.layer }) {
				t.Errorf("layers %+v", m.Layers)
			}
			if len(m.Annotations) > 0 {
				t.Errorf("annotations of the base are kept: %v", m.Annotations)
			}
			if err := validate.Image(img); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAssembleStopsOnCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Assemble(ctx, specOf(t, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}

// Nothing that a Containerfile says may crash, hang, or name a base that is none.
func FuzzBaseReference(f *testing.F) {
	for _, text := range []string{
		"ARG B=example.com/base:1\nFROM $B AS x\nWORKDIR ../w\nFROM x", "# escape=`\nFROM a`\n  b", "FROM a\nCOPY <<E /x\ny\nE",
		"ARG A=${B:-c}${A:+d}\nFROM --platform=$TARGETPLATFORM \"${A}\"", "RUN <<'E'\nFROM x\n", string(builtIn(f)),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		stages, err := parseStages([]byte(text), map[string]string{"A": "x"})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "Containerfile:") {
				t.Errorf("error does not name the file: %v", err)
			}
			return
		}
		for _, s := range stages {
			if s.image == "" || len(s.image) > maxValue {
				t.Errorf("image of %d bytes", len(s.image))
			}
		}
		if got, want := strings.Count(string(literalFrom([]byte(text), stages)), "\n"), strings.Count(text, "\n"); got != want {
			t.Errorf("%d lines became %d", want, got)
		}
	})
}
