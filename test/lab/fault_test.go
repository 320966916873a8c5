package lab

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// faulty serves "0123456789..." of 100 kB behind faults.
func faulty(t *testing.T, ca *authority) (*Faults, string) {
	t.Helper()
	body := strings.Repeat("0123456789", 10_000)
	f := &Faults{}
	s, err := serveHTTP(t.Context(), ca, f.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, body)
	})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, s.Host
}

// ask returns the status, how much of the body arrived, and how it ended.
func ask(t *testing.T, client *http.Client, method, url string) (status int, got int64, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	got, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, got, errors.Join(err, resp.Body.Close())
}

func TestFaultsAnswerInstead(t *testing.T) {
	f, host := faulty(t, nil)
	f.Set(Fault{Path: regexp.MustCompile(`/blobs/`), Skip: 1, Times: 2, Status: 429, RetryAfter: "1"})
	var statuses []int
	for range 4 {
		status, _, err := ask(t, http.DefaultClient, "GET", "http://"+host+"/v2/x/blobs/sha256:1")
		if err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, status)
	}
	other, _, err := ask(t, http.DefaultClient, "GET", "http://"+host+"/v2/x/manifests/1")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int{200, 429, 429, 200, 200}, append(statuses, other)); d != "" {
		t.Errorf("statuses (-want +got):\n%s", d)
	}
}

func TestFaultsResetAfterBytes(t *testing.T) {
	ca := testAuthority(t)
	for name, with := range map[string]*authority{"http": nil, "https": ca} {
		t.Run(name, func(t *testing.T) {
			f, host := faulty(t, with)
			client, err := ca.client()
			if err != nil {
				t.Fatal(err)
			}
			f.Set(Fault{Times: 1, ResetAfter: 5000})
			status, got, err := ask(t, client, "GET", name+"://"+host+"/file")
			if err == nil || status != 200 || got != 5000 {
				t.Errorf("status %d, %d bytes, error %v; want 200, 5000 and a broken body", status, got, err)
			}
			if sent := f.Total().Bytes; sent != 5000 {
				t.Errorf("counted %d bytes, want 5000", sent)
			}
			f.Set(Fault{Times: 1, Reset: true, Method: "PUT"})
			if _, _, err := ask(t, client, "PUT", name+"://"+host+"/file"); err == nil {
				t.Error("a reset connection gave an answer")
			}
			if _, got, err := ask(t, client, "GET", name+"://"+host+"/file"); err != nil || got != 100_000 {
				t.Errorf("after the faults: %d bytes, error %v", got, err)
			}
		})
	}
}

func TestFaultsCountAndSlowDown(t *testing.T) {
	f, host := faulty(t, nil)
	f.Network(10*time.Millisecond, 1_000_000)
	start := time.Now()
	for _, path := range []string{"/v2/", "/v2/a/tags/list", "/v2/a/blobs/x"} {
		if _, _, err := ask(t, http.DefaultClient, "GET", "http://"+host+path); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("300 kB at 1 MB/s took %v", took)
	}
	want := []Count{{Blob, "GET", 1, 100_000}, {Ping, "GET", 1, 100_000}, {Tags, "GET", 1, 100_000}}
	if d := cmp.Diff(want, f.Counts()); d != "" {
		t.Errorf("counts (-want +got):\n%s", d)
	}
	f.Reset()
	if got := f.Total(); got != (Count{}) {
		t.Errorf("after Reset: %+v", got)
	}
}

func TestReadOnly(t *testing.T) {
	f, host := faulty(t, nil)
	f.ReadOnly(true)
	for method, want := range map[string]int{
		"GET": 200, "HEAD": 200, "PUT": 405, "POST": 405, "PATCH": 405, "DELETE": 405,
	} {
		if got, _, err := ask(t, http.DefaultClient, method, "http://"+host+"/v2/a/manifests/1"); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", method, got, err, want)
		}
	}
}

func testAuthority(t *testing.T) *authority {
	t.Helper()
	ca, err := openAuthority(t.Context(), testStore(t))
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// Downloads can be resumed: ranges work, and the tag reports whether the file is still the same.
func TestDownloadsResume(t *testing.T) {
	dir := t.TempDir()
	if err := writeDrivers(dir); err != nil {
		t.Fatal(err)
	}
	d, err := startDownloads(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	v := driverVersion(t, "2.24.7.0")
	get := func(header ...string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", d.URL()+RPMName(v), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return resp, data
	}
	whole, all := get()
	tag := whole.Header.Get("ETag")
	rest, tail := get("Range", "bytes=100-", "If-Range", tag)
	if rest.StatusCode != http.StatusPartialContent || string(all[100:]) != string(tail) {
		t.Errorf("a range: status %d, %d of %d bytes", rest.StatusCode, len(tail), len(all))
	}
	if fresh, again := get("Range", "bytes=100-", "If-Range", `"old"`); fresh.StatusCode != http.StatusOK ||
		len(again) != len(all) {
		t.Errorf("a range of another file: status %d, %d bytes", fresh.StatusCode, len(again))
	}
}
