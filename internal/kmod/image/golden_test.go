package image

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is made as the golden files")

// goldenContainerfile uses every instruction that Assemble knows.
const goldenContainerfile = `ARG BASE=example.com/base
ARG TAG
FROM ${BASE}:${TAG} AS kmod
ARG V
ENV A=1 B="$V"
LABEL version="${V}" none="${NONE}"
USER 0:0
WORKDIR /opt/tool
COPY licenses/ /licenses/
COPY --chmod=0700 --chown=1:2 opt/ /opt/
COPY *.txt ./
ENTRYPOINT ["/bin/sh"]
CMD ["-c", "true"]
`

// Decision 5: not a byte of an image changes unnoticed. The digest stands for
// all of them; the other files are there to see what changed. Run with -update
// where a change is meant.
func TestGolden(t *testing.T) {
	for name, fam := range map[string]family{"oci": oci, "docker": docker} {
		t.Run(name, func(t *testing.T) {
			spec := specOf(t, goldenContainerfile, map[string]string{
				"licenses/GPL": "GPL", "opt/lib/neuron.ko": strings.Repeat("ELF", 10), "opt/empty/": "", "opt/lib/link": "-> neuron.ko",
				"a.txt": "A", "b.txt": "B", "not-copied": "",
			})
			spec.Base = baseOf(t, fam, nil, entries{dir("bin"), file("bin/sh", "x")})
			spec.Args = map[string]string{"V": "2.24.7.0", "TAG": "1"}
			spec.Labels = map[string]string{"more": "x"}
			img, err := Assemble(context.Background(), spec)
			if err != nil {
				t.Fatal(err)
			}
			manifest, err := img.RawManifest()
			if err != nil {
				t.Fatal(err)
			}
			config, err := img.RawConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			compare(t, name, "files.txt", strings.Join(contents(t, img, spec.Base), "\n"))
			compare(t, name, "config.json", indent(t, config))
			compare(t, name, "manifest.json", indent(t, manifest))
			compare(t, name, "digest", mustDigest(t, img))
		})
	}
}

func indent(t *testing.T, raw []byte) string {
	t.Helper()
	var buf bytes.Buffer
	if err := json.Indent(&buf, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func compare(t *testing.T, dir, name, got string) {
	t.Helper()
	got += "\n"
	p := filepath.Join("testdata", "golden", dir, name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-update if it is meant):\n%s", p, diff)
	}
}
