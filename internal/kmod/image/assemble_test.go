package image

import (
	"context"
	"errors"
	"maps"
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

	"neuron-kmod/internal/platform/fault"
)

func specOf(t testing.TB, containerfile string, files map[string]string) Spec {
	return Spec{
		Base:          busyBoxBase(t),
		Containerfile: []byte(containerfile),
		Context:       folder(t, files),
		Created:       testTime,
	}
}

const fromBase = "FROM example.com/base:1\n"

// R5.3: COPY puts files where `podman build` puts them.
func TestCopy(t *testing.T) {
	files := map[string]string{
		"a.txt": "A", "b.txt": "B", "opt/lib/x.ko": "KO", "opt/empty/": "", "opt/to-x": "-> lib/x.ko",
		"to-a": "-> a.txt", "to-opt": "-> opt", "with space": "S", "passwd": "P",
	}
	tests := map[string]struct {
		instructions string
		want         []string
	}{
		"file to file":             {"COPY a.txt /new/name", []string{"new/ 0755 0:0", "new/name 0644 0:0 A"}},
		"file to folder":           {"COPY a.txt /new/", []string{"new/ 0755 0:0", "new/a.txt 0644 0:0 A"}},
		"file to folder of base":   {"COPY a.txt /etc", []string{"etc/a.txt 0644 0:0 A"}},
		"file over file of base":   {"COPY passwd /etc/passwd", []string{"etc/passwd 0644 0:0 P"}},
		"through a link of base":   {"COPY a.txt /lib64/", []string{"lib/a.txt 0644 0:0 A"}},
		"to the root":              {"COPY a.txt /", []string{"a.txt 0644 0:0 A"}},
		"to a dot":                 {"COPY a.txt .", []string{"a.txt 0644 0:0 A"}},
		"folder's content":         {"COPY opt /x", []string{"x/ 0755 0:0", "x/empty/ 0755 0:0", "x/lib/ 0755 0:0", "x/lib/x.ko 0644 0:0 KO", "x/to-x 0777 0:0 -> lib/x.ko"}},
		"two layers":               {"COPY a.txt /x/\nCOPY b.txt /x", []string{"x/ 0755 0:0", "x/a.txt 0644 0:0 A", "x/b.txt 0644 0:0 B"}},
		"several sources":          {"COPY a.txt b.txt opt/lib /x/", []string{"x/ 0755 0:0", "x/a.txt 0644 0:0 A", "x/b.txt 0644 0:0 B", "x/x.ko 0644 0:0 KO"}},
		"wildcard":                 {"COPY [ab].txt /x/", []string{"x/ 0755 0:0", "x/a.txt 0644 0:0 A", "x/b.txt 0644 0:0 B"}},
		"wildcard in a folder":     {"COPY opt/*/*.ko /x/", []string{"x/ 0755 0:0", "x/x.ko 0644 0:0 KO"}},
		"link named as source":     {"COPY to-a /x/", []string{"x/ 0755 0:0", "x/to-a 0644 0:0 A"}},
		"folder through a link":    {"COPY to-opt/lib /x", []string{"x/ 0755 0:0", "x/x.ko 0644 0:0 KO"}},
		"leading slash and dots":   {"COPY /./opt/../a.txt /x", []string{"x 0644 0:0 A"}},
		"JSON form":                {`COPY ["with space", "/x y"]`, []string{"x y 0644 0:0 S"}},
		"quoted in a variable":     {"ARG D=/x\nCOPY a.txt ${D}/$D", []string{"x/ 0755 0:0", "x/x 0644 0:0 A"}},
		"relative to WORKDIR":      {"WORKDIR /w\nCOPY a.txt b", []string{"w/ 0755 0:0", "w/b 0644 0:0 A"}},
		"WORKDIR that is there":    {"WORKDIR /etc\nCOPY a.txt .", []string{"etc/a.txt 0644 0:0 A"}},
		"owner and mode":           {"COPY --chown=7:8 --chmod=0700 opt/lib /x", []string{"x/ 0755 7:8", "x/x.ko 0700 7:8 KO"}},
		"owner is group too":       {"COPY --chown=7 a.txt /x", []string{"x 0644 7:7 A"}},
		"climbing above the root":  {"COPY a.txt /../../x", []string{"x 0644 0:0 A"}},
		"sorted, whatever written": {"COPY b.txt a.txt /", []string{"a.txt 0644 0:0 A", "b.txt 0644 0:0 B"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			spec := specOf(t, fromBase+tt.instructions, files)
			img, err := Assemble(context.Background(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, contents(t, img, spec.Base)); diff != "" {
				t.Error(diff)
			}
			if err := validate.Image(img); err != nil {
				t.Error(err)
			}
		})
	}
}

// R5.2: ARG, ENV and LABEL follow the rules of every engine.
func TestVariables(t *testing.T) {
	tests := map[string]struct {
		text string
		want string // of label l
	}{
		"default":                          {"ARG A=x\nLABEL l=$A", "x"},
		"given wins over default":          {"ARG GIVEN=x\nLABEL l=${GIVEN}", "given"},
		"given but not declared":           {"LABEL l=<$GIVEN>", "<>"},
		"before it is declared":            {"LABEL l=<$A>\nARG A=x", "<>"},
		"default names another":            {"ARG A=x\nARG B=$A-y\nLABEL l=$B", "x-y"},
		"several at once":                  {"ARG A=x B=$A\nLABEL l=$A$B", "xx"},
		"ENV wins over ARG":                {"ARG A=x\nENV A=e\nLABEL l=$A", "e"},
		"ENV wins over a later ARG":        {"ENV GIVEN=e\nARG GIVEN\nLABEL l=$GIVEN", "e"},
		"ENV of the base":                  {"LABEL l=$PATH", "/bin:/usr/bin"},
		"ENV sees what was before it":      {"ENV A=1\nENV A=2 B=$A\nLABEL l=$B", "1"},
		"default of a substitution":        {"LABEL l=${A:-y}", "y"},
		"alternative of a substitution":    {"ARG A=x\nLABEL l=${A:+y}${B:+z}", "y"},
		"double quotes":                    {`LABEL l="a $GIVEN b"`, "a  b"},
		"single quotes":                    {`LABEL l='a $A b'`, "a $A b"},
		"escaped dollar":                   {`LABEL l=\$A`, "$A"},
		"old form with spaces":             {"LABEL l a b c", "a b c"},
		"continued line":                   {"LABEL l=a\\\n  m=b", "a"},
		"last one wins":                    {"LABEL l=a\nLABEL l=b", "b"},
		"name from a variable":             {"ARG A=l\nLABEL $A=x", "x"},
		"ARG before FROM is not for LABEL": {"LABEL l=<$OUTER>", "<>"},
		"until it is declared":             {"ARG OUTER\nLABEL l=$OUTER", "outer"},
		"and its own default wins":         {"ARG OUTER=inner\nLABEL l=$OUTER", "inner"},
		"platform":                         {"ARG TARGETARCH\nLABEL l=$TARGETARCH", "amd64"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			spec := specOf(t, "ARG OUTER=outer\nARG BASE=example.com/base\nFROM --platform=$TARGETPLATFORM ${BASE}:1 AS one\n"+tt.text, nil)
			spec.Args = map[string]string{"GIVEN": "given", "UNUSED": "x"}
			img, err := Assemble(context.Background(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if got := mustConfig(t, img).Config.Labels["l"]; got != tt.want {
				t.Errorf("label is %q, want %q", got, tt.want)
			}
		})
	}
}

// R5.3: what the image runs, and as whom.
func TestConfiguration(t *testing.T) {
	spec := specOf(t, fromBase+`ENV A=1 PATH=/bin
USER 1000:1000
WORKDIR /a
WORKDIR b
ENTRYPOINT ["/bin/sh", "-c", "$A"]
LABEL keep= empty="" set=x
`, nil)
	spec.Base = baseOf(t, oci, func(c *v1.ConfigFile) {
		c.Author, c.Container = "them", "abc"
		c.Config.Image, c.Config.Hostname = "sha256:1", "host"
		c.Config.Labels = map[string]string{"keep": "base", "other": "base"}
	}, entries{file("bin/sh", "x")})
	spec.Labels = map[string]string{"set": "y", "more": "z", "none": ""}
	img, err := Assemble(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	got := mustConfig(t, img)
	want := v1.Config{
		Env: []string{"A=1", "PATH=/bin"}, User: "1000:1000", WorkingDir: "/a/b",
		Entrypoint: []string{"/bin/sh", "-c", "$A"}, // the base's CMD is gone with its ENTRYPOINT
		Labels:     map[string]string{"set": "y", "more": "z", "other": "base"},
	}
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

func TestCommandForms(t *testing.T) {
	tests := map[string]struct{ text, entrypoint, cmd string }{
		"inherited":                {"LABEL a=b", "", "sh"},
		"shell form":               {"CMD echo $A", "", "/bin/sh|-c|echo $A"},
		"JSON form":                {`CMD ["echo", "$A"]`, "", "echo|$A"},
		"empty JSON":               {`CMD []`, "", ""},
		"CMD before ENTRYPOINT":    {"CMD [\"a\"]\nENTRYPOINT [\"b\"]", "b", "a"},
		"ENTRYPOINT clears base's": {"ENTRYPOINT b c", "/bin/sh|-c|b c", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			img, err := Assemble(context.Background(), specOf(t, fromBase+tt.text, nil))
			if err != nil {
				t.Fatal(err)
			}
			c := mustConfig(t, img).Config
			if got := strings.Join(c.Entrypoint, "|"); got != tt.entrypoint {
				t.Errorf("entrypoint is %q, want %q", got, tt.entrypoint)
			}
			if got := strings.Join(c.Cmd, "|"); got != tt.cmd {
				t.Errorf("cmd is %q, want %q", got, tt.cmd)
			}
		})
	}
}

// Decision 5: what Assemble cannot do is left to an engine, by name and line.
func TestNeedsEngine(t *testing.T) {
	files := map[string]string{"a": "A", "d/x/y": "Y", "lib64/y": "Y"}
	tests := map[string]struct{ text, want string }{
		"RUN":                  {"RUN true", "Containerfile:3: RUN: the instruction is not one of"},
		"several stages":       {"FROM x", "Containerfile:3: FROM: it begins another stage"},
		"COPY --from":          {"COPY --from=x a /a", "Containerfile:3: COPY: flag --from=x"},
		"here-document":        {"COPY <<E /a\nx\nE", "Containerfile:3: COPY: it has a here-document"},
		"after continued line": {"LABEL a=b \\\n  c=d\nADD a /a", "Containerfile:5: ADD: the instruction"},
		"named owner":          {"COPY --chown=root a /a", "Containerfile:3: COPY: --chown=root is not UID:GID"},
		"symbolic mode":        {"COPY --chmod=u+x a /a", "Containerfile:3: COPY: --chmod=u+x is not an octal mode"},
		"the building machine": {"ARG BUILDARCH", "Containerfile:3: ARG: BUILDARCH tells about the machine that builds"},
		"file where a folder":  {"COPY d /etc/passwd", "Containerfile:3: COPY: /etc/passwd is no folder in the image"},
		"folder where a file":  {"COPY a /x/\nCOPY d /x/a/..\nCOPY d/x /x/a", "Containerfile:5: COPY: /x/a is no folder in the image"},
		"folder where a link":  {"COPY . /", "Containerfile:3: COPY: /lib64 is something else in the image"},
		"file where a link":    {"COPY a /etc/../bin/to-a", "Containerfile:3: COPY: /bin/to-a is a link in the image"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			spec := specOf(t, fromBase+"\n"+tt.text, files)
			layered, err := mutate.AppendLayers(spec.Base.Image, entries{link("bin/to-a", "nothing")}.layer(t, types.OCILayer))
			if err != nil {
				t.Fatal(err)
			}
			spec.Base.Image = layered
			_, err = Assemble(context.Background(), spec)
			if !errors.Is(err, ErrNeedsEngine) || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error = %v\nwant %s", err, tt.want)
			}
		})
	}
	t.Run("ignore file", func(t *testing.T) {
		_, err := Assemble(context.Background(), specOf(t, fromBase, map[string]string{".containerignore": "*"}))
		if !errors.Is(err, ErrNeedsEngine) {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("ONBUILD of the base", func(t *testing.T) {
		spec := specOf(t, fromBase, nil)
		spec.Base = baseOf(t, oci, func(c *v1.ConfigFile) { c.Config.OnBuild = []string{"RUN true"} })
		if _, err := Assemble(context.Background(), spec); !errors.Is(err, ErrNeedsEngine) {
			t.Errorf("error = %v", err)
		}
	})
}

// R8.1: a bad Containerfile is refused with its line, and not handed on to an engine.
func TestBadContainerfile(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"no FROM":                {"ARG A", "Containerfile: has no FROM"},
		"empty":                  {"", "Containerfile:"},
		"comments only":          {"# x\n\n", "Containerfile:"},
		"LABEL before FROM":      {"LABEL a=b\n" + fromBase, "Containerfile:1: LABEL: only ARG may stand before FROM"},
		"FROM of nothing":        {"ARG B\nFROM $B", "Containerfile:2: FROM: $B comes out empty"},
		"FROM of something else": {"\n\nFROM other", "Containerfile:3: FROM: the base image is other, but example.com/base:1 was resolved"},
		"FROM with too much":     {"FROM a b", "Containerfile:1: FROM: wants IMAGE"},
		"another platform":       {"FROM --platform=linux/arm64 example.com/base:1", `Containerfile:1: FROM: platform is "linux/arm64"`},
		"LABEL without value":    {fromBase + "LABEL a=b c", "Containerfile:2: "},
		"LABEL of nothing":       {fromBase + "\nLABEL", "Containerfile:3: LABEL: wants NAME=VALUE"},
		"LABEL without name":     {fromBase + "LABEL =x", `Containerfile:2: LABEL: "" is no name`},
		"open quote":             {fromBase + "LABEL a=\"b", "Containerfile:2: LABEL: "},
		"open brace":             {fromBase + "LABEL a=${b", "Containerfile:2: LABEL: "},
		"ARG of nothing":         {fromBase + "ARG", "Containerfile:2: ARG: wants NAME"},
		"ARG without name":       {fromBase + "ARG =x", `Containerfile:2: ARG: "" is no variable name`},
		"USER of nothing":        {fromBase + "USER $NO", "Containerfile:2: USER: its value comes out empty"},
		"CMD of nothing":         {fromBase + "CMD", "Containerfile:2: CMD: wants a command"},
		"flag where none is":     {fromBase + "LABEL --x=y a=b", "Containerfile:2: LABEL: unknown flag --x=y"},
		"COPY of one word":       {fromBase + "COPY a", "Containerfile:2: COPY: wants SOURCE... DESTINATION"},
		"COPY of nothing":        {fromBase + "COPY $NO /x", "Containerfile:2: COPY: $NO comes out empty"},
		"not in the context":     {fromBase + "COPY a /b\nCOPY nofile /x", "Containerfile:3: COPY: nofile is not in the context"},
		"nothing matches":        {fromBase + "COPY *.ko /x/", "Containerfile:2: COPY: *.ko is not in the context"},
		"bad pattern":            {fromBase + "COPY [a /x/", "Containerfile:2: COPY: [a: syntax error in pattern"},
		"outside the context":    {fromBase + "COPY ../a /x", "Containerfile:2: COPY: ../a is outside the context"},
		"several into a file":    {fromBase + "COPY a b /x", "Containerfile:2: COPY: with several sources"},
		"many into a file":       {fromBase + "COPY ? /x", "Containerfile:2: COPY: 2 files match, but /x is no folder"},
		"growing variables":      {fromBase + "ENV A=xxxxxxxxxxxxxxxx\n" + strings.Repeat("ENV A=$A$A$A$A\n", 20), "Containerfile:7: ENV: a value of 16384 bytes"},
		"not text":               {fromBase + "LABEL a=\xff\xfe", "Containerfile: not a text file"},
		"a NUL":                  {fromBase + "LABEL a=\x00", "Containerfile: not a text file"},
		"too large":              {strings.Repeat("#\n", 600<<10), "Containerfile: larger than"},
		"unknown escape":         {"# escape=x\n" + fromBase, "Containerfile"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Assemble(context.Background(), specOf(t, tt.text, map[string]string{"a": "A", "b": "B"}))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("error = %v\nwant %s", err, tt.want)
			}
			if errors.Is(err, ErrNeedsEngine) {
				t.Error("a mistake is handed on to an engine")
			}
		})
	}
}

// R8.1, R9.2: a context can neither read what is outside it nor fill the memory.
// R5.3: KMM's link to the kernel's own modules is the one link that may lead out of the image.
func TestHostLink(t *testing.T) {
	const link = "opt/lib/modules/5.14/host"
	img, err := Assemble(context.Background(), specOf(t, fromBase+"COPY opt/ /opt/", map[string]string{link: "-> /lib/modules/5.14"}))
	if err != nil {
		t.Fatal(err)
	}
	fs, err := readRootfs(context.Background(), img)
	if err != nil {
		t.Fatal(err)
	}
	if n := fs.get(link); n == nil || n.link != "/lib/modules/5.14" {
		t.Errorf("%s is %+v", link, n)
	}
}

func TestHostileContext(t *testing.T) {
	secret := filepath.Join(folder(t, map[string]string{"secret": "SECRET"}), "secret")
	tests := map[string]struct {
		files map[string]string
		text  string
		want  string
	}{
		"absolute link":          {map[string]string{"x": "-> " + secret}, "COPY x /x", "link x leads out of it, to " + secret},
		"in a folder":            {map[string]string{"d/x": "-> " + secret}, "COPY d /x", "link d/x leads out of it"},
		"climbing link":          {map[string]string{"d/x": "-> ../../etc/passwd"}, "COPY d /x", "link d/x leads out of it"},
		"another kernel's host":  {map[string]string{"opt/lib/modules/5.14/host": "-> /lib/modules/6.1"}, "COPY opt/ /opt/", "host leads out of it"},
		"link to a folder above": {map[string]string{"x": "-> .."}, "COPY x/etc /x", "link x leads out of it"},
		"links in a circle":      {map[string]string{"x": "-> y", "y": "-> x"}, "COPY x /x", "too many symbolic links"},
		"link to nothing":        {map[string]string{"x": "-> y"}, "COPY x /x", "x is not in the context"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Assemble(context.Background(), specOf(t, fromBase+tt.text, tt.files))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
			if strings.Contains(tt.want, "leads out") && fault.Of(err) == "" {
				t.Error("no advice")
			}
		})
	}
	t.Run("too large", func(t *testing.T) {
		spec := specOf(t, fromBase+"COPY . /x/", map[string]string{"big": ""})
		if err := os.Truncate(filepath.Join(spec.Context, "big"), maxContext+1); err != nil {
			t.Fatal(err)
		}
		if _, err := Assemble(context.Background(), spec); err == nil || !strings.Contains(err.Error(), "larger than 128 MiB") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("no folder", func(t *testing.T) {
		spec := specOf(t, fromBase, nil)
		spec.Context = filepath.Join(spec.Context, "gone")
		if _, err := Assemble(context.Background(), spec); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error = %v", err)
		}
	})
}

// Decision 5: the same input makes the same bytes, whenever and by whom it is built.
func TestReproducible(t *testing.T) {
	text := fromBase + "LABEL b=1 a=2 c=3\nCOPY . /x/\n"
	digest := func(spec Spec) string {
		t.Helper()
		img, err := Assemble(context.Background(), spec)
		if err != nil {
			t.Fatal(err)
		}
		return mustDigest(t, img)
	}
	one := specOf(t, text, map[string]string{"a": "A", "d/b": "B", "run": "R", "to": "-> d/b"})
	two := specOf(t, text, map[string]string{"run": "R", "d/b": "B", "to": "-> d/b", "a": "A"})
	for name, mode := range map[string]os.FileMode{"a": 0o600, "d": 0o700, "d/b": 0o664} {
		if err := os.Chmod(filepath.Join(two.Context, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(two.Context, "a"), time.Unix(1, 0), time.Unix(2, 0)); err != nil {
		t.Fatal(err)
	}
	two.Created = one.Created.In(time.FixedZone("away", 3600)).Add(time.Millisecond)
	want := digest(one)
	if got := digest(two); got != want {
		t.Errorf("the same files in another folder, with another umask: %s, then %s", want, got)
	}
	if err := os.Chmod(filepath.Join(two.Context, "run"), 0o755); err != nil {
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
			spec := specOf(t, fromBase+"COPY a /a", map[string]string{"a": "A"})
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
	if _, err := Assemble(ctx, specOf(t, fromBase, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}

// Nothing that a Containerfile says may crash, hang, or make an image that is none.
func FuzzAssemble(f *testing.F) {
	for _, text := range []string{
		fromBase + "COPY a /x/\nCOPY --chown=1:2 --chmod=755 d /y", fromBase + "ENV A=1 B=$A\nLABEL ${A:-x}='y' z=\"$B\"",
		"ARG B=example.com/base:1\nFROM $B AS x\nWORKDIR ../w\nUSER 1\nCMD [\"a\"]\nENTRYPOINT b", fromBase + "COPY [\"?\", \"/lib64/\"]",
		"# escape=`\n" + fromBase + "LABEL a=`$b \\\n", fromBase + "COPY <<E /x\ny\nE", fromBase + "LABEL a=${b:?c}${d#e}${f//g/h}",
	} {
		f.Add(text)
	}
	base := busyBoxBase(f)
	files := folder(f, map[string]string{"a": "A", "d/b": "B", "to": "-> d/b"})
	f.Fuzz(func(t *testing.T, text string) {
		img, err := Assemble(context.Background(), Spec{
			Base: base, Containerfile: []byte(text), Context: files, Created: testTime,
			Args: map[string]string{"A": "x"}, Labels: map[string]string{"l": "v"},
		})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "Containerfile") {
				t.Errorf("error does not name the file: %v", err)
			}
			return
		}
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
		labels := maps.Values(mustConfig(t, img).Config.Labels)
		for v := range labels {
			if v == "" || len(v) > maxValue {
				t.Errorf("label of %d bytes", len(v))
			}
		}
	})
}
