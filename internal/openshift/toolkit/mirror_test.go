package toolkit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"neuron-kmod/internal/oci/registry"
	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/internal/version"
)

// kernelToolkit stores a DTK for a kernel.
func (s *store) kernelToolkit(t testing.TB, kernel string) string {
	t.Helper()
	return s.toolkit(t, "amd64", s.layer(t, tarOf(t, file(kernel))))
}

// copy puts dtk into the mirror under tags.
func (s *store) copy(t testing.TB, dtk string, tags ...string) {
	t.Helper()
	from, err := name.NewDigest(dtk)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Get(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags {
		to, err := name.NewTag(s.Host + "/mirror/dtk:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Put(to, image); err != nil {
			t.Fatal(err)
		}
	}
}

// mirror returns the store's mirror for DTKs and their releases, and what it logs as JSON.
func (s *store) mirror(t testing.TB, of map[string][]string) (*Mirror, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	client := registry.NewClient(nil, newTransport(t), nil)
	m, err := NewMirror(client, s.Host+"/mirror/dtk", of, slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s.Forget()
	return m, &log
}

// wantPlace asks where dtk is.
func wantPlace(t testing.TB, m *Mirror, dtk, want string) {
	t.Helper()
	if got, err := m.Locate(t.Context(), dtk); got != want || err != nil {
		t.Errorf("Locate(%s) = %q, %v; want %q", dtk, got, err, want)
	}
}

// wantRequests compares the requests to the mirror.
func (s *store) wantRequests(t testing.TB, want ...string) {
	t.Helper()
	got := s.Requests("/mirror/dtk/")
	slices.Sort(got)
	for i := range got {
		got[i], _, _ = strings.Cut(strings.Replace(got[i], "/v2/mirror/dtk", "", 1), "?")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// inMirror is dtk's name there.
func (s *store) inMirror(dtk string) string { return s.Host + "/mirror/dtk@" + digestOf(dtk) }

// R1.3: a toolkit is had from the mirror where a tag for one of its releases leads to it, at the cost of one listing
// and one request for each tag that was asked about.
func TestMirrorLocate(t *testing.T) {
	s := newStore(t)
	shared, absent := s.kernelToolkit(t, "5.14.0-1.el9_6.x86_64"), s.kernelToolkit(t, "5.14.0-2.el9_6.x86_64")
	el9, el10 := s.kernelToolkit(t, "5.14.0-3.el9_8.x86_64"), s.kernelToolkit(t, "6.12.0-3.el10_2.x86_64")
	stranger := s.kernelToolkit(t, "5.14.0-4.el9_6.x86_64")
	s.copy(t, shared, "4.20.17", "latest")
	s.copy(t, el10, "5.0.0-rc.1")
	s.copy(t, el9, "5.0.0-rc.2")
	s.copy(t, stranger, "4.20.99")
	m, log := s.mirror(t, map[string][]string{
		shared: {"4.20.16", "4.20.17", "4.20.18"}, absent: {"4.20.19"},
		el9: {"5.0.0-rc.1", "5.0.0-rc.2"}, el10: {"5.0.0-rc.2", "5.0.0-rc.1"},
	})
	wantPlace(t, m, stranger, stranger)
	s.wantRequests(t)
	for range 2 {
		wantPlace(t, m, shared, s.inMirror(shared))
		wantPlace(t, m, absent, absent)
		wantPlace(t, m, el9, s.inMirror(el9))
		wantPlace(t, m, el10, s.inMirror(el10))
	}
	s.wantRequests(t, "GET /manifests/4.20.17", "GET /manifests/5.0.0-rc.1", "GET /manifests/5.0.0-rc.2", "GET /tags/list")
	if log.Len() > 0 {
		t.Errorf("it logs %s, want nothing", log)
	}
}

// R1.3: a tag that leads to another image than the catalogue's is refused, and a person is told once.
func TestMirrorRefuses(t *testing.T) {
	s := newStore(t)
	ours, other := s.kernelToolkit(t, "5.14.0-1.el9_6.x86_64"), s.kernelToolkit(t, "5.14.0-2.el9_6.x86_64")
	s.copy(t, other, "4.20.16")
	m, log := s.mirror(t, map[string][]string{ours: {"4.20.16"}})
	for range 2 {
		wantPlace(t, m, ours, ours)
	}
	var got map[string]string
	if err := json.Unmarshal(log.Bytes(), &got); err != nil {
		t.Fatalf("want one record, got %s (%v)", log, err)
	}
	delete(got, "time")
	if want := "catalog mirror --force"; !strings.Contains(got["hint"], want) {
		t.Errorf("the hint is %q, want it to contain %q", got["hint"], want)
	}
	delete(got, "hint")
	want := map[string]string{
		"level": "WARN", "msg": "the mirror has another Driver Toolkit for this release than the catalogue; it is not used",
		"mirror": s.Host + "/mirror/dtk:4.20.16", "has": digestOf(other), "want": digestOf(ours),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}

	// A good copy of another release serves all the same.
	s.copy(t, ours, "4.20.17")
	m, _ = s.mirror(t, map[string][]string{ours: {"4.20.16", "4.20.17"}})
	wantPlace(t, m, ours, s.inMirror(ours))
}

// R1.3, R9.1: many who ask at once cost no more requests than one.
func TestMirrorAtOnce(t *testing.T) {
	s := newStore(t)
	a, b := s.kernelToolkit(t, "5.14.0-1.el9_6.x86_64"), s.kernelToolkit(t, "5.14.0-2.el9_6.x86_64")
	s.copy(t, a, "4.20.16", "4.20.17")
	m, log := s.mirror(t, map[string][]string{a: {"4.20.16"}, b: {"4.20.17"}})
	var asking errgroup.Group
	for range 16 {
		asking.Go(func() error {
			wantPlace(t, m, a, s.inMirror(a))
			wantPlace(t, m, b, b)
			return nil
		})
	}
	if err := asking.Wait(); err != nil {
		t.Fatal(err)
	}
	s.wantRequests(t, "GET /manifests/4.20.16", "GET /manifests/4.20.17", "GET /tags/list")
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d warnings, want 1: %s", n, log)
	}
}

// R1.3, R8.1: a mirror that cannot be asked says why and what to do; it is not asked again.
func TestMirrorFails(t *testing.T) {
	for name, tt := range map[string]struct {
		path, what string
		want       []string // requests
	}{
		"listing": {"/tags/list", "list the tags of", []string{"GET /tags/list"}},
		"tag":     {"/manifests/4.20.16", "mirror/dtk:4.20.16", []string{"GET /manifests/4.20.16", "GET /tags/list"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			dtk := s.kernelToolkit(t, rhelKernel)
			s.copy(t, dtk, "4.20.16")
			m, _ := s.mirror(t, map[string][]string{dtk: {"4.20.16"}})
			s.Break(registrytest.Fault{Path: tt.path, Status: http.StatusForbidden, Times: 1})
			for range 2 {
				got, err := m.Locate(t.Context(), dtk)
				if got != "" || !registry.IsUnauthorized(err) || !strings.Contains(err.Error(), tt.what) || fault.Of(err) == "" {
					t.Errorf("Locate = %q, %v (hint %q), want an error with %q", got, err, fault.Of(err), tt.what)
				}
			}
			s.wantRequests(t, tt.want...)
		})
	}
}

// R8.2: that one who asks was stopped says nothing of the mirror.
func TestMirrorCancelled(t *testing.T) {
	s := newStore(t)
	dtk := s.kernelToolkit(t, rhelKernel)
	s.copy(t, dtk, "4.20.16")
	m, _ := s.mirror(t, map[string][]string{dtk: {"4.20.16"}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Locate(ctx, dtk); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	wantPlace(t, m, dtk, s.inMirror(dtk))
}

// R1.3: no repository and one without tags are mirrors without copies. A tag may go after the listing.
func TestMirrorEmpty(t *testing.T) {
	s := newStore(t)
	dtk := s.kernelToolkit(t, rhelKernel)
	of := map[string][]string{dtk: {"4.20.16"}}
	m, _ := s.mirror(t, of)
	wantPlace(t, m, dtk, dtk)
	wantPlace(t, m, dtk, dtk)
	s.wantRequests(t, "GET /tags/list")

	s.copy(t, dtk, "latest")
	m, _ = s.mirror(t, of)
	wantPlace(t, m, dtk, dtk)
	s.wantRequests(t, "GET /tags/list")

	s.copy(t, dtk, "4.20.16")
	m, log := s.mirror(t, of)
	s.Break(registrytest.Fault{Path: "/manifests/4.20.16", Status: http.StatusNotFound})
	wantPlace(t, m, dtk, dtk)
	if log.Len() > 0 {
		t.Errorf("it logs %s, want nothing", log)
	}
}

func TestNewMirrorRefuses(t *testing.T) {
	dtk := "quay.io/dtk@" + digest
	for name, tt := range map[string]struct{ repository, dtk, want string }{
		"directory":      {"oci:mirror", dtk, `"oci:mirror" is not a repository`},
		"kind of target": {"ecr", dtk, `"ecr" is not a repository`},
		"tag":            {"quay.io/mirror:1", dtk, "a tag or a digest"},
		"no registry":    {"mirror", dtk, "does not name a registry"},
		"toolkit's tag":  {"quay.io/mirror", "quay.io/dtk:1", "quay.io/dtk:1"},
	} {
		_, err := NewMirror(registry.NewClient(nil, newTransport(t), nil), tt.repository, map[string][]string{tt.dtk: nil}, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
		if (tt.repository != "quay.io/mirror") != strings.Contains(fault.Of(err), "HOST/REPOSITORY") {
			t.Errorf("%s: the hint is %q", name, fault.Of(err))
		}
	}
}

// A release's second toolkit has a tag of its own.
func TestMirrorTag(t *testing.T) {
	release, err := version.ParseOCP("5.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for component, want := range map[string]string{"": "5.0.1", "driver-toolkit-10": "5.0.1-driver-toolkit-10"} {
		if got := MirrorTag(release, component); got != want {
			t.Errorf("component %q: got %q, want %q", component, got, want)
		}
	}
}

// Of a kernel's toolkits those come first that the mirror has, which may be one only: the next place to pull from may be out
// of reach.
func TestMirrorPrefer(t *testing.T) {
	s := newStore(t)
	a, b, c := s.kernelToolkit(t, "5.14.0-1.el9_6.x86_64"), s.kernelToolkit(t, "5.14.0-2.el9_6.x86_64"), s.kernelToolkit(t, "5.14.0-3.el9_6.x86_64")
	s.copy(t, b, "4.20.2")
	m, _ := s.mirror(t, map[string][]string{a: {"4.20.3"}, b: {"4.20.2"}, c: {"4.20.1"}})
	got, err := m.Prefer(t.Context(), []string{a, b, c})
	if diff := cmp.Diff([]string{b, a, c}, got); diff != "" || err != nil {
		t.Errorf("error %v, (-want +got):\n%s", err, diff)
	}
	s.Break(registrytest.Fault{Path: "/tags/list", Status: http.StatusForbidden})
	m, _ = s.mirror(t, map[string][]string{a: {"4.20.3"}})
	if got, err := m.Prefer(t.Context(), []string{a}); !registry.IsUnauthorized(err) {
		t.Errorf("Prefer = %q, %v; want the mirror's refusal", got, err)
	}
}
