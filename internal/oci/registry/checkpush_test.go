package registry

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neuron-kmod/internal/oci/registry/registrytest"
	"neuron-kmod/internal/platform/fault"
)

// R6.1, R8.1: a registry that takes no images from this account says so before anything is compiled.
func TestCheckPushRefused(t *testing.T) {
	tests := map[string]struct {
		opts   []registrytest.Option
		fault  registrytest.Fault
		status int
		advice string
	}{
		"read-only": {opts: []registrytest.Option{registrytest.ReadOnly()}, status: 405,
			advice: "choose another target"},
		"may not push": {fault: registrytest.Fault{Method: http.MethodPost, Status: http.StatusForbidden}, status: 403,
			advice: "may push to"},
		"no account": {opts: []registrytest.Option{registrytest.BasicAuth("me", "secret")}, status: 401,
			advice: "may push to"},
		"token for readers": {opts: []registrytest.Option{registrytest.TokenAuth("reader", "secret", false, 0)}, status: 401,
			advice: "refuses the credentials from the test"},
		"no repository": {fault: registrytest.Fault{Method: http.MethodPost, Status: http.StatusNotFound}, status: 404,
			advice: "created first"},
		"in trouble": {fault: registrytest.Fault{Method: http.MethodPost, Status: http.StatusBadGateway}, status: 502,
			advice: "run again later"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t, tt.opts...)
			if tt.fault != (registrytest.Fault{}) {
				s.Break(tt.fault)
			}
			target := newTestTarget(t, s.Host+"/me/kmod", basicKeys("reader"))
			err := target.CheckPush(t.Context())
			if err == nil || status(err) != tt.status || !strings.Contains(fault.Of(err), tt.advice) ||
				!strings.Contains(err.Error(), target.String()) {
				t.Errorf("error %v (status %d, advice %q), want status %d and %q",
					err, status(err), fault.Of(err), tt.status, tt.advice)
			}
		})
	}
}

// What the check costs, and that it ends what it begins, whatever the registry thinks of that.
func TestCheckPushRequests(t *testing.T) {
	tests := map[string]struct {
		opts   []registrytest.Option
		faults []registrytest.Fault
		want   []string
	}{
		"open": {want: []string{"GET /v2/", "POST UPLOAD", "DELETE UPLOAD"}},
		"tokens": {opts: []registrytest.Option{registrytest.TokenAuth("me", "secret", true, 0)},
			want: []string{"GET /v2/", "GET /token", "POST UPLOAD", "DELETE UPLOAD"}},
		"trouble that ends": {faults: []registrytest.Fault{{Method: http.MethodPost, Status: 502, Times: 1}},
			want: []string{"GET /v2/", "POST UPLOAD", "GET /v2/", "POST UPLOAD", "DELETE UPLOAD"}},
		"no cancelling": {faults: []registrytest.Fault{{Method: http.MethodDelete, Status: 405}},
			want: []string{"GET /v2/", "POST UPLOAD", "DELETE UPLOAD"}},
		"may not cancel": {faults: []registrytest.Fault{{Method: http.MethodDelete, Status: 403}},
			want: []string{"GET /v2/", "POST UPLOAD", "DELETE UPLOAD"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t, tt.opts...)
			for _, fault := range tt.faults {
				s.Break(fault)
			}
			if err := newTestTarget(t, s.Host+"/me/kmod", basicKeys("me")).CheckPush(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range s.Requests() {
				verb, where, _ := strings.Cut(r, " ")
				where, _, _ = strings.Cut(where, "?")
				if strings.HasPrefix(where, "/v2/me/kmod/blobs/uploads/") {
					where = "UPLOAD"
				}
				got = append(got, verb+" "+where)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// R10.2: the credentials do not follow an upload to another host.
func TestCheckPushElsewhere(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s", r.Method, r.URL)
	}))
	t.Cleanup(other.Close)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Location", other.URL+"/v2/me/kmod/blobs/uploads/1")
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	t.Cleanup(s.Close)
	target := newTestTarget(t, strings.TrimPrefix(s.URL, "http://")+"/me/kmod", basicKeys("me"))
	if err := target.CheckPush(t.Context()); err != nil {
		t.Error(err)
	}
}

// R6.1, R8.1: a directory that cannot be written, or is something else, is known early; nothing is left in any.
func TestCheckPushFolder(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"file": "", "full/notes.txt": "", "broken/index.json": "{"} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	before := names(t, root)
	for dir, want := range map[string]string{
		"absent/deep/down": "", ".": "not an OCI layout", "file": "not a directory", "file/deep": "not a directory",
		"full": "not an OCI layout", "broken": "parse",
	} {
		err := newTestTarget(t, "oci:"+filepath.Join(root, dir), nil).CheckPush(t.Context())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", dir, err, want)
		}
	}
	closed := t.TempDir()
	openFor(t, closed)
	asNobody(t, func() {
		err := newTestTarget(t, "oci:"+filepath.Join(closed, "images"), nil).CheckPush(t.Context())
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(fault.Of(err), "choose another") {
			t.Errorf("a directory without permission: error %v, advice %q", err, fault.Of(err))
		}
	})
	if diff := cmp.Diff(before, names(t, root)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
}

// names lists all files and directories below root.
func names(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		out = append(out, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}
