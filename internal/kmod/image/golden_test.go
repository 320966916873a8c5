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

// Decision 5: not a byte of an image changes unnoticed. The digest stands for
// all of them; the other files are there to see what changed. Run with -update
// where a change is meant.
func TestGolden(t *testing.T) {
	bases := map[string]Base{
		"oci":    baseOf(t, oci, nil, entries{dir("bin"), file("bin/sh", "x"), dir("opt")}),
		"docker": baseOf(t, docker, nil, entries{dir("bin"), file("bin/sh", "x")}),
	}
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			in := testLabels(t, base, "1.36.1")
			in.Base.Digest = "sha256:0123"
			modules := "opt/lib/modules/" + in.Kernel.String()
			spec := kmodSpec(t, base, in)
			spec.Context = folder(t, map[string]string{
				"licenses/GPL-2.0.txt": "GPL", "licenses/NOTICE": "notice",
				modules + "/neuron.ko": strings.Repeat("ELF", 10), modules + "/modules.dep": "neuron.ko:\n",
				modules + "/host": "-> /lib/modules/" + in.Kernel.String(), "opt/empty/": "", "not-copied": "",
			})
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
