package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"neuron-kmod/internal/platform/fault"
)

// ErrProxy is the refusal of a proxy to open a connection. Go's own error is no more than the words of its status, such
// as "Forbidden".
var ErrProxy = errors.New("the proxy refuses")

// errProxyLogin is an ErrProxy that credentials would mend.
var errProxyLogin = fault.AsPrerequisite(ErrProxy)

// Configure gives t what every transport of the program has: the certificates of caFile (PEM) beside the system's, TLS
// 1.2 or later, connections that fail when they are silent, and errors that tell a proxy's refusal from a server's. It
// is for transports that others make; New has it built in. It fails only if caFile cannot be read or holds no
// certificate; "" means none.
func Configure(t *http.Transport, caFile string) error {
	roots, err := rootCAs(caFile)
	if err != nil {
		return err
	}
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	t.OnProxyConnectResponse = checkProxy
	t.DialContext = dial
	return nil
}

// checkProxy is called with a proxy's answer to CONNECT. The proxy's address may hold a password, so only its host is
// named.
func checkProxy(_ context.Context, proxy *url.URL, asked *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	refusal := ErrProxy
	if answer.StatusCode == http.StatusProxyAuthRequired {
		refusal = errProxyLogin
	}
	err := fmt.Errorf("%w to connect to %s: %s answers %d %s", refusal, asked.Host, proxy.Host, answer.StatusCode,
		http.StatusText(answer.StatusCode))
	if answer.StatusCode == http.StatusProxyAuthRequired {
		return fault.Wrap(err, "give the proxy's user and password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT")
	}
	return fault.Wrap(err, "have the proxy allow that host, or list the host in NO_PROXY if it can be reached without")
}
