package registry

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"neuron-kmod/internal/oci/auth"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/platform/transport"
)

// R6.2: pushes get through a registry that is busy, in trouble or hangs up.
func TestPublishDespiteFaults(t *testing.T) {
	faults := map[string]registrytest.Fault{
		"429 for the ping":       {Path: "/v2/", Status: http.StatusTooManyRequests, RetryAfter: "0", Times: 1},
		"429 for an upload":      {Method: http.MethodPost, Status: http.StatusTooManyRequests, RetryAfter: "0", Times: 2},
		"500 for an upload":      {Method: http.MethodPost, Status: http.StatusInternalServerError, Times: 1},
		"500 for a layer":        {Method: http.MethodPatch, Status: http.StatusInternalServerError, Times: 2},
		"reset in a layer":       {Method: http.MethodPatch, After: 20_000, Times: 2},
		"reset at a layer's end": {Method: http.MethodPut, Path: "/blobs/", Times: 2},
		"502 at a layer's end":   {Method: http.MethodPut, Path: "/blobs/", Status: http.StatusBadGateway, Times: 2},
		"500 for the manifest": {Method: http.MethodPut, Path: "/manifests/sha256",
			Status: http.StatusInternalServerError, Times: 2},
		"reset at the manifest": {Method: http.MethodPut, Path: "/manifests/sha256", Times: 2},
		"503 for the tag": {Method: http.MethodPut, Path: "/manifests/" + testTag,
			Status: http.StatusServiceUnavailable, Times: 2},
		"reset at the tag": {Method: http.MethodPut, Path: "/manifests/" + testTag, Times: 2},
		"500 for the read-back": {Method: http.MethodHead, Path: "/manifests/" + testTag,
			Status: http.StatusInternalServerError, Times: 2},
		"tag that shows up late": {Method: http.MethodHead, Path: "/manifests/" + testTag, Status: http.StatusNotFound,
			Times: 2},
		"500 while looking for it": {Method: http.MethodGet, Path: "/manifests/" + testTag,
			Status: http.StatusInternalServerError, Times: 2},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Break(fault)
			img := randomImage(t)
			target := newTestTarget(t, s.Host+"/me/kmod", nil)
			if _, err := target.Publish(t.Context(), testTag, img, false); err != nil {
				t.Fatal(err)
			}
			s.Mend()
			wantPublished(t, target, testTag, img)
		})
	}
}

// R6.2, R8.1: trouble that does not end is an error that says what to do, and no tag.
func TestPublishGivesUp(t *testing.T) {
	tests := map[string]struct {
		opts   []registrytest.Option
		fault  registrytest.Fault
		status int
		advice string
	}{
		"busy for an hour": {fault: registrytest.Fault{Method: http.MethodPost, Status: http.StatusTooManyRequests,
			RetryAfter: "3600"}, status: 429, advice: "limits how often"},
		"in trouble": {fault: registrytest.Fault{Method: http.MethodPatch, Status: http.StatusInternalServerError},
			status: 500, advice: "run again later"},
		"hangs up": {fault: registrytest.Fault{Method: http.MethodPatch, After: 1000}},
		"read-only": {opts: []registrytest.Option{registrytest.ReadOnly()}, status: 405,
			advice: "choose another target"},
		"may not push": {fault: registrytest.Fault{Method: http.MethodPost, Status: http.StatusForbidden}, status: 403,
			advice: "may not push"},
		"no account": {opts: []registrytest.Option{registrytest.BasicAuth("me", "secret")}, status: 401,
			advice: "refuses the credentials from the test"},
		"token for readers": {opts: []registrytest.Option{registrytest.TokenAuth("reader", "secret", false, 0)},
			status: 401, advice: "refuses the credentials from the test"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, tt.opts...)
			if tt.fault != (registrytest.Fault{}) {
				s.Break(tt.fault)
			}
			target := newTestTarget(t, s.Host+"/me/kmod", basicKeys("reader"))
			_, err := target.Publish(t.Context(), testTag, randomImage(t), false)
			if err == nil || status(err) != tt.status || !strings.Contains(fault.Of(err), tt.advice) {
				t.Errorf("error %v (status %d, advice %q), want status %d and %q",
					err, status(err), fault.Of(err), tt.status, tt.advice)
			}
			if got := s.Requests("PUT", "/manifests/"+testTag); len(got) != 0 {
				t.Errorf("the tag was written: %q", got)
			}
		})
	}
}

// R6.2: an upload that broke is not sent twice where it has arrived.
func TestPublishSendsOnce(t *testing.T) {
	s := registrytest.New(t)
	s.Break(registrytest.Fault{
		Method: http.MethodPut, Path: "/manifests/sha256", Status: http.StatusInternalServerError, Times: 5,
	})
	img, err := random.Image(1<<20, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newTestTarget(t, s.Host+"/me/kmod", nil).Publish(t.Context(), testTag, img, false); err != nil {
		t.Fatal(err)
	}
	if got := s.Received(); got > 2<<20+64<<10 {
		t.Errorf("the registry got %d bytes for two layers of 1 MiB", got)
	}
}

// Decision 6 of the design: without overwrite not even a blob is sent for a tag that exists.
func TestExistingTagCostsNothing(t *testing.T) {
	s := registrytest.New(t)
	target := newTestTarget(t, s.Host+"/me/kmod", nil)
	publish(t, target, testTag, false)
	s.Forget()
	if _, err := target.Publish(t.Context(), testTag, randomImage(t), false); !errors.Is(err, ErrExists) {
		t.Errorf("error %v, want %v", err, ErrExists)
	}
	for _, r := range s.Requests() {
		if !strings.HasPrefix(r, "GET ") && !strings.HasPrefix(r, "HEAD ") {
			t.Errorf("request %s", r)
		}
	}
}

// Decision 6: a tag that appears while blobs are sent is not overwritten.
func TestTagThatAppears(t *testing.T) {
	s := registrytest.New(t)
	other := randomImage(t)
	img := duringLayers{randomImage(t), func() {
		_, err := newTestTarget(t, s.Host+"/me/kmod", nil).Publish(t.Context(), testTag, other, false)
		if err != nil && !errors.Is(err, ErrExists) {
			t.Error(err)
		}
	}}
	target := newTestTarget(t, s.Host+"/me/kmod", nil)
	want, err := describeImage(other)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := target.Publish(t.Context(), testTag, img, false); !errors.Is(err, ErrExists) || got != want {
		t.Errorf("Publish = %v, %v; want %v, %v", got, err, want, ErrExists)
	}
	wantPublished(t, target, testTag, other)
}

// duringLayers does something whenever its layers are asked for.
type duringLayers struct {
	v1.Image
	do func()
}

func (d duringLayers) Layers() ([]v1.Layer, error) { d.do(); return d.Image.Layers() }

// R6.2: a tag that does not lead to what was pushed is an error.
func TestReadBack(t *testing.T) {
	img, other := randomImage(t), randomImage(t)
	s := registrytest.New(t)
	target := newTestTarget(t, s.Host+"/me/kmod", nil).(*remoteTarget)
	if _, err := target.Publish(t.Context(), testTag, other, false); err != nil {
		t.Fatal(err)
	}
	want, err := describeImage(img)
	if err != nil {
		t.Fatal(err)
	}
	have, err := describeImage(other)
	if err != nil {
		t.Fatal(err)
	}
	s.Break(registrytest.Fault{Method: http.MethodHead, Path: "/manifests/lost", Status: http.StatusNotFound})
	if _, err := target.Publish(t.Context(), "lost", img, false); !isMismatch(err) {
		t.Errorf("Publish under a tag that gets lost: error %v", err)
	}
	for tag, got := range map[string]string{testTag: have.Digest, "absent": ""} {
		err := target.verifyTag(t.Context(), tag, want)
		m, ok := errors.AsType[*MismatchError](err)
		if !ok || *m != (MismatchError{Tag: tag, Want: want.Digest, Got: got}) || fault.Of(err) == "" {
			t.Errorf("verify of %s: %v", tag, err)
		}
	}
}

func isMismatch(err error) bool {
	_, ok := errors.AsType[*MismatchError](err)
	return ok
}

// R9.1: knowing what is published takes at most three requests, however many tags there are.
func TestTagsRequests(t *testing.T) {
	tests := map[string]struct {
		opts []registrytest.Option
		want []string
	}{
		"open": {nil, []string{"GET /v2/", "GET /v2/me/kmod/tags/list?n=1000"}},
		"basic": {[]registrytest.Option{registrytest.BasicAuth("me", "secret")},
			[]string{"GET /v2/", "GET /v2/me/kmod/tags/list?n=1000"}},
		"tokens": {[]registrytest.Option{registrytest.TokenAuth("me", "secret", false, 0)},
			[]string{"GET /v2/", "GET /token?scope=repository%3Ame%2Fkmod%3Apull&service=test",
				"GET /v2/me/kmod/tags/list?n=1000"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t, tt.opts...)
			target := newTestTarget(t, s.Host+"/me/kmod", basicKeys("me"))
			if _, err := target.Tags(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.Requests(); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("requests %q, want %q", got, tt.want)
			}
			s.Forget()
			if _, err := target.Tags(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.Requests(); len(got) != 1 {
				t.Errorf("the second time: requests %q, want one", got)
			}
		})
	}
}

// A private registry on this machine, with TLS and pages: go-containerregistry's own listing stops at its second page.
func TestTagsOverTLS(t *testing.T) {
	s := registrytest.New(t, registrytest.TLS(), registrytest.Paged(2))
	if _, err := newTestTarget(t, s.Host+"/me/kmod", nil).Tags(t.Context()); err == nil ||
		!strings.Contains(fault.Of(err), "--ca-file") {
		t.Errorf("without the CA: error %v, advice %q", err, fault.Of(err))
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.TLS.Certificate().Raw})
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	rt, err := transport.New(transport.Options{CAFile: file, MinWait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	target, err := NewTarget(s.Host+"/me/kmod", NewClient(nil, rt, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := target.CheckPush(t.Context()); err != nil || len(s.Requests("DELETE", "/blobs/uploads/")) != 1 {
		t.Errorf("CheckPush: %v, requests %q", err, s.Requests())
	}
	img := randomImage(t)
	for _, tag := range []string{"a", "b", "c", "d", "e"} {
		if _, err := target.Publish(t.Context(), tag, img, false); err != nil {
			t.Fatal(err)
		}
	}
	wantTags(t, target, "a", "b", "c", "d", "e")
}

// R8.1: an account that may read single images but list nothing is told what it lacks.
func TestTagsDenied(t *testing.T) {
	for _, code := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		s := registrytest.New(t)
		s.Break(registrytest.Fault{Path: "/tags/list", Status: code})
		_, err := newTestTarget(t, s.Host+"/me/kmod", nil).Tags(t.Context())
		if !IsUnauthorized(err) || !strings.Contains(fault.Of(err), "may list the tags") ||
			!strings.Contains(fault.Of(err), s.Host) {
			t.Errorf("%d: error %v, advice %q", code, err, fault.Of(err))
		}
	}
}

// Layers of a base image in the same registry are mounted, not sent.
func TestPublishMounts(t *testing.T) {
	s := registrytest.New(t, registrytest.TokenAuth("me", "secret", true, 0))
	keys := basicKeys("me")
	client := newTestClient(t, keys)
	base, err := NewTarget(s.Host+"/library/busybox", client)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, base, "stable", false)
	img, digest, err := client.Image(t.Context(), base.Reference("stable"))
	if err != nil || !strings.HasPrefix(digest, "sha256:") {
		t.Fatalf("Image: digest %q, %v", digest, err)
	}
	layer, err := random.Layer(1000, "application/vnd.oci.image.layer.v1.tar+gzip")
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		t.Fatal(err)
	}
	// This registry shares blobs.
	s.Break(registrytest.Fault{Method: http.MethodHead, Path: "/me/kmod/blobs/", Status: http.StatusNotFound})
	target := newTestTarget(t, s.Host+"/me/kmod", keys)
	if _, err := target.Publish(t.Context(), testTag, img, false); err != nil {
		t.Fatal(err)
	}
	if got := s.Requests("POST", "mount=", "from=library"); len(got) != 2 {
		t.Errorf("%d mounts were asked for, want 2: %q", len(got), s.Requests("POST"))
	}
	if got := s.Requests("/token", "me%2Fkmod%3Apush", "library%2Fbusybox%3Apull"); len(got) == 0 {
		t.Errorf("no token for both repositories: %q", s.Requests("/token"))
	}
	s.Mend()
	wantPublished(t, target, testTag, img)
}

var _ authn.Keychain = (*auth.Keychain)(nil)
