package release

import (
	"archive/tar"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/kmod/image"
	"neuron-kmod/internal/platform/fault"
)

// The URLs of R7.2, and the third one.
const (
	github   = "https://github.com/mirror/busybox/archive/refs/tags/1_36_1.tar.gz"
	gitweb   = "https://git.busybox.net/busybox/snapshot/busybox-1.36.1.tar.bz2"
	releases = "https://busybox.net/downloads/busybox-1.36.1.tar.bz2"
)

// busyBoxSource is a small source of BusyBox. testdata/busybox-1.36.1.tar.bz2.base64 holds the same for 1.36.1, as GNU tar and
// bzip2 pack it.
func busyBoxSource(top string, patchLevel int) []entry {
	script := regular(top+"scripts/trylink", "#!/bin/sh\n")
	script.Mode = 0o775
	return []entry{
		regular(top+"Makefile", fmt.Sprintf("VERSION = 1\nPATCHLEVEL = %d\nSUBLEVEL = 1\nEXTRAVERSION =\nNAME = Unnamed\n\nVERSION = 2\n", patchLevel)),
		regular(top+"LICENSE", "version 2 of the General Public License\n"),
		regular(top+"shell/ash.c", "int ash;\n"),
		script,
		symlink(top+"docs/license", "../LICENSE"),
	}
}

// githubArchive is the source as GitHub packs it: other names, the commit in front, and whatever order, times and owners.
func githubArchive(t testing.TB, patchLevel int) []byte {
	commit := entry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "1a64f6a"}}}
	all := []entry{commit}
	for _, e := range slices.Backward(busyBoxSource(fmt.Sprintf("busybox-1_%d_1/", patchLevel), patchLevel)) {
		e.ModTime, e.Uid, e.Uname = time.Now(), 1000, "somebody"
		all = append(all, e)
	}
	return gzipped(t, tarred(t, all...))
}

func bzip2Archive(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/busybox-1.36.1.tar.bz2.base64") // Go can only read bzip2
	if err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// internet is all servers at once. A URL without an answer is one that no server knows.
type internet struct {
	*httptest.Server
	answers map[string]http.HandlerFunc

	mu    sync.Mutex
	asked []string
}

func newInternet(t *testing.T, answers map[string]http.HandlerFunc) *internet {
	n := &internet{answers: answers}
	n.Server = httptest.NewServer(n)
	t.Cleanup(n.Close)
	return n
}

func (n *internet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	url := "https://" + r.Host + r.URL.Path
	n.mu.Lock()
	n.asked = append(n.asked, url)
	n.mu.Unlock()
	if r.Header.Get("Accept-Encoding") != "identity" {
		http.Error(w, "this would be unpacked on the way", http.StatusNotAcceptable)
		return
	}
	if answer := n.answers[url]; answer != nil {
		answer(w, r)
		return
	}
	http.NotFound(w, r)
}

// RoundTrip leads every request to the one server.
func (n *internet) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errors.New("not over https: " + r.URL.String())
	}
	r = r.Clone(r.Context())
	r.Host, r.URL.Scheme, r.URL.Host = r.URL.Host, "http", n.Listener.Addr().String()
	return n.Client().Transport.RoundTrip(r)
}

func (n *internet) busyBox(t *testing.T) *BusyBox {
	return &BusyBox{HTTP: &http.Client{Transport: n}, Cache: filepath.Join(t.TempDir(), "cache")}
}

func serve(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) } // the client sees what is missing
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// breakOff announces all of data and sends half of it.
func breakOff(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:len(data)/2])
	}
}

const page = "<!DOCTYPE html>\n<html><title>Log in</title></html>"

// R7.2: whatever is wrong with one server, the next one is asked; equal trees give equal bytes, whoever has them.
func TestBusyBox(t *testing.T) {
	good, packed := githubArchive(t, 36), bzip2Archive(t)
	three := []string{github, github, github}
	tests := []struct {
		name    string
		answers map[string]http.HandlerFunc
		asked   []string
	}{
		{"primary", map[string]http.HandlerFunc{github: serve(good), gitweb: serve(packed)}, []string{github}},
		{"primary redirects", map[string]http.HandlerFunc{
			github: http.RedirectHandler("https://codeload.github.com/x", http.StatusFound).ServeHTTP, "https://codeload.github.com/x": serve(good),
		}, []string{github, "https://codeload.github.com/x"}},
		{"primary down", map[string]http.HandlerFunc{github: status(503), gitweb: serve(packed)}, []string{github, gitweb}},
		{"primary without it", map[string]http.HandlerFunc{gitweb: serve(packed)}, []string{github, gitweb}},
		{"a page with status 200", map[string]http.HandlerFunc{github: serve([]byte(page)), gitweb: serve(packed)}, []string{github, gitweb}},
		{"nothing with status 200", map[string]http.HandlerFunc{github: serve(nil), gitweb: serve(packed)}, []string{github, gitweb}},
		{"cut short", map[string]http.HandlerFunc{github: serve(good[:len(good)/2]), gitweb: serve(packed)}, []string{github, gitweb}},
		{"another version", map[string]http.HandlerFunc{github: serve(githubArchive(t, 37)), gitweb: serve(packed)}, []string{github, gitweb}},
		{"breaks off", map[string]http.HandlerFunc{github: breakOff(good), gitweb: serve(packed)}, append(three, gitweb)},
		{"breaks off once", map[string]http.HandlerFunc{github: once(breakOff(good), serve(good))}, three[:2]},
	}
	var first Archive
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newInternet(t, tt.answers)
			b := n.busyBox(t)
			a, err := b.Source(t.Context(), "1.36.1")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.asked, n.asked); diff != "" {
				t.Errorf("asked:\n%s", diff)
			}
			if want := filepath.Join(b.Cache, "busybox-1.36.1.tar.gz"); a.Path != want || a.Name != "busybox-1.36.1.tar.gz" {
				t.Errorf("got %+v, want %s", a, want)
			}
			if first.Digest == "" {
				first = a
			}
			if a.Digest != first.Digest || a.Size != first.Size {
				t.Errorf("got %+v, where the first one was %+v", a, first)
			}
			nothingBut(t, b.Cache, "busybox-1.36.1.tar.gz")
			checkBusyBox(t, a.Path)
		})
	}
}

// once answers the first request in one way and the others in another.
func once(first, rest http.HandlerFunc) http.HandlerFunc {
	var n int
	return func(w http.ResponseWriter, r *http.Request) { // the requests come one after the other
		n++
		if n == 1 {
			first(w, r)
			return
		}
		rest(w, r)
	}
}

// checkBusyBox checks that a file is the small source, under BusyBox's own name.
func checkBusyBox(t *testing.T, path string) {
	t.Helper()
	want := listed(busyBoxSource("busybox-1.36.1/", 36))
	want["busybox-1.36.1/scripts/trylink"] = "0 755 #!/bin/sh\n"
	for _, dir := range []string{"", "shell/", "scripts/", "docs/"} {
		want["busybox-1.36.1/"+dir] = "5 755 "
	}
	if diff := cmp.Diff(want, listed(entriesOf(t, path))); diff != "" {
		t.Error(diff)
	}
}

// R7.2, R8.1: where nobody has it, the error tells what each server answered and what a person can do.
func TestBusyBoxNowhere(t *testing.T) {
	other := serve(githubArchive(t, 36)) // a good source, but not the archive that BusyBox published
	n := newInternet(t, map[string]http.HandlerFunc{github: status(503), gitweb: serve([]byte(page)), releases: other})
	b := n.busyBox(t)
	_, err := b.Source(t.Context(), "1.36.1")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`get the source of BusyBox "1.36.1"`, github + ": it answered 503 Service Unavailable",
		gitweb + `: it is not an archive: it begins with "<!DOCTYPE html>`, releases + ": it has the SHA-256 ", "not b8cc24c9",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if advice := fault.Of(err); !strings.Contains(advice, b.Cache) || !strings.Contains(advice, "busybox-1.36.1.tar.gz") {
		t.Errorf("advice %q", advice)
	}
	nothingBut(t, b.Cache)
}

// R7.2: the third server is asked when both of the requirement are down.
func TestBusyBoxThird(t *testing.T) {
	n := newInternet(t, map[string]http.HandlerFunc{"https://busybox.net/downloads/busybox-1.37.1.tar.bz2": serve(githubArchive(t, 37))})
	a, err := n.busyBox(t).Source(t.Context(), "1.37.1")
	if err != nil || a.Name != "busybox-1.37.1.tar.gz" || len(n.asked) != 3 {
		t.Errorf("got %+v, error %v, asked %q", a, err, n.asked)
	}
}

// R7.2: an archive larger than any source is not downloaded to its end.
func TestBusyBoxTooLarge(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 1<<20)
		for range 2 * busyBoxLimits.download / int64(len(chunk)) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		t.Error("it was read to its end")
	}
	announced := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(busyBoxLimits.download+1))
	}
	n := newInternet(t, map[string]http.HandlerFunc{github: endless, gitweb: announced})
	_, err := n.busyBox(t).Source(t.Context(), "1.36.1")
	if err == nil || strings.Count(err.Error(), errTooLarge.Error()) != 2 {
		t.Errorf("error %v", err)
	}
	if len(n.asked) != 3 {
		t.Errorf("asked %q, want each once", n.asked)
	}
}

// R9.1: the nightly run does not download again, unless what is in the cache is of no use.
func TestBusyBoxCache(t *testing.T) {
	n := newInternet(t, map[string]http.HandlerFunc{github: serve(githubArchive(t, 36))})
	b := n.busyBox(t)
	first, err := b.Source(t.Context(), "1.36.1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Source(t.Context(), "1.36.1")
	if err != nil || again != first || len(n.asked) != 1 {
		t.Errorf("again: %+v, error %v, asked %q", again, err, n.asked)
	}
	for name, damaged := range map[string][]byte{
		"cut short": githubArchive(t, 36)[:100], "another version": githubArchive(t, 37), "not a gzip": bzip2Archive(t),
		"too large": make([]byte, busyBoxLimits.download+1),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(first.Path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			n.asked = nil
			a, err := b.Source(t.Context(), "1.36.1")
			if err != nil || a != first || len(n.asked) != 1 {
				t.Errorf("got %+v, error %v, asked %q", a, err, n.asked)
			}
			nothingBut(t, b.Cache, "busybox-1.36.1.tar.gz")
		})
	}
}

// Of several that want the same archive one downloads it.
func TestBusyBoxConcurrent(t *testing.T) {
	n := newInternet(t, map[string]http.HandlerFunc{github: serve(githubArchive(t, 36))})
	b := n.busyBox(t)
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			if _, err := b.Source(t.Context(), "1.36.1"); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if len(n.asked) != 1 {
		t.Errorf("%d downloads, want 1", len(n.asked))
	}
}

// R8.2: a run that is stopped asks nobody else and leaves nothing.
func TestBusyBoxStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	n := newInternet(t, map[string]http.HandlerFunc{github: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		stop()
		<-r.Context().Done()
	}})
	b := n.busyBox(t)
	if _, err := b.Source(ctx, "1.36.1"); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "no server has it") {
		t.Errorf("error %v", err)
	}
	if len(n.asked) != 1 {
		t.Errorf("asked %q", n.asked)
	}
	nothingBut(t, b.Cache)
}

// R7.2: what was never released has no source that anybody publishes.
func TestBusyBoxUnreleased(t *testing.T) {
	for _, version := range []string{"1.37.0.git", "../1.36.1"} {
		n := newInternet(t, nil)
		if _, err := n.busyBox(t).Source(t.Context(), version); err == nil || !strings.Contains(fault.Of(err), "base image") {
			t.Errorf("%q: error %v, advice %q", version, err, fault.Of(err))
		}
		if err := CheckBusyBox(version); err == nil {
			t.Errorf("%q passes the check", version)
		}
		if len(n.asked) != 0 {
			t.Errorf("%q: asked %q", version, n.asked)
		}
	}
}

// An image without BusyBox owes no source of it, and 1.36.1 has one.
func TestCheckBusyBox(t *testing.T) {
	for _, version := range []string{"", "1.36.1"} {
		if err := CheckBusyBox(version); err != nil {
			t.Errorf("%q: %v", version, err)
		}
	}
}

// R5.2, R7.2: the labels of the images lead to the archives of the release.
func TestNamesAgreeWithLabels(t *testing.T) {
	v := mustDriver(t, "2.24.7.0")
	labels := image.Labels(image.LabelInput{Driver: v, Kernel: mustKernel(t, el9_6), Repository: "https://github.com/me/kmod", BusyBox: "1.36.1"})
	at := "https://github.com/me/kmod/releases/download/" + Name(v) + "/"
	if got, want := labels[image.LabelDriverSource], at+ModifiedSourceFile(v); got != want {
		t.Errorf("driver: label %s, want %s", got, want)
	}
	got := labels[image.LabelBusyBoxSource]
	for _, want := range []string{at + BusyBoxFile("1.36.1"), busyBoxURLs("1.36.1")[0], busyBoxURLs("1.36.1")[1]} {
		if !strings.Contains(got, want) {
			t.Errorf("BusyBox: label %s, want %s in it", got, want)
		}
	}
	if got := Name(v); got != "neuron-driver-2.24.7.0" {
		t.Errorf("name %s", got)
	}
}
