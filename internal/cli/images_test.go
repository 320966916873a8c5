package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"html"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/oci/auth"
	"neuron-kmod/internal/oci/registry"
)

// kmodImage is an image without layers that says of itself what a published one does.
func kmodImage(kernel string) (v1.Image, error) {
	img, err := mutate.Config(empty.Image, v1.Config{Labels: map[string]string{image.LabelKernel: kernel}})
	if err != nil {
		return nil, err
	}
	return mutate.CreatedAt(img, v1.Time{Time: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)})
}

// publish DIR DRIVER KERNEL puts an image into a directory.
func publish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: publish DIR DRIVER KERNEL")
	}
	target, err := registry.NewTarget("oci:"+ts.MkAbs(args[0]), registry.NewClient(auth.NewKeychain(), http.DefaultTransport, nil))
	ts.Check(err)
	img, err := kmodImage(args[2])
	ts.Check(err)
	_, err = target.Publish(context.Background(), args[1]+"-"+args[2], img, true)
	ts.Check(err)
}

const imagesKernel = "5.14.0-570.96.1.el9_6.x86_64"

// imagesOf runs images on a registry that holds one of two images.
func imagesOf(t *testing.T, args ...string) (stdout, repository, digest string) {
	t.Helper()
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	repository = strings.TrimPrefix(server.URL, "http://") + "/me/kmod"
	img, err := kmodImage(imagesKernel)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewTag(repository+":2.24.7.0-"+imagesKernel, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	sum, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	dtk := func(n string) string { return "quay.io/x/dtk@sha256:" + strings.Repeat(n, 64) }
	files := map[string]string{
		"m.json": `[{"driver": "2.24.7.0", "ocp_versions": ["4.20"]}]`,
		"c.json": `[{"arch": "x86_64", "dtk": "` + dtk("1") + `", "version": "4.20.1", "kernel": "` + imagesKernel + `"},
			{"arch": "x86_64", "dtk": "` + dtk("2") + `", "version": "4.20.2", "kernel": "5.14.0-570.99.1.el9_6.x86_64"}]`,
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	environment := map[string]string{"HOME": dir, "SOURCE_DATE_EPOCH": "1795512600"}
	var out, errs bytes.Buffer
	code := Main(t.Context(), Streams{
		Args:   append([]string{"images", "--target", repository, "--matrix", filepath.Join(dir, "m.json"), "--catalog", filepath.Join(dir, "c.json")}, args...),
		Stdout: &out, Stderr: &errs, Getenv: func(name string) string { return environment[name] },
	})
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	return out.String(), repository, sum.String()
}

// What is in a registry has a name by its digest, which a cluster pulls as it is.
func TestImagesPull(t *testing.T) {
	text, repository, digest := imagesOf(t, "-o", "csv")
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := repository + "@" + digest; len(lines) != 3 || lines[1][9] != want || lines[2][9] != "" {
		t.Errorf("%q, want the image %s and a missing one", lines, want)
	}
}

var pageData = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)

// The page holds the images and both manifests, was made when SOURCE_DATE_EPOCH says, and names nothing of this machine.
func TestImagesPage(t *testing.T) {
	text, repository, digest := imagesOf(t, "-o", "html")
	m := pageData.FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the page has no data")
	}
	var data struct {
		Images []struct {
			State, Pull          string
			DeviceConfig, Module int
		}
		Texts []string
	}
	if err := json.Unmarshal([]byte(m[1]), &data); err != nil {
		t.Fatal(err)
	}
	if len(data.Images) != 2 || data.Images[0].Pull != repository+"@"+digest || data.Images[1].State != "missing" {
		t.Fatalf("images %+v", data.Images)
	}
	for what, want := range map[string]string{
		data.Texts[data.Images[0].DeviceConfig]: `driversImage: "` + repository + `:2.24.7.0"`,
		data.Texts[data.Images[0].Module]:       `containerImage: "` + repository + `:2.24.7.0-$KERNEL_VERSION"`,
	} {
		if !strings.Contains(what, want) {
			t.Errorf("no %s in\n%s", want, what)
		}
	}
	plain := html.UnescapeString(text)
	if !strings.Contains(plain, `datetime="2026-11-24T09:30:00Z"`) {
		t.Error("the page is not of the time that SOURCE_DATE_EPOCH says")
	}
	if strings.Contains(plain, os.TempDir()) {
		t.Error("the page names a directory of this machine")
	}
}
