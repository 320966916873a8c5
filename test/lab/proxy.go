package lab

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"path/filepath"
)

// silentLog swallows what net/http says of the connections that faults break.
var silentLog = log.New(io.Discard, "", 0)

// proxyTo forwards to one of the lab's registries, as the account's user if there is an account. The Host header stays,
// so that the registry's own addresses in its answers lead back through the proxy.
func (a *authority) proxyTo(host string, account *Account) (http.Handler, error) {
	transport, err := a.transport()
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: host})
			r.Out.Host = r.In.Host
			if account != nil {
				r.Out.SetBasicAuth(account.User, account.Password)
			}
		},
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      silentLog,
	}, nil
}

// Downloads is the server for driver RPMs: plain HTTP on loopback, with ranges and entity tags.
type Downloads struct {
	Dir    string // what is served; a test may put files there
	Faults *Faults

	files  http.Handler
	server *httpServer
}

// startDownloads serves dir.
func startDownloads(ctx context.Context, dir string) (*Downloads, error) {
	d := &Downloads{Dir: dir, Faults: &Faults{}}
	files := http.FileServer(http.Dir(dir))
	tagged := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tag, err := entityTag(dir, r.URL.Path); err == nil {
			w.Header().Set("ETag", tag)
		}
		files.ServeHTTP(w, r)
	})
	d.files = d.Faults.Wrap(tagged)
	var err error
	d.server, err = serveHTTP(ctx, nil, d.files)
	return d, err
}

// entityTag is a strong tag: the hash of a file's content. The directory is small and so are the files.
func entityTag(dir, urlPath string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path.Clean("/"+urlPath))))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`"%x"`, sha256.Sum256(data)), nil
}

// URL is the server's address, with a slash at the end as the real one is written.
func (d *Downloads) URL() string { return "http://" + d.server.Host + "/" }

// Close ends the server.
func (d *Downloads) Close() error { return d.server.Close() }
