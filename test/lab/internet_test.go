package lab

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// internet starts an internet that ends with the test and returns it with a client whose way out it is.
func internet(t *testing.T, account *Account) (*Internet, *http.Client) {
	t.Helper()
	n, err := startInternet(t.Context(), testAuthority(t), account)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n, through(t, n, n.URL())
}

// through is a client that uses a proxy, and trusts the lab.
func through(t *testing.T, n *Internet, proxy string) *http.Client {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := n.ca.transport()
	if err != nil {
		t.Fatal(err)
	}
	transport.Proxy = http.ProxyURL(u)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func siteCalled(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
}

// The sites answer under their real names, with a certificate for them; nothing else is there.
func TestInternet(t *testing.T) {
	n, client := internet(t, nil)
	hosts := []string{
		"quay.io", "public.ecr.aws", "111122223333.dkr.ecr.us-west-2.amazonaws.com",
		"111122223333.dkr.ecr.us-gov-west-1.amazonaws.com",
		"111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", "yum.repos.neuron.amazonaws.com", "sts.us-west-2.amazonaws.com",
		"api.ecr.us-west-2.amazonaws.com", "sts.us-east-1.amazonaws.com", "api.ecr-public.us-east-1.amazonaws.com",
		"pipelines.actions.githubusercontent.com", "github.com", "api.github.com", "uploads.github.com",
		"busybox.net", "git.busybox.net",
	}
	for _, host := range hosts {
		if err := n.Serve(t.Context(), host, siteCalled(host)); err != nil {
			t.Fatal(err)
		}
	}
	for _, host := range hosts {
		resp, err := client.Get("https://" + host + "/")
		if err != nil {
			t.Error(err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil || string(body) != host || n.Asked(host) != 1 {
			t.Errorf("%s: %q, error %v, asked %d times", host, body, err, n.Asked(host))
		}
	}
	if got := n.Refused(); len(got) != 0 {
		t.Errorf("refused %q before anything else was asked for", got)
	}
	for _, wrong := range []string{"https://registry.example.com/", "https://quay.io:8443/"} {
		if _, _, err := ask(t, client, "GET", wrong); err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("%s: error %v", wrong, err)
		}
	}
	if status, _, err := ask(t, client, "GET", "http://quay.io/x"); err != nil || status != http.StatusForbidden {
		t.Errorf("plain http: status %d, error %v", status, err)
	}
	if d := cmp.Diff([]string{"registry.example.com:443", "quay.io:8443", "http://quay.io/x"}, n.Refused()); d != "" {
		t.Errorf("refused (-want +got):\n%s", d)
	}
}

// A proxy that wants an account lets in nobody else.
func TestInternetAccount(t *testing.T) {
	n, client := internet(t, &Account{User: "me", Password: "p@ss:word"})
	if err := n.Serve(t.Context(), "quay.io", siteCalled("quay.io")); err != nil {
		t.Fatal(err)
	}
	if status, _, err := ask(t, client, "GET", "https://quay.io/"); err != nil || status != http.StatusOK {
		t.Errorf("status %d, error %v", status, err)
	}
	for _, wrong := range []string{"http://" + n.proxy.Host, "http://me:wrong@" + n.proxy.Host} {
		_, _, err := ask(t, through(t, n, wrong), "GET", "https://quay.io/")
		if err == nil || !strings.Contains(err.Error(), "Proxy Authentication Required") {
			t.Errorf("%s: error %v", wrong, err)
		}
	}
	if got := n.Asked("quay.io"); got != 1 {
		t.Errorf("asked %d times, want 1", got)
	}
}

// A fault behind the proxy reaches the client.
func TestInternetBreaks(t *testing.T) {
	n, client := internet(t, nil)
	faults := &Faults{}
	if err := n.Serve(t.Context(), "quay.io", faults.Wrap(siteCalled(strings.Repeat("x", 10_000)))); err != nil {
		t.Fatal(err)
	}
	faults.Set(Fault{ResetAfter: 5000})
	if _, got, err := ask(t, client, "GET", "https://quay.io/"); err == nil || got != 5000 {
		t.Errorf("%d bytes, error %v; want 5000 and a broken body", got, err)
	}
}

// Closing the internet ends what still goes through it.
func TestInternetClose(t *testing.T) {
	n, err := startInternet(t.Context(), testAuthority(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	held, failed := make(chan struct{}), make(chan error, 1)
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(held)
		<-r.Context().Done()
	})
	if err := n.Serve(t.Context(), "quay.io", slow); err != nil {
		t.Fatal(err)
	}
	client := through(t, n, n.URL())
	go func() {
		resp, err := client.Get("https://quay.io/")
		if err == nil {
			err = resp.Body.Close()
		}
		failed <- err
	}()
	select {
	case <-held:
	case err := <-failed:
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("a request outlived the internet")
	}
}
