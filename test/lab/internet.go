package lab

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
)

// Internet is the only way out of an environment: an HTTP proxy, to be named in HTTPS_PROXY, behind which the lab's own
// servers answer for the names of real ones. Every other name is refused and noted. It may be used by many goroutines.
type Internet struct {
	ca      *authority
	account *Account // that the proxy asks for; nil if it asks for none
	proxy   *httpServer
	end     context.CancelFunc

	mu      sync.Mutex
	sites   map[string]string // address by host:443
	servers []*httpServer
	asked   map[string]int
	refused []string
	closed  bool
	tunnels sync.WaitGroup
}

// startInternet starts an internet without sites, which ends when it is closed or ctx is done.
func startInternet(ctx context.Context, ca *authority, account *Account) (*Internet, error) {
	ctx, end := context.WithCancel(ctx)
	n := &Internet{ca: ca, account: account, end: end, sites: map[string]string{}, asked: map[string]int{}}
	var err error
	if n.proxy, err = serveHTTP(ctx, nil, n); err != nil {
		end()
		return nil, err
	}
	return n, nil
}

// URL is the proxy's address, with the account that it asks for.
func (n *Internet) URL() string {
	u := url.URL{Scheme: "http", Host: n.proxy.Host}
	if n.account != nil {
		u.User = url.UserPassword(n.account.User, n.account.Password)
	}
	return u.String()
}

// Serve lets handler answer for https://HOST, with the lab's certificate, until Close.
func (n *Internet) Serve(ctx context.Context, host string, handler http.Handler) error {
	server, err := serveHTTP(ctx, n.ca, handler)
	if err != nil {
		return err
	}
	n.Route(host, server.Host)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.servers = append(n.servers, server)
	return nil
}

// Route lets the TLS server at address answer for https://HOST.
func (n *Internet) Route(host, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sites[net.JoinHostPort(host, "443")] = address
}

// Asked tells how many connections were made to a host.
func (n *Internet) Asked(host string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[net.JoinHostPort(host, "443")]
}

// Refused lists, in order, what was asked for and is not there: HOST:PORT, or a URL if it was to be plain HTTP.
func (n *Internet) Refused() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.refused)
}

// ServeHTTP is the proxy.
func (n *Internet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n.account != nil && r.Header.Get("Proxy-Authorization") != "Basic "+n.account.encoded() {
		w.Header().Set("Proxy-Authenticate", `Basic realm="lab"`)
		http.Error(w, "the proxy wants an account", http.StatusProxyAuthRequired)
		return
	}
	address, ok := n.find(r)
	if !ok {
		http.Error(w, "the lab's internet does not have this", http.StatusForbidden)
		return
	}
	defer n.tunnels.Done()
	tunnel(w, r, address)
}

// find returns the address of the site that r is to be connected with, as a tunnel that has begun.
func (n *Internet) find(r *http.Request) (address string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Method != http.MethodConnect {
		n.refused = append(n.refused, r.URL.String())
		return "", false
	}
	address, ok = n.sites[r.Host]
	switch {
	case !ok:
		n.refused = append(n.refused, r.Host)
		return "", false
	case n.closed:
		return "", false
	}
	n.asked[r.Host]++
	n.tunnels.Add(1)
	return address, true
}

// tunnel carries bytes between a client and address until one of them ends or the request's context is done.
func tunnel(w http.ResponseWriter, r *http.Request, address string) {
	ctx := r.Context()
	var dialer net.Dialer
	site, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer site.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { _, _ = client.Close(), site.Close() })
	defer stop()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(site, buffered)
		site.Close()
	}()
	_, _ = io.Copy(client, site)
	client.Close()
	<-sent
}

// Close ends the proxy, what goes through it and the servers behind it, and waits.
func (n *Internet) Close() error {
	n.mu.Lock()
	n.closed = true
	servers := n.servers
	n.mu.Unlock()
	n.end()
	errs := []error{n.proxy.Close()}
	n.tunnels.Wait()
	for _, server := range servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// encoded is an account as headers and auth files have it.
func (a Account) encoded() string {
	return base64.StdEncoding.EncodeToString([]byte(a.User + ":" + a.Password))
}
