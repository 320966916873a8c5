package github

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"testing"

	"neuron-kmod/internal/platform/fault"
	"neuron-kmod/test/lab/fakegithub"
)

// R7.2: an asset is read as anybody can, and where a run that was ended half-way has put it aside.
func TestOpenAsset(t *testing.T) {
	const name = "source.tar.gz"
	first := wanted("notes", "busybox", "source")
	read := func(t *testing.T, w *world, o Options) string {
		t.Helper()
		body, err := w.as(t, o).OpenAsset(t.Context(), tag, name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	t.Run("there", func(t *testing.T) {
		w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
		w.mustSync(t, first, Change{Create, tag})
		w.Forget()
		o := w.options()
		o.Token = ""
		if got := read(t, w, o); got != "source" || len(w.Writes()) != 0 {
			t.Errorf("%q, %d writes", got, len(w.Writes()))
		}
	})
	t.Run("put aside", func(t *testing.T) {
		w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
		w.mustSync(t, first, Change{Create, tag})
		// The second change of a name is that of the successor; the first has put this one aside.
		w.SetFaults(fakegithub.Fault{Method: http.MethodPatch, Skip: 1, Status: http.StatusForbidden, Message: "no", Times: 0})
		if _, err := w.sync(t, wanted("notes", "busybox", "another")); err == nil {
			t.Fatal("the run came to its end")
		}
		w.SetFaults()
		if got := read(t, w, w.options()); got != "source" {
			t.Errorf("%q", got)
		}
	})
	t.Run("replaced by another run since it was listed", func(t *testing.T) {
		w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
		w.mustSync(t, first, Change{Create, tag})
		w.SetFaults(fakegithub.Fault{Path: regexp.MustCompile(`/releases/assets/`), Times: 1, Status: http.StatusNotFound, Message: "Not Found"})
		if got := read(t, w, w.options()); got != "source" {
			t.Errorf("%q", got)
		}
	})
	t.Run("nowhere", func(t *testing.T) {
		w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
		if _, err := w.as(t, w.options()).OpenAsset(t.Context(), tag, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("no release: %v", err)
		}
		w.mustSync(t, first, Change{Create, tag})
		if _, err := w.as(t, w.options()).OpenAsset(t.Context(), tag, "other"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("no asset: %v", err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		w := newWorld(t, fakegithub.Options{}, fakegithub.Repository{})
		o := w.options()
		o.Token = "unknown"
		_, err := w.as(t, o).OpenAsset(t.Context(), tag, name)
		if _, credential := errors.AsType[*CredentialError](err); !credential || fault.Of(err) == "" {
			t.Errorf("error %v, hint %q", err, fault.Of(err))
		}
	})
}
