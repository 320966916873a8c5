// Package transport makes the one HTTP transport of the program: it repeats what a busy or broken server did not
// answer, trusts a private CA, goes through the user's proxy, gives up on a silent connection, and refuses to talk
// plain http to anything but this machine.
//
// It knows nothing of registries, credentials or downloads: those are layers above it.
package transport

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"neuron-kmod/internal/platform/fault"
)

// Defaults of Options.
const (
	DefaultRetries = 5
	DefaultMinWait = 500 * time.Millisecond
	DefaultMaxWait = 30 * time.Second
)

// Options say how the transport behaves. The zero value is good for real use.
type Options struct {
	// CAFile names a PEM file with certificates to trust besides the system's. "" means none.
	CAFile string
	// UserAgent is put before the User-Agent of every request. "" adds nothing.
	UserAgent string
	// Retries is how often a request is repeated after its first attempt. 0 means DefaultRetries; negative, never.
	Retries int
	// MinWait and MaxWait bound the pause before a repeated request, which doubles each time. 0 means the default. A
	// server's Retry-After counts for more than either.
	MinWait, MaxWait time.Duration
	// Proxy tells the proxy of a request; nil means http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Log receives repeated requests: method, host and path, never headers or query strings. nil means silence.
	Log *slog.Logger
	// Base sends the single attempts; nil means a connection pool of its own. CAFile and Proxy do not apply to it.
	Base http.RoundTripper
}

// New returns the transport. It fails only if CAFile cannot be read or holds no certificate.
//
// Requests of the transport are repeated as described at retry.again. A request with a body is repeated only if it has
// a GetBody.
func New(o Options) (http.RoundTripper, error) {
	base := o.Base
	if base == nil {
		t := pool(o.Proxy)
		if err := Configure(t, o.CAFile); err != nil {
			return nil, err
		}
		base = t
	}
	r := &retry{
		base:    base,
		retries: cmp.Or(o.Retries, DefaultRetries),
		minWait: cmp.Or(o.MinWait, DefaultMinWait),
		maxWait: cmp.Or(o.MaxWait, DefaultMaxWait),
		log:     cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
	}
	return &front{next: r, userAgent: o.UserAgent}, nil
}

// pool returns a transport with its own connections. Of the time limits none bounds a whole transfer: layers are large
// and lines are slow, so only silence counts (see quiet).
func pool(proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	return &http.Transport{
		Proxy:                 proxy,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   15 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       60 * time.Second,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   16,
	}
}

// rootCAs returns the system's certificates and those of file, nil for the system's alone.
func rootCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the CA file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		err := fmt.Errorf("CA file %s holds no certificate", file)
		return nil, fault.Wrap(err,
			"give a PEM file: lines between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----")
	}
	return roots, nil
}

// front does what holds for every request, however often it is sent.
type front struct {
	next      http.RoundTripper
	userAgent string
}

// ErrPlainHTTP is the refusal to send anything in the clear over a network.
var ErrPlainHTTP = errors.New("plain http is used for this machine only")

// RoundTrip implements http.RoundTripper.
func (f *front) RoundTrip(req *http.Request) (*http.Response, error) {
	// go-containerregistry tries http for every private IPv4 address, and would send the credentials along:
	// https://github.com/google/go-containerregistry/blob/main/pkg/name/registry.go (Scheme)
	if req.URL.Scheme == "http" && !IsLoopback(req.URL.Hostname()) {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, fault.Wrap(fmt.Errorf("%s: %w", req.URL.Host, ErrPlainHTTP),
			"serve it with TLS; a private CA can be given with --ca-file or SSL_CERT_FILE")
	}
	if f.userAgent != "" {
		req = req.Clone(req.Context())
		agent := f.userAgent
		if theirs := req.Header.Get("User-Agent"); theirs != "" {
			agent += " " + theirs
		}
		req.Header.Set("User-Agent", agent)
	}
	return f.next.RoundTrip(req)
}
