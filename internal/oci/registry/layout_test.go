package registry

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/sys/unix"

	"neuron-kmod/internal/platform/fault"
)

// tree returns the files below dir, of blobs only how many there are.
func tree(t *testing.T, dir string) (files []string, blobs int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if filepath.Dir(name) == filepath.Join("blobs", "sha256") && len(d.Name()) == 64 {
			blobs++
			return err
		}
		files = append(files, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, blobs
}

// R6.3: a layout holds what its tags lead to, and nothing else.
func TestLayoutFiles(t *testing.T) {
	dir := t.TempDir()
	target := newTestTarget(t, "oci:"+dir, nil)
	shared := publish(t, target, "a", false)
	if _, err := target.Publish(t.Context(), "b", shared, false); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		tag   string
		blobs int // of one image: two layers, a configuration and a manifest
	}{
		{"a", 8}, // "b" still has the first image
		{"b", 8},
		{"b", 8},
		{"c", 12},
	}
	for i, step := range steps {
		publish(t, target, step.tag, true)
		files, blobs := tree(t, dir)
		if diff := cmp.Diff([]string{"index.json", "oci-layout"}, files); diff != "" || blobs != step.blobs {
			t.Errorf("step %d: %d blobs, want %d; files (-want +got):\n%s", i, blobs, step.blobs, diff)
		}
	}
	wantTags(t, target, "a", "b", "c")
}

// Everybody may read a layout, as far as the umask lets them.
func TestLayoutModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	publish(t, newTestTarget(t, "oci:"+dir, nil), "a", false)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o444 != 0o444 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Images of other tools in the same layout stay as they are.
func TestLayoutOfOthers(t *testing.T) {
	dir := t.TempDir()
	index, err := random.Index(1000, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	theirs := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: randomImage(t)}, // without a name
		mutate.IndexAddendum{Add: index, Descriptor: v1.Descriptor{
			Annotations: map[string]string{refName: "multi", "their": "note"},
		}})
	if _, err := layout.Write(dir, theirs); err != nil {
		t.Fatal(err)
	}
	_, before := tree(t, dir)
	target := newTestTarget(t, "oci:"+dir, nil)
	publish(t, target, "a", false)
	publish(t, target, "a", true)
	if _, after := tree(t, dir); after != before+4 {
		t.Errorf("%d blobs, want %d", after, before+4)
	}
	wantTags(t, target, "a", "multi")
	got, err := target.(*layoutTarget).layout.readIndex()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Manifests) != 3 || got.Manifests[1].Annotations["their"] != "note" {
		t.Errorf("index %v", got.Manifests)
	}
	if have, ok, err := target.Stat(t.Context(), "multi"); !ok || err != nil || have.Size == 0 {
		t.Errorf("Stat = %v, %v, %v", have, ok, err)
	}
	if _, err := target.Image(t.Context(), "multi"); err == nil || !strings.Contains(err.Error(), "linux/amd64") {
		t.Errorf("an index without platforms: error %v", err)
	}
}

// Blobs that another tool has written before its index, and entries whose manifests are elsewhere or of another kind,
// stay and are in nobody's way.
func TestLayoutKeepsOthersBlobs(t *testing.T) {
	dir := t.TempDir()
	target := newTestTarget(t, "oci:"+dir, nil).(*layoutTarget)
	publish(t, target, "a", false)
	index, err := target.layout.readIndex()
	if err != nil {
		t.Fatal(err)
	}
	sparse, early := strings.Repeat("1", 64), strings.Repeat("2", 64)
	index.Manifests = append(index.Manifests,
		v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: v1.Hash{Algorithm: "sha256", Hex: sparse}, Size: 1},
		v1.Descriptor{MediaType: "application/json", Digest: v1.Hash{Algorithm: "sha256", Hex: sparse}, Size: 1})
	if err := target.layout.writeJSON(indexFile, index); err != nil {
		t.Fatal(err)
	}
	file := target.layout.blobPath(v1.Hash{Algorithm: "sha256", Hex: early})
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	publish(t, target, "a", true)
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the blob of another tool: %v", err)
	}
	if _, blobs := tree(t, dir); blobs != 4+1 {
		t.Errorf("%d blobs, want 5", blobs)
	}
	if index, err = target.layout.readIndex(); err != nil || len(index.Manifests) != 3 {
		t.Errorf("index %v, %v; want 3 entries", index, err)
	}
}

// An image in Docker's format, as one on such a base is, becomes one that OCI tools find in a layout.
func TestLayoutOfDockerImage(t *testing.T) {
	docker, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	target := newTestTarget(t, "oci:"+t.TempDir(), nil)
	have, err := target.Publish(t.Context(), "a", docker, false)
	if err != nil {
		t.Fatal(err)
	}
	img, err := target.Image(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	got := []types.MediaType{m.MediaType, m.Config.MediaType, m.Layers[0].MediaType, m.Layers[1].MediaType}
	want := []types.MediaType{types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer, types.OCILayer}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("media types (-want +got):\n%s", diff)
	}
	if digest, err := img.Digest(); err != nil || digest.String() != have.Digest {
		t.Errorf("digest %v, %v; want %s", digest, err, have.Digest)
	}
	before, err := docker.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if m.Config.Digest != before {
		t.Errorf("configuration %s, want %s", m.Config.Digest, before)
	}
}

// R8.2, decision 7: what a killed run left is removed by the next.
func TestLayoutAfterKill(t *testing.T) {
	dir := t.TempDir()
	target := newTestTarget(t, "oci:"+dir, nil).(*layoutTarget)
	kept := publish(t, target, "a", false)
	// As if killed after the last blob, in the middle of index.json:
	lost := randomImage(t)
	blobs, err := partsOf(lost)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := partsOf(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.layout.writeJournal(append(blobs, shared...)); err != nil {
		t.Fatal(err)
	}
	if _, err := target.layout.writeImage(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".index.json123", "blobs/sha256/." + blobs[0].Hex + "99"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantTags(t, target, "a") // readers do not mind
	publish(t, target, "b", false)
	files, n := tree(t, dir)
	if diff := cmp.Diff([]string{"index.json", "oci-layout"}, files); diff != "" || n != 8 {
		t.Errorf("%d blobs, want 8; files (-want +got):\n%s", n, diff)
	}
	wantPublished(t, target, "a", kept)
}

// A blob that is damaged on disk is written anew.
func TestLayoutMendsBlobs(t *testing.T) {
	dir := t.TempDir()
	target := newTestTarget(t, "oci:"+dir, nil).(*layoutTarget)
	img := publish(t, target, "a", false)
	blobs, err := partsOf(img)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range blobs {
		if err := os.WriteFile(target.layout.blobPath(h), []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := target.Stat(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("Stat: error %v", err)
	}
	if _, err := target.Publish(t.Context(), "a", img, true); err != nil {
		t.Fatal(err)
	}
	wantPublished(t, target, "a", img)
}

// R8.1: a directory that cannot be a layout is refused, and stays as it is.
func TestLayoutRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	strange := t.TempDir()
	broken := t.TempDir()
	for path, text := range map[string]string{
		file: "", filepath.Join(strange, "thesis.tex"): "", filepath.Join(broken, indexFile): `{"manifests": [`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for dir, want := range map[string]string{
		file: "not a directory", file + "/x": "not a directory", strange: "thesis.tex", broken: "parse",
	} {
		target := newTestTarget(t, "oci:"+dir, nil)
		for _, overwrite := range []bool{false, true} {
			if _, err := target.Publish(t.Context(), "a", randomImage(t), overwrite); err == nil ||
				!strings.Contains(err.Error(), want) {
				t.Errorf("%s: Publish: error %v, want one with %q", dir, err, want)
			}
		}
		if _, err := target.Tags(t.Context()); err == nil {
			t.Errorf("%s: Tags: no error", dir)
		}
	}
	if files, _ := tree(t, strange); len(files) != 1 {
		t.Errorf("files %q", files)
	}
}

// R8.1: a layout that cannot be written can be read, and the error says what to do.
func TestLayoutReadOnly(t *testing.T) {
	dir := t.TempDir()
	open := newTestTarget(t, "oci:"+dir, nil)
	img := publish(t, open, "a", false)
	openFor(t, dir)
	asNobody(t, func() {
		_, err := open.Publish(t.Context(), "b", randomImage(t), false)
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(fault.Of(err), "cannot be written") {
			t.Errorf("Publish: error %v, advice %q", err, fault.Of(err))
		}
		if _, err := open.Publish(t.Context(), "a", img, false); !errors.Is(err, ErrExists) {
			t.Errorf("Publish of what exists: error %v, want %v", err, ErrExists)
		}
		wantTags(t, open, "a")
	})
}

// openFor lets everybody look into the directories above dir that the test has made.
func openFor(t *testing.T, dir string) {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o555); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
			_ = os.Chmod(d, 0o755)
		}
	})
}

// asNobody runs do with the rights of a stranger where the test runs as root, whom no mode stops. The rights are those
// of one thread: https://man7.org/linux/man-pages/man2/setfsuid.2.html
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := unix.SetfsuidRetUid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := unix.SetfsuidRetUid(0); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

// Two processes publish to one layout at once.
func TestLayoutProcesses(t *testing.T) {
	const variable = "REGISTRY_TEST_LAYOUT"
	if dir := os.Getenv(variable); dir != "" {
		target := newTestTarget(t, "oci:"+dir, nil)
		for _, tag := range strings.Split(os.Getenv(variable+"_TAGS"), ",") {
			if _, err := target.Publish(t.Context(), tag, randomImage(t), true); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	dir := t.TempDir()
	tags := [][]string{{"a", "b", "both", "c", "both"}, {"d", "both", "e", "f", "both"}}
	var children []*exec.Cmd
	for _, mine := range tags {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLayoutProcesses$")
		c.Env = append(os.Environ(), variable+"="+dir, variable+"_TAGS="+strings.Join(mine, ","))
		c.Stdout, c.Stderr = os.Stderr, os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, c)
	}
	for _, c := range children {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	wantTags(t, newTestTarget(t, "oci:"+dir, nil), "a", "b", "both", "c", "d", "e", "f")
	files, blobs := tree(t, dir)
	slices.Sort(files)
	if diff := cmp.Diff([]string{"index.json", "oci-layout"}, files); diff != "" || blobs != 7*4 {
		t.Errorf("%d blobs, want %d; files (-want +got):\n%s", blobs, 7*4, diff)
	}
}
