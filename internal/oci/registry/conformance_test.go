package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/oci/auth"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/platform/transport"
)

const testTag = "2.24.7.0-5.14.0-570.96.1.el9_6.x86_64"

// newTestClient returns a client that waits for nothing longer than a few milliseconds.
func newTestClient(t testing.TB, kc *auth.Keychain) *Client {
	t.Helper()
	rt, err := transport.New(transport.Options{MinWait: time.Millisecond, MaxWait: 5 * time.Millisecond, Retries: 3})
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(kc, rt, nil)
	c.restart = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	c.resume = append(c.restart, time.Millisecond)
	c.readBack = []time.Duration{0, time.Millisecond, time.Millisecond}
	return c
}

// basicKeys is a keychain with one account for every registry. Its password is "secret".
func basicKeys(user string) *auth.Keychain {
	return auth.NewKeychain(anywhere{&authn.Basic{Username: user, Password: "secret"}})
}

type anywhere struct{ auth authn.Authenticator }

func (anywhere) Name() string { return "the test" }

func (a anywhere) Find(context.Context, authn.Resource) (authn.Authenticator, error) {
	return a.auth, nil
}

func newTestTarget(t testing.TB, s string, kc *auth.Keychain) Target {
	t.Helper()
	target, err := NewTarget(s, newTestClient(t, kc))
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// randomImage returns an image of two layers in OCI's format.
func randomImage(t testing.TB) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for range 2 {
		layer, err := random.Layer(64<<10, types.OCILayer)
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

// targets are the kinds of targets. Each call of a function makes a new empty place and returns a function that
// makes targets for it, each as if in a process of its own.
var targets = map[string]func(t *testing.T) func() Target{
	"layout": func(t *testing.T) func() Target {
		dir := filepath.Join(t.TempDir(), "images", "deep")
		return func() Target { return newTestTarget(t, "oci:"+dir, nil) }
	},
	"open registry": func(t *testing.T) func() Target {
		s := registrytest.New(t)
		return func() Target { return newTestTarget(t, s.Host+"/me/kmod", nil) }
	},
	"registry with basic auth": func(t *testing.T) func() Target {
		s := registrytest.New(t, registrytest.BasicAuth("me", "secret"))
		return func() Target { return newTestTarget(t, s.Host+"/me/kmod", basicKeys("me")) }
	},
	"registry with tokens": func(t *testing.T) func() Target {
		s := registrytest.New(t, registrytest.TokenAuth("me", "secret", true, 0))
		return func() Target { return newTestTarget(t, s.Host+"/me/kmod", basicKeys("me")) }
	},
	"registry with short-lived tokens": func(t *testing.T) func() Target {
		s := registrytest.New(t, registrytest.TokenAuth("me", "secret", true, 5))
		return func() Target { return newTestTarget(t, s.Host+"/me/kmod", basicKeys("me")) }
	},
	"registry with short-lived tokens without a challenge": func(t *testing.T) func() Target {
		s := registrytest.New(t, registrytest.TokenAuth("me", "secret", true, 5), registrytest.NoChallenge())
		return func() Target { return newTestTarget(t, s.Host+"/me/kmod", basicKeys("me")) }
	},
	"registry with pages": func(t *testing.T) func() Target {
		s := registrytest.New(t, registrytest.Paged(2))
		return func() Target { return newTestTarget(t, s.Host+"/me/kmod", nil) }
	},
}

// R6.1, R6.2, R4.3: every kind of target behaves the same way.
func TestTargetConformance(t *testing.T) {
	suite := map[string]func(t *testing.T, open func() Target){
		"absent":          testAbsent,
		"may push":        testMayPush,
		"publish":         testPublish,
		"existing tag":    testExistingTag,
		"overwrite":       testOverwrite,
		"many tags":       testManyTags,
		"same image":      testSameImage,
		"bad tag":         testBadTag,
		"cancelled":       testCancelled,
		"runs at once":    testRunsAtOnce,
		"race for a tag":  testRaceForTag,
		"unreadable part": testUnreadableLayer,
	}
	for kind, place := range targets {
		for name, test := range suite {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, place(t))
			})
		}
	}
}

func testAbsent(t *testing.T, open func() Target) {
	target := open()
	wantTags(t, target)
	if have, ok, err := target.Stat(t.Context(), testTag); ok || err != nil {
		t.Errorf("Stat = %v, %v, %v; want nothing", have, ok, err)
	}
	if _, err := target.Image(t.Context(), testTag); !Is404(err) {
		t.Errorf("Image: error %v, want one that is a 404", err)
	}
}

// Asking whether one may push changes nothing, before the first image and after it.
func testMayPush(t *testing.T, open func() Target) {
	for range 2 {
		if err := open().CheckPush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	wantTags(t, open())
	img := publish(t, open(), testTag, false)
	if err := open().CheckPush(t.Context()); err != nil {
		t.Error(err)
	}
	wantTags(t, open(), testTag)
	wantPublished(t, open(), testTag, img)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := open().CheckPush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v, want %v", err, context.Canceled)
	}
}

func testPublish(t *testing.T, open func() Target) {
	img := randomImage(t)
	want, err := describeImage(img)
	if err != nil {
		t.Fatal(err)
	}
	got, err := open().Publish(t.Context(), testTag, img, false)
	if err != nil || got != want {
		t.Fatalf("Publish = %v, %v; want %v", got, err, want)
	}
	wantPublished(t, open(), testTag, img)
	wantTags(t, open(), testTag)
}

func testExistingTag(t *testing.T, open func() Target) {
	first := publish(t, open(), testTag, false)
	want, err := describeImage(first)
	if err != nil {
		t.Fatal(err)
	}
	got, err := open().Publish(t.Context(), testTag, randomImage(t), false)
	if !errors.Is(err, ErrExists) || got != want {
		t.Errorf("Publish = %v, %v; want %v, %v", got, err, want, ErrExists)
	}
	wantPublished(t, open(), testTag, first)
}

func testOverwrite(t *testing.T, open func() Target) {
	publish(t, open(), testTag, false)
	other := publish(t, open(), "other", false)
	second := publish(t, open(), testTag, true)
	wantPublished(t, open(), testTag, second)
	wantPublished(t, open(), "other", other)
	wantTags(t, open(), testTag, "other")
}

func testManyTags(t *testing.T, open func() Target) {
	img := randomImage(t)
	var want []string
	for i := range 7 {
		tag := fmt.Sprintf("tag-%d", i)
		if _, err := open().Publish(t.Context(), tag, img, false); err != nil {
			t.Fatal(err)
		}
		want = append(want, tag)
	}
	wantTags(t, open(), want...)
}

// The same image again is no error with overwrite and ErrExists without.
func testSameImage(t *testing.T, open func() Target) {
	img := publish(t, open(), testTag, false)
	if _, err := open().Publish(t.Context(), testTag, img, true); err != nil {
		t.Errorf("Publish with overwrite: %v", err)
	}
	if _, err := open().Publish(t.Context(), testTag, img, false); !errors.Is(err, ErrExists) {
		t.Errorf("Publish without overwrite: error %v, want %v", err, ErrExists)
	}
	wantPublished(t, open(), testTag, img)
}

func testBadTag(t *testing.T, open func() Target) {
	for _, tag := range []string{"", "a+b", "../x", ".x", "a/b", "a:b", strings.Repeat("x", 129)} {
		if _, err := open().Publish(t.Context(), tag, randomImage(t), true); err == nil {
			t.Errorf("Publish under %q: no error", tag)
		}
		if _, _, err := open().Stat(t.Context(), tag); err == nil {
			t.Errorf("Stat of %q: no error", tag)
		}
	}
	wantTags(t, open())
}

func testCancelled(t *testing.T, open func() Target) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open().Publish(ctx, testTag, randomImage(t), false); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish: error %v, want %v", err, context.Canceled)
	}
	wantTags(t, open())
}

// Two runs publish at once: nothing is lost.
func testRunsAtOnce(t *testing.T, open func() Target) {
	var want []string
	images := map[string]v1.Image{}
	for i := range 8 {
		tag := fmt.Sprintf("tag-%d", i)
		want = append(want, tag)
		images[tag] = randomImage(t)
	}
	var runs errgroup.Group
	for range 2 {
		target := open()
		runs.Go(func() error {
			for tag, img := range images {
				if _, err := target.Publish(t.Context(), tag, img, false); err != nil && !errors.Is(err, ErrExists) {
					return err
				}
			}
			return nil
		})
	}
	if err := runs.Wait(); err != nil {
		t.Fatal(err)
	}
	wantTags(t, open(), want...)
	for tag, img := range images {
		wantPublished(t, open(), tag, img)
	}
}

// Two runs publish different images under one tag at once: one of the two is there, whole, and a run that was told of
// success has published it or was overtaken.
func testRaceForTag(t *testing.T, open func() Target) {
	images := []v1.Image{randomImage(t), randomImage(t)}
	var runs errgroup.Group
	for _, img := range images {
		target := open()
		runs.Go(func() error {
			_, err := target.Publish(t.Context(), testTag, img, false)
			if isMismatch(err) || errors.Is(err, ErrExists) {
				return nil
			}
			return err
		})
	}
	if err := runs.Wait(); err != nil {
		t.Fatal(err)
	}
	have, ok, err := open().Stat(t.Context(), testTag)
	if err != nil || !ok {
		t.Fatalf("Stat = %v, %v, %v", have, ok, err)
	}
	at := slices.IndexFunc(images, func(img v1.Image) bool { d, _ := describeImage(img); return d == have })
	if at < 0 {
		t.Fatalf("tag leads to %v, which nobody published", have)
	}
	wantPublished(t, open(), testTag, images[at])
}

// badImage is an image of which one layer cannot be read to its end.
type badImage struct{ v1.Image }

type badLayer struct{ v1.Layer }

var errDisk = errors.New("the disk is gone")

func (b badImage) Layers() ([]v1.Layer, error) {
	layers, err := b.Image.Layers()
	if err != nil {
		return nil, err
	}
	return []v1.Layer{layers[0], badLayer{layers[1]}}, nil
}

func (b badLayer) Compressed() (io.ReadCloser, error) {
	content, err := b.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(content, 1000), brokenReader{})), nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errDisk }

// An image that cannot be read completely is not published.
func testUnreadableLayer(t *testing.T, open func() Target) {
	img := randomImage(t)
	if _, err := open().Publish(t.Context(), testTag, badImage{img}, false); !errors.Is(err, errDisk) {
		t.Errorf("Publish: error %v, want %v", err, errDisk)
	}
	wantTags(t, open())
	if _, err := open().Publish(t.Context(), testTag, img, false); err != nil {
		t.Errorf("Publish afterwards: %v", err)
	}
	wantPublished(t, open(), testTag, img)
}

// publish puts a new image under tag.
func publish(t *testing.T, target Target, tag string, overwrite bool) v1.Image {
	t.Helper()
	img := randomImage(t)
	if _, err := target.Publish(t.Context(), tag, img, overwrite); err != nil {
		t.Fatal(err)
	}
	return img
}

func wantTags(t *testing.T, target Target, want ...string) {
	t.Helper()
	tags, err := target.Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(tags))); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

// wantPublished reads all that is under tag and compares it.
func wantPublished(t *testing.T, target Target, tag string, img v1.Image) {
	t.Helper()
	want, err := describeImage(img)
	if err != nil {
		t.Fatal(err)
	}
	have, ok, err := target.Stat(t.Context(), tag)
	if err != nil || !ok || have != want {
		t.Errorf("Stat = %v, %v, %v; want %v", have, ok, err, want)
		return
	}
	got, err := target.Image(t.Context(), tag)
	if err != nil {
		t.Errorf("Image: %v", err)
		return
	}
	if err := validate.Image(got); err != nil {
		t.Errorf("image under %s is not whole: %v", tag, err)
	}
}
